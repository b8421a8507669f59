"""What the tests of the bridge share: numbers, random weights, and the law that a folded layer keeps."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.bridge import to_equinox


@pytest.fixture(scope="session")
def draw():
    """Normal numbers of a shape, the same each time."""

    def draw(*shape, dtype=jnp.float32):
        return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)

    return draw


@pytest.fixture(scope="session")
def drawn():
    """A layer with random numbers for every array of floats, so that no weight is one and no bias zero."""

    def drawn(layer, seed=1):
        rng = np.random.default_rng(seed)
        return jax.tree.map(
            lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype) if eqx.is_inexact_array(leaf) else leaf,
            layer,
        )

    return drawn


@pytest.fixture(scope="session")
def scalars():
    """Examples of matrix neurons, `(batch, *space, p, n, n)`, as those of Equinox, `(batch, p·n·n, *space)`."""
    return lambda x: jnp.moveaxis(x.reshape(*x.shape[:-3], -1), -1, 1)


@pytest.fixture(scope="session")
def assert_folded(scalars):
    """What the folded layer gives for each example is what the layer gives for the batch; it gives the folded one."""

    def assert_folded(layer, x, *, gives_matrices=True, **options):
        folded = to_equinox(layer, **options)
        y = eqx.filter_jit(eqx.filter_vmap(folded))(scalars(x))
        expected = eqx.filter_jit(layer)(x)
        np.testing.assert_allclose(y, scalars(expected) if gives_matrices else expected, rtol=1e-5, atol=2e-6)
        return folded

    return assert_folded
