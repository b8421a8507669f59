"""`contract`: jaxtyping and beartype around functions and modules, with errors in the model's language."""

import dataclasses
import inspect
import sys
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_origin

import equinox as eqx
import jaxtyping
from beartype.door import is_bearable

from matrinox.contract.axes import RULES
from matrinox.contract.checked import MARK, checked, refusal_of
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
    if not hasattr(target, "__qualname__"):
        raise TypeError(f"`contract` got a {type(target).__name__}; it takes a function or an `eqx.Module` class.")
    return checked(target, {})


def _contract_class(cls: Any) -> Any:
    if not issubclass(cls, eqx.Module):
        raise TypeError(f"`contract` got the class `{cls.__name__}`; it takes an `eqx.Module`: derive from one.")
    names = {cls.__name__: cls}
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name not in ("__init__", "__call__"):
            continue
        if inspect.isfunction(member) and not _is_generated(member):
            setattr(cls, name, checked(member, names))
        elif isinstance(member, staticmethod | classmethod):
            setattr(cls, name, type(member)(checked(member.__func__, names)))
    _check_fields_of(cls)
    return cls


def _is_generated(member: Any) -> bool:
    # The `__init__` of a dataclass only fills in fields, and those are checked themselves.
    return member.__code__.co_filename == "<string>"


def _check_fields_of(cls: Any) -> None:
    own_check = vars(cls).get("__check_init__")
    hints = field_hints(cls)

    def __check_init__(self: Any) -> None:
        # Once for each instance: the most derived class under contract knows every field.
        if _is_most_derived(cls, type(self)) and not jaxtyping.config.jaxtyping_disable and not _fit(self, hints):
            entries = [(name, hint, getattr(self, name)) for name, hint in hints.items()]
            text = describe_argument(type(self).__name__, entries, {"self": self})
            raise refusal_of(
                text or f"{type(self).__name__} was built against its annotations.", sys._getframe(1), self
            )
        if own_check is not None:
            own_check(self)

    setattr(__check_init__, MARK, True)
    cls.__check_init__ = __check_init__


def _is_most_derived(cls: type, kind: type) -> bool:
    return cls is next(base for base in kind.__mro__ if hasattr(vars(base).get("__check_init__"), MARK))


def field_hints(cls: Any) -> dict[str, Any]:
    """The annotations of a module's fields, those of its bases too, evaluated where they are text that can be."""
    hints: dict[str, Any] = {}
    for base in reversed(cls.__mro__):
        try:
            hints |= inspect.get_annotations(base, eval_str=True, locals={base.__name__: base})
        except NameError:
            hints |= inspect.get_annotations(base)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if _is_checkable(hints[field.name])}


def _is_checkable(hint: Any) -> bool:
    return not isinstance(hint, str) and get_origin(hint) not in (eqx.AbstractVar, eqx.AbstractClassVar)


@jaxtyping.jaxtyped(typechecker=None)
def _fit(self: Any, hints: Mapping[str, Any]) -> bool:
    return all(is_bearable(getattr(self, name), hint, conf=RULES) for name, hint in hints.items())
