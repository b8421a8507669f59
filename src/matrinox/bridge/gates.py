"""The gates of a GRU in the order of the other side: ours are z, r, n, those of Equinox r, z, n."""

import jax.numpy as jnp
from jax import Array


def first_two_exchanged(gates: Array | None) -> Array | None:
    """Three fused gates, `(3q, …)`, with the first and the second in each other's place; `None` for none."""
    if gates is None:
        return None
    first, second, third = jnp.split(gates, 3)
    return jnp.concatenate([second, first, third])
