"""`svd`, `singular_values`: the singular value decomposition, which ends for every input."""

from typing import NamedTuple

import jax.numpy as jnp
from jax import Array


class Singular(NamedTuple):
    """`X = left @ diag(values) @ right`."""

    left: Array
    values: Array
    right: Array


def svd(x: Array) -> Singular:
    """The decomposition of each matrix with the shorter of its sides, NaN where an entry is not finite.

    That of JAX never returns for an infinite one on the CPU.
    """
    return Singular(*jnp.linalg.svd(_finite(x), full_matrices=False))


def singular_values(x: Array) -> Array:
    """Those of each matrix, the largest first, NaN where an entry is not finite."""
    return jnp.linalg.svd(_finite(x), compute_uv=False)


def _finite(x: Array) -> Array:
    return jnp.where(jnp.all(jnp.isfinite(x), axis=(-2, -1), keepdims=True), x, jnp.nan)
