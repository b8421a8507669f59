"""A function rebuilt around another model, where it closes over one: new cells, new globals, and nothing mutated."""

import dis
import functools
from collections.abc import Callable
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.tree_util as jtu

from matrinox.contract.checked import MARK, checked
from matrinox.transforms.leaf import has_floats, is_model
from matrinox.transforms.transformed import Transformed, name_of

FILTER_JITTED: type = type(eqx.filter_jit(lambda: None))
_JITTED: tuple[type, ...] = (type(jax.jit(lambda: None)), FILTER_JITTED)
_FUNCTIONS: tuple[type, ...] = (FunctionType, MethodType, Transformed, functools.partial, eqx.Module, *_JITTED)
# What these hold by name is their own; what they close over may be the user's, as in `jax.vmap(loss)`.
_LIBRARIES = {"beartype", "equinox", "functools", "jax", "jaxtyping", "matrinox", "numpy", "optax"}


class Rebuild:
    """A function with `swap(module)` in place of every module that it closes over, in the functions it holds too.

    **Arguments:** `swap`: of a module, what takes its place; `fixed`: a list that is told what holds a model where no
    other can take its place.
    """

    def __init__(self, swap: Callable[[eqx.Module], Any], fixed: list[str]):
        self.swap, self.fixed = swap, fixed
        # The function itself is kept too: the identity of one that is gone is given to another.
        self.done: dict[int, tuple[Any, Any]] = {}
        self.around: frozenset[int] = frozenset()

    def value(self, value: Any) -> Any:
        """A model swapped, a function or a container rebuilt; anything else as it is."""
        if is_model(value):
            return self.swap(value)
        if _may_hold(value):
            return self.function(value)
        self._look_into(value)
        return value

    def function(self, func: Any) -> Any:
        """The function rebuilt, or itself if no model is in it; each is rebuilt once."""
        if id(func) not in self.done:
            self.done[id(func)] = func, func
            self.done[id(func)] = func, self._rebuilt(func)
        return self.done[id(func)][1]

    def _rebuilt(self, func: Any) -> Any:
        if isinstance(func, _JITTED):
            if self._holds_a_model(func, [func.__wrapped__]):
                self.fixed.append(f"`{name_of(func.__wrapped__)}` is compiled with the model that it closes over")
            return func
        if isinstance(func, Transformed):
            inner = self.value(func.func)
            return func if inner is func.func else func.of(inner)
        if isinstance(func, MethodType):
            owner, inner = self.value(func.__self__), self.value(func.__func__)
            same = owner is func.__self__ and inner is func.__func__
            return func if same else functools.partial(inner, owner)
        if isinstance(func, functools.partial):
            return self._partial(func)
        if type(func) is dict:
            # As a tree its keys would have to be sorted.
            new = {key: self.value(value) for key, value in func.items()}
            return func if _same(func.values(), new.values()) else new
        if _is_tree(func):
            return self._tree(func)
        if hasattr(func, MARK):
            # A function under contract keeps its checked forms by size: they are made anew around the new one.
            inner = self.value(func.__wrapped__)
            return func if inner is func.__wrapped__ else checked(inner, {})
        return self._plain(func) if isinstance(func, FunctionType) else func

    def _tree(self, tree: Any) -> Any:
        def is_leaf(node: Any) -> bool:
            return node is not tree and _may_hold(node)

        leaves, structure = jax.tree.flatten(tree, is_leaf=is_leaf)
        new = [self.value(leaf) for leaf in leaves]
        return tree if _same(leaves, new) else jax.tree.unflatten(structure, new)

    def _look_into(self, value: Any) -> None:
        """Notes a model in a plain object, a cached function or one with a rule of its own for derivatives."""
        if isinstance(value, type | ModuleType) or id(value) in self.done:
            return
        self.done[id(value)] = value, value
        parts = [part for part in getattr(value, "__dict__", {}).values() if is_model(part) or _may_hold(part)]
        if parts and self._holds_a_model(value, parts):
            self.fixed.append(f"`{name_of(value)}` holds a model")

    def _holds_a_model(self, holder: Any, parts: list[Any]) -> bool:
        if id(holder) in self.around:
            # A compiled function that calls itself.
            return False
        held: list[eqx.Module] = []
        inside = Rebuild(lambda module: held.append(module) or module, self.fixed)
        inside.around = self.around | {id(holder)}
        for part in parts:
            inside.value(part)
        return has_floats(held)

    def _partial(self, func: Any) -> Any:
        inner, args = self.value(func.func), [self.value(value) for value in func.args]
        keywords = {name: self.value(value) for name, value in func.keywords.items()}
        old = [func.func, *func.args, *func.keywords.values()]
        return func if _same(old, [inner, *args, *keywords.values()]) else type(func)(inner, *args, **keywords)

    def _plain(self, func: FunctionType) -> FunctionType:
        old_cells, named = func.__closure__ or (), _named_globals(func)
        # What cannot hold a model stays shared with the original, which may count its calls there.
        cells = tuple(CellType() if _may_hold(_content(cell)) else cell for cell in old_cells)
        held = any(_may_hold(func.__globals__[name]) for name in named)
        globals_ = dict(func.__globals__) if held else func.__globals__
        new = FunctionType(func.__code__, globals_, func.__name__, func.__defaults__, cells)
        # Before its cells are filled: a recursive function closes over itself.
        self.done[id(func)] = func, new
        old_values, new_values = [], []
        for old, cell in zip(old_cells, cells, strict=True):
            if cell is old:
                self._look_into(_content(old))
            else:
                cell.cell_contents = self.value(old.cell_contents)
                old_values.append(old.cell_contents)
                new_values.append(cell.cell_contents)
        for name in named:
            if not _may_hold(func.__globals__[name]):
                self._look_into(func.__globals__[name])
                continue
            globals_[name] = self.value(func.__globals__[name])
            old_values.append(func.__globals__[name])
            new_values.append(globals_[name])
        defaults = tuple(self.value(value) for value in func.__defaults__ or ())
        keywords = {name: self.value(value) for name, value in (func.__kwdefaults__ or {}).items()}
        old_values += [*(func.__defaults__ or ()), *(func.__kwdefaults__ or {}).values()]
        new_values += [*defaults, *keywords.values()]
        if all(after is before or before is func for before, after in zip(old_values, new_values, strict=True)):
            return func
        new.__defaults__, new.__kwdefaults__ = func.__defaults__ and defaults, func.__kwdefaults__ and keywords
        new.__qualname__, new.__doc__, new.__annotations__ = func.__qualname__, func.__doc__, func.__annotations__
        new.__dict__.update(func.__dict__)
        return new


def _may_hold(value: Any) -> bool:
    return isinstance(value, _FUNCTIONS) or _is_tree(value)


def _is_tree(value: Any) -> bool:
    # A name that is `None` by now may be rebound by the function, which has to be seen outside.
    return value is not None and not jtu.all_leaves([value])


def _content(cell: CellType) -> Any:
    try:
        return cell.cell_contents
    except ValueError:
        # A name that is not bound yet.
        return None


def _same(old: Any, new: Any) -> bool:
    return all(before is after for before, after in zip(old, new, strict=True))


def _named_globals(func: FunctionType) -> list[str]:
    """Which globals may lead to a model: models, containers, other objects, and functions of the same package."""
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
