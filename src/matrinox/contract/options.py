"""`Options`: the metaclass of configs, which names the nearest option to one that they do not know."""

import inspect
from abc import ABCMeta
from typing import Any, TypeVar

from matrinox.contract.checked import bind_arguments

_Built = TypeVar("_Built")


class Options(ABCMeta):
    """The metaclass of a config: called with options it does not have, it says so as a function under contract does."""

    @property
    def __signature__(cls) -> inspect.Signature:
        # Python would tell that of `__call__` below.
        signature = inspect.signature(cls.__init__)
        return signature.replace(parameters=list(signature.parameters.values())[1:], return_annotation=cls)

    def __call__(cls: type[_Built], *args: Any, **kwargs: Any) -> _Built:
        try:
            return type.__call__(cls, *args, **kwargs)
        except TypeError:
            bind_arguments(cls.__name__, inspect.signature(cls), args, kwargs)
            raise
