"""Weights of matrix neurons as the weights of other networks: written out over entries, or over larger matrices."""

import jax.numpy as jnp
from jax import Array


def written_out(W: Array) -> Array:
    """The map of entries that a weight of matrix neurons is, alike for each column: `W ⊗ I`.

    **Arguments:** `W`: `(q, p, *kernel, n, n)`.
    **Returns:** `(q·n·n, p·n·n, *kernel)`, features neuron by neuron, each row by row.
    """
    q, p, *kernel, n, _ = W.shape
    rows = jnp.moveaxis(W, (-2, -1), (1, 3))[:, :, None, :, :, None]
    columns = jnp.eye(n, dtype=W.dtype).reshape(1, 1, n, 1, 1, n, *(1,) * len(kernel))
    return (rows * columns).reshape(q * n * n, p * n * n, *kernel)


def with_identity(W: Array, k: int) -> Array:
    """`W ⊗ I_k`: each entry of the matrices on the diagonal of a k×k block, `(…, n, n)` to `(…, n·k, n·k)`."""
    return _kronecker(W, jnp.eye(k, dtype=W.dtype))


def with_ones(B: Array, k: int) -> Array:
    """`B ⊗ J_k`: each entry of the matrices in all of a k×k block, `(…, n, n)` to `(…, n·k, n·k)`."""
    return _kronecker(B, jnp.ones((k, k), B.dtype))


def _kronecker(A: Array, block: Array) -> Array:
    *lead, n, _ = A.shape
    k = len(block)
    return (A[..., :, None, :, None] * block[:, None, :]).reshape(*lead, n * k, n * k)


def block_means(X: Array, k: int) -> Array:
    """The mean of each k×k block, which undoes `with_ones`: `(…, n·k, n·k)` to `(…, n, n)`."""
    *lead, n, _ = X.shape
    return jnp.mean(X.reshape(*lead, n // k, k, n // k, k), axis=(-3, -1))
