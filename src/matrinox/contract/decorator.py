"""`contract`: jaxtyping and beartype around functions and modules, with errors in the model's language."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import jaxtyping
from beartype.door import is_bearable

from matrinox.contract.axes import RULES, array_annotations
from matrinox.contract.checked import ContractError, checked
from matrinox.contract.message import describe_argument

_Target = TypeVar("_Target", bound=Callable[..., Any])


def contract(target: _Target) -> _Target:
    """Checks a function's or a module's annotations at run time (under `jit`: while tracing, at no cost afterwards).

    On an `eqx.Module` class it checks `__init__`, `__call__` and the public methods that the class defines, and the
    array fields of every new instance in one scope. jaxtyping's switch, `JAXTYPING_DISABLE`, turns all of it off.

    **Arguments:** `target`: a function or an `eqx.Module` class, annotated with jaxtyping shapes such as
    `Float[AnyArray, "*batch {self.p} {self.n} {self.n}"]`.
    **Returns:** the function wrapped, or the same class with its methods wrapped.
    **Raises:** `ContractError`, when called, for a value that breaks its annotation.

    >>> import jax.numpy as jnp
    >>> from jaxtyping import Array, Float
    >>> @contract
    ... def add(x: Float[Array, "p n"], y: Float[Array, "p n"]) -> Float[Array, "p n"]:
    ...     return x + y
    >>> add(jnp.ones((2, 3)), jnp.ones((2, 4)))
    Traceback (most recent call last):
    matrinox.contract.ContractError: add got y float32[2, 4]; it takes (p=2, n=3): axis 1 is 4, n is 3.
    """
    if isinstance(target, type):
        return _contract_class(target)
    return checked(target, {})


def _contract_class(cls: Any) -> Any:
    if not issubclass(cls, eqx.Module):
        raise TypeError(f"`contract` got the class `{cls.__name__}`; it takes an `eqx.Module`: derive from one.")
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name not in ("__init__", "__call__"):
            continue
        if inspect.isfunction(member):
            setattr(cls, name, checked(member, {cls.__name__: cls}))
        elif isinstance(member, staticmethod | classmethod):
            setattr(cls, name, type(member)(checked(member.__func__, {cls.__name__: cls})))
    _check_fields_of(cls)
    return cls


def _check_fields_of(cls: Any) -> None:
    hints = inspect.get_annotations(cls)
    fields = {name: hint for name, hint in hints.items() if array_annotations(hint)}
    if not fields:
        return
    own_check = vars(cls).get("__check_init__")

    def __check_init__(self: Any) -> None:
        if not jaxtyping.config.jaxtyping_disable and not _fields_fit(self, fields):
            values = {name: getattr(self, name) for name in fields}
            raise ContractError(describe_argument(cls.__name__, fields, {**values, "self": self}))
        if own_check is not None:
            own_check(self)

    cls.__check_init__ = __check_init__


@jaxtyping.jaxtyped(typechecker=None)
def _fields_fit(self: Any, fields: Mapping[str, Any]) -> bool:
    return all(is_bearable(getattr(self, name), hint, conf=RULES) for name, hint in fields.items())
