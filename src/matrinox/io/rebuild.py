"""Rebuilding: the model that a config describes, traced for its shapes alone, and how another model differs from it."""

import dataclasses
import functools
import sys
import types
from collections.abc import Callable, Collection
from typing import Any, TypeVar

import equinox as eqx
import jax
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PyTree

from matrinox import paths
from matrinox.io.errors import ModelFileError, show
from matrinox.io.leaves import Leaf

_Result = TypeVar("_Result")
# A leaf costs about 2,000 Python calls to trace, and up to 50,000 more where JAX meets its shape for the first time.
_CALLS = 1_000_000
_CALLS_PER_LEAF = 10_000
_CALLS_PER_SHAPE = 100_000


class _TooMuchWork(BaseException):
    """Not an Exception, so that no `except Exception` on the way swallows it."""


def skeleton(cls: type, config: Any, *, stateful: bool, leaves: Collection[Leaf]) -> PyTree:
    """`cls(config, key=key)` with a `jax.ShapeDtypeStruct` for each JAX array: nothing is computed, nothing allocated.

    **Arguments:** `stateful`: build `(model, state)` by `eqx.nn.make_with_state`; `leaves`: those the result should
    have, by which the work of building is limited, so that a depth nobody meant fails instead of hanging.
    **Raises:** `ModelFileError` if it does not build.
    """
    limit = _CALLS + _CALLS_PER_LEAF * len(leaves) + _CALLS_PER_SHAPE * len({leaf.spec for leaf in leaves})
    rest: PyTree = None

    def make(key: jax.Array) -> PyTree:
        nonlocal rest
        build = eqx.nn.make_with_state(cls) if stateful else cls
        # eqx.filter_eval_shape would turn NumPy leaves into shapes too, and narrow them to 32 bits
        arrays, rest = eqx.partition(build(config, key=key), lambda leaf: isinstance(leaf, jax.Array))
        return arrays

    try:
        key = jax.eval_shape(lambda: jax.random.key(0))
        arrays = _within(limit, lambda: jax.eval_shape(make, key))
    except _TooMuchWork:
        why = f"building it takes far more work than a model of {len(leaves)} leaves should"
        raise ModelFileError(f"{cls.__name__} does not build from its config: {why}") from None
    except Exception as error:
        first = (str(error) or type(error).__name__).splitlines()[0][:300]
        raise ModelFileError(f"{cls.__name__} does not build from its config: {first}") from error
    return eqx.combine(arrays, rest)


def _within(calls: int, work: Callable[[], _Result]) -> _Result:
    """`work()`, stopped when it has made so many calls: a limit that is the same on a slow machine."""
    # a profiler that is already at work keeps its hook
    if sys.getprofile() is not None:
        return work()
    left = calls

    def count(*event: Any) -> None:
        nonlocal left
        left -= 1
        if left < 0:
            raise _TooMuchWork

    sys.setprofile(count)
    try:
        result = work()
    finally:
        sys.setprofile(None)
    # raised where Python discards exceptions (in a finaliser), the stop would go unnoticed
    if left < 0:
        raise _TooMuchWork
    return result


def structural_differences(model: PyTree, rebuilt: PyTree, *, ignore_config: bool = False) -> list[str]:
    """What differs besides arrays and numbers: types, static fields, functions. One line for each."""
    return list(_differences(model, rebuilt, (), ignore_config))


def _differences(a: Any, b: Any, path: tuple[Any, ...], ignore_config: bool) -> Any:
    name = paths.show(path) or type(a).__name__
    if eqx.is_array(a) or isinstance(b, jax.ShapeDtypeStruct):
        return
    if type(a) is not type(b):
        yield _line(name, a, b)
        return
    (children, treedef), (others, other_treedef) = _one_level(a), _one_level(b)
    if jtu.treedef_is_leaf(treedef):
        if type(a) not in (bool, int, float, complex) and not same(a, b):
            yield _line(name, a, b)
        return
    if isinstance(a, eqx.Module):
        for field in dataclasses.fields(a):
            if not field.metadata.get("static", False) or (field.name == "config" and ignore_config):
                continue
            mine, theirs = getattr(a, field.name, None), getattr(b, field.name, None)
            if not same(mine, theirs):
                inner = paths.show((*path, jtu.GetAttrKey(field.name)))
                yield _line(f"{inner} (static)", mine, theirs)
    elif treedef.node_data() != other_treedef.node_data():
        yield f"  {name}: in the model of {show(treedef.node_data())}, rebuilt of {show(other_treedef.node_data())}"
        return
    if [key for key, _ in children] != [key for key, _ in others]:
        yield f"  {name}: in the model {len(children)} parts, rebuilt {len(others)}"
        return
    for (key, child), (_, other) in zip(children, others, strict=True):
        # the config that counts is the one given: it may be replaced only at the root
        yield from _differences(child, other, path + key, ignore_config and isinstance(a, tuple) and not path)


def _line(name: str, mine: Any, theirs: Any) -> str:
    same_words = ", which is of the same name but not the same" if _say(mine) == _say(theirs) else ""
    return f"  {name}: in the model {_say(mine)}, rebuilt {_say(theirs)}{same_words}"


def _say(x: Any) -> str:
    """A value by its text, a function by its name, a container or module by its type."""
    if hasattr(x, "__qualname__"):
        return f"{x.__module__}.{x.__qualname__}"
    return show(x) if jtu.all_leaves([x]) or x is None or type(x) in (tuple, list, dict) else f"a {type(x).__name__}"


def _one_level(node: Any) -> tuple[list[tuple[Any, Any]], Any]:
    return jtu.tree_flatten_with_path(node, is_leaf=lambda part: part is not node)


def same(a: Any, b: Any, seen: frozenset[tuple[int, int]] = frozenset()) -> bool:
    """Equality that also holds between two makings of one function and between two nans, and never raises."""
    pair = (id(a), id(b))
    if a is b or pair in seen:
        return True
    if type(a) is not type(b):
        return False
    seen |= {pair}
    if isinstance(a, types.FunctionType):
        cells = [[cell.cell_contents for cell in f.__closure__ or ()] for f in (a, b)]
        parts = [[f.__code__, f.__defaults__, f.__kwdefaults__, *inner] for f, inner in zip((a, b), cells, strict=True)]
        return same(parts[0], parts[1], seen)
    if isinstance(a, functools.partial):
        return same((a.func, a.args, a.keywords), (b.func, b.args, b.keywords), seen)
    if type(a) in (tuple, list):
        return len(a) == len(b) and all(same(x, y, seen) for x, y in zip(a, b, strict=True))
    if type(a) is dict:
        return list(a) == list(b) and all(same(a[key], b[key], seen) for key in a)
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, float | complex) and a != a:
        return b != b
    try:
        equal = bool(a == b)
    except Exception:
        return False
    if equal or not dataclasses.is_dataclass(a) or isinstance(a, eqx.Module):
        return equal
    # Two configs with a nan in the same place are not equal to each other.
    names = [field.name for field in dataclasses.fields(a) if field.compare]
    return all(same(getattr(a, name, None), getattr(b, name, None), seen) for name in names)
