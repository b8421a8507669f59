"""Computing in bfloat16: a model and its inputs in it, and what comes out in float32 again."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from matrinox.contract import AnyArray
from matrinox.data.normalize import Normalize


class _Rounding(Normalize):
    """Normalises in float32, and rounds what it gives."""

    def __call__(self, x: AnyArray, *, key: PRNGKeyArray | None = None) -> Array:
        return super().__call__(x, key=key).astype(jnp.bfloat16)


def in_bfloat16(model: PyTree, inputs: PyTree) -> tuple[Any, PyTree]:
    """A model and its inputs with every array of floats in bfloat16, which keeps 8 bits of a number.

    Of a number far from 0, such as a year, these are too few for what normalising would leave of it: where the model
    has `data.Normalize` layers, the inputs stay as they are, and what these layers give is rounded instead.

    **Arguments:** `model`; `inputs`.
    **Returns:** both.
    """
    normalises = any(map(_is_normalize, jax.tree.leaves(model, is_leaf=_is_normalize)))

    def rounded(node: Any) -> Any:
        if not _is_normalize(node):
            return cast(node, jnp.bfloat16)
        # Type checkers give a subclass the constructor of its fields, and not the one that it inherits.
        return _Rounding(node.offset, node.scale)  # pyright: ignore[reportCallIssue]

    model = jax.tree.map(rounded, model, is_leaf=_is_normalize)
    return model, inputs if normalises else cast(inputs, jnp.bfloat16)


def cast(tree: PyTree, dtype: Any) -> PyTree:
    """The tree with every array of floats in that dtype.

    **Arguments:** `tree`; `dtype`.
    """

    def one(leaf: Any) -> Any:
        is_float = isinstance(leaf, Array | np.ndarray) and jnp.issubdtype(leaf.dtype, jnp.floating)
        return leaf.astype(dtype) if is_float else leaf

    return jax.tree.map(one, tree)


def _is_normalize(node: Any) -> bool:
    return isinstance(node, Normalize)
