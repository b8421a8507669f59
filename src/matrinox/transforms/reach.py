"""Where the model is found that a function is about, and the function rebuilt with another in its place.

A function is bound to its model, takes it, or closes over it; in this order it is looked for. Nothing is mutated.
"""

import dis
import functools
from collections.abc import Callable, Mapping
from types import CellType, CodeType, FunctionType, MethodType
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import PyTree

from matrinox.contract.checked import MARK, checked
from matrinox.transforms.transformed import Transformed, name_of

_Function = Callable[..., Any]
_Swap = Callable[[eqx.Module], Any]
_JITTED = (type(jax.jit(lambda: None)), type(eqx.filter_jit(lambda: None)))
_FUNCTIONS = (FunctionType, MethodType, Transformed, functools.partial, eqx.Module, *_JITTED)
_CONTAINERS = (list, tuple, dict)
# What these hold by name is their own; what they close over may be the user's, as in `jax.vmap(loss)`.
_LIBRARIES = {"beartype", "equinox", "functools", "jax", "jaxtyping", "matrinox", "numpy", "optax"}


class Reached(NamedTuple):
    """A model, how the function comes by it, and the function of another model in its place.

    **Arguments:** `module`: the model; `place`: `"is bound to"`, `"takes"` or `"closes over"`; `argument`: the position
    or name at which it is taken; `call`: `call(module, args, kwargs)`.
    """

    module: eqx.Module
    place: str
    argument: int | str | None
    call: Callable[[Any, tuple[Any, ...], Mapping[str, Any]], Any]


def is_model(value: Any) -> bool:
    """Whether a value is a module that holds parameters, and not one of equinox's wrappers of functions."""
    room = type(value).__module__
    return isinstance(value, eqx.Module) and (not room.startswith("equinox.") or room.startswith("equinox.nn."))


def reach(func: _Function, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Reached:
    """The model that `func` is bound to, else takes (the first with an array of floats), else closes over.

    **Raises:** `ValueError` if there is none, if there are several that it closes over, or if it is held by a jitted
    function, which cannot be rebuilt.
    """
    bound = _bound(func)
    if bound is not None:
        module, rebuild = bound
        return Reached(module, "is bound to", None, lambda new, args, kwargs: rebuild(new)(*args, **kwargs))
    taken = [(key, value) for key, value in [*enumerate(args), *kwargs.items()] if is_model(value)]
    if taken:
        key, module = next((pair for pair in taken if _has_floats(pair[1])), taken[0])
        return Reached(module, "takes", key, functools.partial(_call_with_argument, func, key))
    return _closed(func)


def _has_floats(tree: PyTree) -> bool:
    return any(eqx.is_inexact_array(leaf) for leaf in jax.tree.leaves(tree))


def _call_with_argument(func: _Function, key: int | str, new: Any, args: tuple[Any, ...], kwargs: Mapping) -> Any:
    if isinstance(key, int):
        return func(*args[:key], new, *args[key + 1 :], **kwargs)
    return func(*args, **{**kwargs, key: new})


_Bound = tuple[eqx.Module, Callable[[Any], _Function]]


def _bound(func: _Function) -> _Bound | None:
    """The model, and the function with another in its place."""
    if isinstance(func, Transformed):
        return _through(func.func, func.of)
    if isinstance(func, MethodType) and is_model(func.__self__):
        return func.__self__, lambda new: functools.partial(func.__func__, new)
    if isinstance(func, functools.partial):
        inner = _through(func.func, lambda new: functools.partial(new, *func.args, **func.keywords))
        return inner or _bound_argument(func)
    if isinstance(func, _JITTED[1]):
        # Its cache knows functions by what they are made of: the rebuilt one is not compiled again.
        return _through(func.__wrapped__, eqx.filter_jit)
    if is_model(func):
        return func, lambda new: new
    return _wrapped(func) if isinstance(func, eqx.Module) else None


def _wrapped(wrapper: Any) -> _Bound | None:
    """Equinox's own wrappers, of a bound method say, are trees in which the model is a branch."""
    models = [node for node in jax.tree.leaves(wrapper, is_leaf=is_model) if is_model(node)]
    if not models:
        return None
    model = next((model for model in models if _has_floats(model)), models[0])
    return model, lambda new: jax.tree.map(lambda node: new if node is model else node, wrapper, is_leaf=is_model)


def _through(inner: _Function, outer: Callable[[_Function], _Function]) -> _Bound | None:
    bound = _bound(inner)
    if bound is None:
        return None
    module, rebuild = bound
    return module, lambda new: outer(rebuild(new))


def _bound_argument(func: Any) -> _Bound | None:
    bound = [(key, value) for key, value in [*enumerate(func.args), *func.keywords.items()] if is_model(value)]
    if not bound:
        return None
    key, module = next((pair for pair in bound if _has_floats(pair[1])), bound[0])

    def rebuild(new: Any) -> _Function:
        args = [new if position == key else value for position, value in enumerate(func.args)]
        keywords = {name: new if name == key else value for name, value in func.keywords.items()}
        return functools.partial(func.func, *args, **keywords)

    return module, rebuild


def _closed(func: _Function) -> Reached:
    modules: dict[int, eqx.Module] = {}
    jitted: list[str] = []

    def note(module: eqx.Module) -> eqx.Module:
        modules[id(module)] = module
        return module

    _Rebuild(note, jitted).function(func)
    if jitted or len(modules) != 1:
        raise ValueError(_unreached(name_of(func), list(modules.values()), jitted))
    (module,) = modules.values()

    def call(new: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        return _Rebuild(lambda _: new, []).function(func)(*args, **kwargs)

    return Reached(module, "closes over", None, call)


def _unreached(name: str, modules: list[eqx.Module], jitted: list[str]) -> str:
    if jitted:
        fault = f"`{jitted[0]}` is compiled with the model that it closes over, where no other can take its place"
    elif modules:
        kinds = ", ".join(type(module).__name__ for module in modules)
        fault = f"`{name}` closes over {len(modules)} modules ({kinds})"
    else:
        fault = f"`{name}` is bound to no module, takes none and closes over none"
    return f"`grad_states` selects leaves of a model, but {fault}: pass the model as an argument."


class _Rebuild:
    """A function with `swap(module)` in place of every module that it closes over, in the functions it holds too."""

    def __init__(self, swap: _Swap, jitted: list[str]):
        self.swap, self.jitted = swap, jitted
        # The function itself is kept too: the identity of one that is gone is given to another.
        self.done: dict[int, tuple[Any, Any]] = {}

    def value(self, value: Any) -> Any:
        """A model swapped, a function or a container rebuilt; anything else as it is."""
        if is_model(value):
            return self.swap(value)
        if isinstance(value, _FUNCTIONS) or type(value) in _CONTAINERS:
            return self.function(value)
        return value

    def function(self, func: Any) -> Any:
        """The function rebuilt, or itself if no model is in it; each is rebuilt once."""
        if id(func) not in self.done:
            self.done[id(func)] = func, func
            self.done[id(func)] = func, self._rebuilt(func)
        return self.done[id(func)][1]

    def _rebuilt(self, func: Any) -> Any:
        if isinstance(func, _JITTED):
            return self._refused(func)
        if isinstance(func, Transformed):
            inner = self.value(func.func)
            return func if inner is func.func else func.of(inner)
        if isinstance(func, MethodType):
            owner = self.value(func.__self__)
            return func if owner is func.__self__ else functools.partial(func.__func__, owner)
        if isinstance(func, functools.partial):
            return self._partial(func)
        if isinstance(func, eqx.Module) or type(func) in _CONTAINERS:
            return self._tree(func)
        if hasattr(func, MARK):
            # A function under contract keeps its checked forms by size: they are made anew around the new one.
            inner = self.value(func.__wrapped__)
            return func if inner is func.__wrapped__ else checked(inner, {})
        return self._plain(func) if isinstance(func, FunctionType) else func

    def _tree(self, tree: Any) -> Any:
        def is_leaf(node: Any) -> bool:
            return node is not tree and (is_model(node) or isinstance(node, _FUNCTIONS) or type(node) in _CONTAINERS)

        leaves, structure = jax.tree.flatten(tree, is_leaf=is_leaf)
        new = [self.value(leaf) for leaf in leaves]
        return tree if _same(leaves, new) else jax.tree.unflatten(structure, new)

    def _refused(self, func: Any) -> Any:
        held: list[eqx.Module] = []
        _Rebuild(lambda module: held.append(module) or module, self.jitted).value(func.__wrapped__)
        if held:
            self.jitted.append(name_of(func.__wrapped__))
        return func

    def _partial(self, func: Any) -> Any:
        inner, args = self.value(func.func), [self.value(value) for value in func.args]
        keywords = {name: self.value(value) for name, value in func.keywords.items()}
        old = [func.func, *func.args, *func.keywords.values()]
        return func if _same(old, [inner, *args, *keywords.values()]) else functools.partial(inner, *args, **keywords)

    def _plain(self, func: FunctionType) -> FunctionType:
        old_cells = func.__closure__ or ()
        cells = tuple(CellType() for _ in old_cells)
        globals_ = dict(func.__globals__)
        new = FunctionType(func.__code__, globals_, func.__name__, func.__defaults__, cells)
        # Before its cells are filled: a recursive function closes over itself.
        self.done[id(func)] = func, new
        changed = False
        for old, cell in zip(old_cells, cells, strict=True):
            try:
                content = old.cell_contents
            except ValueError:
                # A name that is not bound yet.
                continue
            cell.cell_contents = self.value(content)
            changed |= cell.cell_contents is not content and content is not func
        for name in _named_globals(func):
            globals_[name] = self.value(func.__globals__[name])
            changed |= globals_[name] is not func.__globals__[name] and func.__globals__[name] is not func
        defaults = tuple(self.value(value) for value in func.__defaults__ or ())
        keywords = {name: self.value(value) for name, value in (func.__kwdefaults__ or {}).items()}
        changed |= not _same(func.__defaults__ or (), defaults)
        changed |= not _same((func.__kwdefaults__ or {}).values(), keywords.values())
        if not changed:
            return func
        new.__defaults__, new.__kwdefaults__ = func.__defaults__ and defaults, func.__kwdefaults__ and keywords
        new.__qualname__, new.__doc__, new.__annotations__ = func.__qualname__, func.__doc__, func.__annotations__
        new.__dict__.update(func.__dict__)
        return new


def _same(old: Any, new: Any) -> bool:
    return all(before is after for before, after in zip(old, new, strict=True))


def _named_globals(func: FunctionType) -> list[str]:
    """Which globals may lead to a model: modules, and functions of the same package."""
    package = (func.__module__ or "").partition(".")[0]
    if package in _LIBRARIES:
        return []
    named = {name: func.__globals__[name] for name in _loaded(func.__code__) if name in func.__globals__}
    return [
        name
        for name, value in named.items()
        if not isinstance(value, FunctionType) or (value.__module__ or "").partition(".")[0] == package
    ]


def _loaded(code: CodeType) -> set[str]:
    names = {str(step.argval) for step in dis.get_instructions(code) if step.opname in ("LOAD_GLOBAL", "LOAD_NAME")}
    return names.union(*(_loaded(inner) for inner in code.co_consts if isinstance(inner, CodeType)))
