"""What the dry runs of a model have in common: how inputs are told by shapes alone, and how a table is printed."""

from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np


def is_state(node: Any) -> bool:
    """Whether this is the state of a model, which no other array is counted with."""
    return isinstance(node, eqx.nn.State)


def is_shaped(leaf: Any) -> bool:
    """Whether this is an array, or stands for one."""
    return hasattr(leaf, "shape") and hasattr(leaf, "dtype")


def is_key(array: Any) -> bool:
    """Whether this is a random key, of JAX's own dtype for them."""
    return jnp.issubdtype(array.dtype, jax.dtypes.prng_key)


def shape_of(leaf: Any) -> Any:
    """The shape of an array, and what is none as it is."""
    return tuple(leaf.shape) if is_shaped(leaf) else leaf


def narrowed(leaf: Any) -> Any:
    """A NumPy array as JAX takes it: of JAX's own dtype, which without 64 bits is narrower than NumPy's."""
    if not isinstance(leaf, np.ndarray):
        return leaf
    return jax.ShapeDtypeStruct(leaf.shape, jax.dtypes.canonicalize_dtype(leaf.dtype))


WATCHED = "_watched"
"""The attribute in which a method that tells a dry run of its calls keeps the method that it stands for."""


def unwatched(method: Any) -> Any:
    """The method as its class has it, where a dry run watches its calls."""
    return getattr(method, WATCHED, method)


def table(rows: Sequence[Sequence[str]], *, numbers: int | None = None) -> str:
    """Rows of text in aligned columns; those from `numbers` on are aligned to the right."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    first = len(widths) if numbers is None else numbers
    sides = [str.ljust if column < first else str.rjust for column in range(len(widths))]
    return "\n".join(
        "  ".join(side(cell, width) for side, cell, width in zip(sides, row, widths, strict=True)).rstrip()
        for row in rows
    )
