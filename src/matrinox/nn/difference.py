"""Where two modules differ in more than the values of their arrays."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.tree_util as jtu
import numpy as np

from matrinox.paths import show


def is_array(leaf: Any) -> bool:
    """Whether a leaf is an array or a scalar of JAX or NumPy, traced or not."""
    return isinstance(leaf, jax.Array | np.ndarray | np.generic)


def alike(first: Any, other: Any) -> bool:
    """Whether the two are of one structure, with arrays of equal shapes and dtypes, and all else equal."""
    leaves, others = jax.tree.leaves(first), jax.tree.leaves(other)
    if jax.tree.structure(first) != jax.tree.structure(other):
        return False
    return all(_alike_leaves(*pair) for pair in zip(leaves, others, strict=True))


def difference(first: Any, other: Any) -> tuple[str, str, str] | None:
    """The first place where the two are not alike: its path, and what each has there."""
    return _difference(first, other, ())


def _alike_leaves(a: Any, b: Any) -> bool:
    if is_array(a) or is_array(b):
        return is_array(a) and is_array(b) and (a.shape, a.dtype) == (b.shape, b.dtype)
    return a is b or (type(a) is type(b) and equal(a, b))


def equal(a: Any, b: Any) -> bool:
    """Whether two values that are no arrays are known to be equal."""
    try:
        return bool(a == b)
    except Exception:
        # What cannot be compared is not known to be equal.
        return False


def _difference(a: Any, b: Any, path: tuple[Any, ...]) -> tuple[str, str, str] | None:
    (children, treedef), (others, other_treedef) = one_level(a), one_level(b)
    # A module without parts, which JAX too takes for a leaf, is none here.
    leaf = jtu.all_leaves([a]) or jtu.all_leaves([b])
    if leaf or type(a) is not type(b):
        return None if leaf and _alike_leaves(a, b) else (show(path), say(a), say(b))
    for field in dataclasses.fields(a) if isinstance(a, eqx.Module) else ():
        mine, theirs = getattr(a, field.name, None), getattr(b, field.name, None)
        if field.metadata.get("static", False) and not equal(mine, theirs):
            return show((*path, jtu.GetAttrKey(field.name))), say(mine), say(theirs)
    if [key for key, _ in children] != [key for key, _ in others]:
        return show(path), _parts(children), _parts(others)
    for (key, child), (_, other) in zip(children, others, strict=True):
        found = _difference(child, other, path + key)
        if found:
            return found
    return None if treedef == other_treedef else (show(path), say(a), say(b))


def one_level(node: Any) -> tuple[list[tuple[Any, Any]], Any]:
    """The parts of a node with the key of each, and what holds them together."""
    return jtu.tree_flatten_with_path(node, is_leaf=lambda part: part is not node)


def _parts(children: list[tuple[Any, Any]]) -> str:
    return f"of {', '.join(show(key) for key, _ in children) or 'nothing'}"


def say(value: Any) -> str:
    """An array by its shape, a function by its name, a module or container by its type, a value by its text."""
    if is_array(value):
        return f"{value.dtype}[{', '.join(map(str, value.shape))}]"
    if hasattr(value, "__qualname__"):
        return value.__qualname__
    plain = value is None or isinstance(value, bool | int | float | complex | str | tuple)
    return repr(value) if plain else f"a {type(value).__name__}"
