"""The contract: `contract` checks shapes and dtypes at run time, `ContractError` says what broke them, and where."""

from matrinox.contract.axes import AnyArray
from matrinox.contract.checked import ContractError
from matrinox.contract.decorator import contract

__all__ = ["AnyArray", "ContractError", "contract"]
