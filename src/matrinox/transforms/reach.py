"""Where the model is found that a function is about, and the function rebuilt with another in its place.

A function is bound to its model, takes it, or closes over it; in this order it is looked for. Nothing is mutated.
"""

import functools
from collections.abc import Callable, Mapping
from types import MethodType
from typing import Any, NamedTuple

import equinox as eqx
import jax

from matrinox.transforms.closure import FILTER_JITTED, Rebuild
from matrinox.transforms.leaf import has_floats, is_model
from matrinox.transforms.transformed import Transformed, name_of

_Function = Callable[..., Any]


class Reached(NamedTuple):
    """A model, and the function of another model in its place.

    **Arguments:** `module`: the model; `argument`: the position or name at which it is taken, if it is an argument;
    `call`: `call(module, args, kwargs)`.
    """

    module: eqx.Module
    argument: int | str | None
    call: Callable[[Any, tuple[Any, ...], Mapping[str, Any]], Any]


def reach(func: _Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Reached:
    """The model that `func` is bound to, else takes, else closes over: of several modules, one with arrays of floats.

    **Raises:** `ValueError` if there is none, if there are several such that it closes over, or if it is held by
    what cannot be rebuilt: a jitted function, or an object that is no module.
    """
    bound = _bound(func)
    if bound is not None:
        module, rebuild = bound
        return Reached(module, None, lambda new, args, kwargs: rebuild(new)(*args, **kwargs))
    taken = [(key, value) for key, value in [*enumerate(args), *kwargs.items()] if is_model(value)]
    if taken:
        key, module = next((pair for pair in taken if has_floats(pair[1])), taken[0])
        return Reached(module, key, functools.partial(_call_with_argument, func, key))
    return _closed(func)


def _call_with_argument(func: _Function, key: int | str, new: Any, args: tuple[Any, ...], kwargs: Mapping) -> Any:
    if isinstance(key, int):
        return func(*args[:key], new, *args[key + 1 :], **kwargs)
    return func(*args, **{**kwargs, key: new})


_Bound = tuple[eqx.Module, Callable[[Any], _Function]]


def _bound(func: Any) -> _Bound | None:
    """The model, and the function with another in its place."""
    if isinstance(func, Transformed):
        return _through(func.func, func.of)
    if isinstance(func, FILTER_JITTED):
        # Its cache knows functions by what they are made of: the rebuilt one is not compiled again.
        return _through(func.__wrapped__, eqx.filter_jit)
    if isinstance(func, MethodType) and is_model(func.__self__):
        return func.__self__, lambda new: functools.partial(func.__func__, new)
    if isinstance(func, functools.partial):
        inner = _through(func.func, lambda new: functools.partial(new, *func.args, **func.keywords))
        return inner or _bound_argument(func)
    if is_model(func):
        return func, lambda new: new
    return _wrapped(func) if isinstance(func, eqx.Module) else None


def _wrapped(wrapper: Any) -> _Bound | None:
    """Equinox's own wrappers, of a bound method say, are trees in which the model is a branch."""
    models = [node for node in jax.tree.leaves(wrapper, is_leaf=is_model) if is_model(node)]
    if not models:
        return None
    model = next((model for model in models if has_floats(model)), models[0])
    return model, lambda new: jax.tree.map(lambda node: new if node is model else node, wrapper, is_leaf=is_model)


def _through(inner: Any, outer: Callable[[_Function], _Function]) -> _Bound | None:
    bound = _bound(inner)
    if bound is None:
        return None
    module, rebuild = bound
    return module, lambda new: outer(rebuild(new))


def _bound_argument(func: Any) -> _Bound | None:
    bound = [(key, value) for key, value in [*enumerate(func.args), *func.keywords.items()] if is_model(value)]
    if not bound:
        return None
    key, module = next((pair for pair in bound if has_floats(pair[1])), bound[0])

    def rebuild(new: Any) -> _Function:
        args = [new if position == key else value for position, value in enumerate(func.args)]
        keywords = {name: new if name == key else value for name, value in func.keywords.items()}
        return functools.partial(func.func, *args, **keywords)

    return module, rebuild


def _closed(func: _Function) -> Reached:
    modules: dict[int, eqx.Module] = {}
    fixed: list[str] = []

    def note(module: eqx.Module) -> eqx.Module:
        modules[id(module)] = module
        return module

    Rebuild(note, fixed).value(func)
    held = [module for module in modules.values() if has_floats(module)] or list(modules.values())
    if fixed or len(held) != 1:
        raise ValueError(_unreached(name_of(func), held, fixed))
    (model,) = held

    def call(new: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return Rebuild(lambda module: new if module is model else module, []).function(func)(*args, **kwargs)

    return Reached(model, None, call)


def _unreached(name: str, modules: list[eqx.Module], fixed: list[str]) -> str:
    if fixed:
        fault = f"{fixed[0]}, where no other can take its place"
    elif modules:
        kinds = ", ".join(type(module).__name__ for module in modules)
        fault = f"`{name}` closes over {len(modules)} modules ({kinds})"
    else:
        fault = f"`{name}` is bound to no module, takes none and closes over none"
    return f"`grad_states` selects leaves of a model, but {fault}: pass the model as an argument."
