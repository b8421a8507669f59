"""What every transform returns: a function that remembers what it was made of, so that others can see through it."""

import functools
from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any

import equinox as eqx


class Transformed:
    """`run(func, args, kwargs)` as a function of `args` and `kwargs`, named after both: `grad(loss)`.

    A transform of a transformed function looks through it for the model: `func` is there, and `of` puts another in
    its place. It is a plain object, known by identity, so that `jax.jit` and `eqx.filter_jit` both take it.

    **Arguments:** `name`: the transform's name; `func`: the function transformed; `run`: what a call does.
    """

    def __init__(
        self,
        name: str,
        func: Callable[..., Any],
        run: Callable[[Callable[..., Any], tuple[Any, ...], Mapping[str, Any]], Any],
    ):
        self.transform, self.func, self.run = name, func, run
        self.__wrapped__ = func
        self.__name__ = self.__qualname__ = f"{name}({name_of(func)})"
        self.__doc__ = f"`{name}` of `{name_of(func)}`, with its arguments."

    def of(self, func: Callable[..., Any]) -> "Transformed":
        """The same transform, with the same options, of another function."""
        return Transformed(self.transform, func, self.run)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.run(self.func, args, kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        # As functions do: a transformed function in the body of a class is a method.
        return self if instance is None else MethodType(self, instance)

    def __repr__(self) -> str:
        return self.__name__


def name_of(func: Callable[..., Any]) -> str:
    """How a function is called in messages: `Model.loss`, `grad(loss)`, `Model` for a module."""
    inner = func.func if isinstance(func, functools.partial | eqx.Partial) else func
    name = getattr(inner, "__qualname__", None) or type(inner).__name__
    return name.rpartition("<locals>.")[2]
