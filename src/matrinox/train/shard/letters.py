"""The letters of the axes of a model's arrays, as the annotations of its modules name them."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax.tree_util as jtu
from jaxtyping import Array, PyTree

from matrinox.contract.axes import align, array_annotations, read_axes
from matrinox.contract.decorator import field_hints

Path = tuple[Any, ...]
"""Where a leaf is, as JAX gives it."""
Letters = tuple[str, ...]
"""What each axis is called, `""` where nothing says: `("q", "p", "n", "n")`, `("gates*q", "q+p", "n", "n")`."""


def axis_letters(model: PyTree) -> Iterator[tuple[Path, Array, Letters]]:
    """Every array of a model, in the order of the tree, with what its axes are called.

    A field says so in its annotation, such as `weight: Float[Array, "q p n n"]`. Axes in front of those that it names,
    as those of layers stacked by `eqx.filter_vmap`, have no letter, and neither has an array in a field that is
    annotated otherwise, or within a list.

    **Arguments:** `model`: any pytree.
    """
    return _walk(model, ())


def _walk(node: PyTree, path: Path) -> Iterator[tuple[Path, Array, Letters]]:
    hints = field_hints(type(node)) if isinstance(node, eqx.Module) else {}
    for key, child in _children(node):
        if eqx.is_array(child):
            hint = hints.get(getattr(key, "name", ""))
            yield (*path, key), child, _letters_of(hint, node, child.ndim)
        elif child is not node:
            yield from _walk(child, (*path, key))


def _children(node: PyTree) -> Iterator[tuple[Any, Any]]:
    for path, child in jtu.tree_flatten_with_path(node, is_leaf=lambda inner: inner is not node)[0]:
        if path:
            yield path[0], child


def _letters_of(hint: Any, module: Any, rank: int) -> Letters:
    for annotation in array_annotations(hint):
        axes = read_axes(annotation.dim_str, {"self": module}, {})
        due = sum(not axis.variadic for axis in axes)
        if rank < due:
            continue
        variadic = any(axis.variadic for axis in axes)
        front = 0 if variadic else rank - due
        letters = [""] * rank
        for axis, place in align(axes, rank - front):
            if isinstance(place, slice):
                letters[place] = [axis.label] * len(letters[place])
            else:
                letters[place + front if place >= 0 else place] = axis.label
        return tuple(letters)
    return ("",) * rank
