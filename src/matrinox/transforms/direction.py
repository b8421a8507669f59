"""Tangents and cotangents, fitted to what they are of: filled with zeros where they are left out, and checked."""

from typing import Any

import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PyTree

from matrinox.transforms.leaf import describe


def fitted(given: PyTree, of: PyTree, what: str) -> PyTree:
    """`given` as a tree like `of`: zeros for each `None` in it, nothing where `of` has `None`.

    **Arguments:** `given`: tangents or cotangents, called `what` in messages; `of`: a tree of arrays and numbers.
    **Returns:** a tree of arrays of the shapes and dtypes of `of`.
    **Raises:** `ValueError` for another structure, naming both, or another shape or dtype, naming the path.
    """

    def fit(path: tuple[Any, ...], leaf: Any, part: PyTree) -> PyTree:
        if leaf is None or part is None:
            return jax.tree.map(_zeros, part)
        if not jtu.all_leaves([part]):
            raise _misfit(what + jtu.keystr(path), leaf, part)
        shape, dtype = jnp.shape(part), jnp.result_type(part)
        name = f"`{what}{jtu.keystr(path)}` is {describe(leaf)}"
        if not jnp.issubdtype(dtype, jnp.inexact):
            raise ValueError(f"{name}, and what it is of, {describe(part)}, has no derivative: give `None`.")
        if isinstance(leaf, int | float) or (isinstance(leaf, complex) and jnp.issubdtype(dtype, jnp.complexfloating)):
            leaf = jnp.asarray(leaf, dtype)
        if jnp.shape(leaf) != shape or jnp.result_type(leaf) != dtype:
            due = describe(jax.ShapeDtypeStruct(shape, dtype))
            raise ValueError(f"{name}, and must be {due}, as what it is of: reshape or cast it.")
        return leaf

    try:
        jax.tree.map(lambda *_: None, given, of, is_leaf=_is_none)
    except ValueError as error:
        raise _misfit(what, given, of) from error
    return jtu.tree_map_with_path(fit, given, of, is_leaf=_is_none)


def _misfit(what: str, given: PyTree, of: PyTree) -> ValueError:
    return ValueError(
        f"`{what}` is {_structure(given)}, and must be {_structure(of)}, as what it is of; `None` is for zeros."
    )


def _is_none(value: Any) -> bool:
    return value is None


def _zeros(leaf: Any) -> Any:
    if jnp.issubdtype(jnp.result_type(leaf), jnp.inexact):
        return jnp.zeros_like(leaf)
    # What JAX takes for the derivative of an integer.
    return np.zeros(jnp.shape(leaf), jax.dtypes.float0)


def _structure(tree: PyTree) -> str:
    return "one array" if jtu.all_leaves([tree]) else str(jax.tree.structure(tree)).removeprefix("PyTreeDef")


def without_float0(tree: PyTree) -> PyTree:
    """`tree` with `None` for the derivatives of what has none."""
    return jax.tree.map(lambda leaf: None if getattr(leaf, "dtype", None) == jax.dtypes.float0 else leaf, tree)
