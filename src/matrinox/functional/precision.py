"""How wide a sum is taken."""

import jax.numpy as jnp
from jax import Array

from matrinox.contract import AnyArray


def widen(x: AnyArray) -> Array:
    """`x`, half precision as float32: a running sum in half precision stops growing, or overflows before the mean."""
    # First a JAX array: the dtype of a NumPy one may be wider than JAX is set to.
    x = jnp.asarray(x)
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))
