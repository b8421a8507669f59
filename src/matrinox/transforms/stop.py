"""Stopping gradients: a tree whose values count, and through which nothing is differentiated."""

import jax
from jaxtyping import PyTree

from matrinox.contract import contract


@contract
def stop_gradient(x: PyTree) -> PyTree:
    """`x` as a constant to every derivative, forward and reverse: `d stop_gradient(x) / dx = 0`.

    **Arguments:** `x`: any tree, a module too.
    **Returns:** the same tree. What is no JAX array, such as a function, a number or a NumPy array, is kept as it is.
    **Source:** MLX and JAX, `stop_gradient`.

    >>> jax.grad(lambda x: x * stop_gradient(x))(3.0)
    Array(3., dtype=float32, weak_type=True)
    """
    return jax.tree.map(lambda leaf: jax.lax.stop_gradient(leaf) if isinstance(leaf, jax.Array) else leaf, x)
