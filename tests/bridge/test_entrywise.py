from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import functional, nn
from matrinox.bridge.entrywise import is_entrywise


class Slope(eqx.Module):
    slope: jax.Array

    def __call__(self, x, *, key=None):
        return jnp.where(x > 0, x, self.slope * x)


YES = {
    "relu": jax.nn.relu,
    "a layer": nn.GELU(),
    "an option": partial(functional.elu, alpha=2.0),
    "a polynomial": lambda x: 1 - x**3 + x * jnp.exp(-(x**2)),
    "inner programs": jax.jit(jax.checkpoint(jax.nn.silu)),
    "a learned number": Slope(jnp.array(0.1)),
    "swish": lambda x: x * jax.nn.sigmoid(x),
}
NO = {
    "softmax": jax.nn.softmax,
    "sum": lambda x: x / jnp.sum(x),
    "transposed": jnp.matrix_transpose,
    "turned": lambda x: x[::-1],
    "a determinant": nn.ReLUd(),
    "a number for each entry": Slope(jnp.ones((3, 3))),
    "other shape": jnp.ravel,
    "cumulated": jnp.cumsum,
    "draws": lambda x: x + jax.random.normal(jax.random.key(0), x.shape),
    "two arguments": jnp.add,
    "mean": lambda x: x - jnp.mean(x),
    "constant of a shape": lambda x: x + jnp.arange(3.0),
    "constant of the very shape": lambda x: x * jnp.ones((2, 3, 3)),
    "an array of the very shape": jax.jit(lambda x: x * np.arange(18.0).reshape(2, 3, 3)),
    "a size": lambda x: x / x.shape[-1],
    "a size in an inner program": jax.jit(lambda x: x * x.size),
}


@pytest.mark.parametrize("name", YES)
def test_what_treats_each_entry_by_itself(name):
    assert is_entrywise(YES[name])


@pytest.mark.parametrize("name", NO)
def test_what_does_not_or_may_not(name):
    assert not is_entrywise(NO[name])
