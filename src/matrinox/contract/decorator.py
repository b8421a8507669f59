"""`contract`: jaxtyping and beartype around functions and modules, with errors in the model's language."""

import functools
import inspect
import sys
import threading
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import equinox as eqx
import jaxtyping
from beartype import beartype
from beartype.door import is_bearable

from matrinox.contract.axes import array_annotations
from matrinox.contract.locate import locate
from matrinox.contract.message import callable_name, describe_argument, describe_return

_Target = TypeVar("_Target", bound=Callable[..., Any])


class ContractError(TypeError, ValueError):
    """A value that breaks the shape, dtype or type that a signature declares."""

    __module__ = "matrinox.contract"


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
    return _contract_function(target, {})


def _contract_class(cls: Any) -> Any:
    if not issubclass(cls, eqx.Module):
        raise TypeError(
            f"`contract` got the class `{cls.__name__}`; it takes subclasses of `eqx.Module`: derive from it."
        )
    for name, member in list(vars(cls).items()):
        if name.startswith("_") and name not in ("__init__", "__call__"):
            continue
        if inspect.isfunction(member):
            setattr(cls, name, _contract_function(member, {cls.__name__: cls}))
        elif isinstance(member, staticmethod | classmethod):
            setattr(cls, name, type(member)(_contract_function(member.__func__, {cls.__name__: cls})))
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
    return all(is_bearable(getattr(self, name), hint) for name, hint in fields.items())


class _Progress(threading.local):
    """How far each contract-checked call under way in this thread has come: empty, then what its body returned."""

    def __init__(self) -> None:
        self.calls: list[list[Any]] = []


_progress = _Progress()
_ENTERED = object()


def _contract_function(fn: Any, names: Mapping[str, Any]) -> Any:
    signature = _evaluated_signature(fn, names)

    @functools.wraps(fn)
    def body(*args: Any, **kwargs: Any) -> Any:
        reached = _progress.calls[-1]
        reached.append(_ENTERED)
        value = fn(*args, **kwargs)
        reached.append(value)
        return value

    vars(body)["__signature__"] = signature
    checked = jaxtyping.jaxtyped(body, typechecker=beartype)

    @functools.wraps(fn)
    def call(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if jaxtyping.config.jaxtyping_disable:
            return fn(*args, **kwargs)
        reached: list[Any] = []
        _progress.calls.append(reached)
        try:
            return checked(*args, **kwargs)
        except jaxtyping.TypeCheckError:
            if reached == [_ENTERED]:
                # Raised by somebody else's check inside the body.
                raise
        finally:
            _progress.calls.pop()
        raise _violation(fn, signature, args, kwargs, reached)

    return call


def _evaluated_signature(fn: Any, names: Mapping[str, Any]) -> inspect.Signature:
    # Under `from __future__ import annotations` they are strings, which jaxtyping would otherwise leave unchecked.
    try:
        return inspect.signature(fn, eval_str=True, locals=dict(names))
    except NameError:
        return inspect.signature(fn)


def _violation(fn: Any, signature: inspect.Signature, args: Any, kwargs: Any, reached: list[Any]) -> ContractError:
    bound = signature.bind(*args, **kwargs)
    bound.apply_defaults()
    owner = bound.arguments.get("self")
    name = callable_name(fn.__qualname__, owner)
    hints = {key: parameter.annotation for key, parameter in signature.parameters.items()}
    if reached:
        text = describe_return(name, hints, bound.arguments, signature.return_annotation, reached[1])
    else:
        text = describe_argument(name, hints, bound.arguments)
    path = locate(sys._getframe(2), owner if isinstance(owner, eqx.Module) else None)
    return ContractError(f"{path}: {text}" if path else text)
