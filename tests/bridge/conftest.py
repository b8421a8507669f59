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
    """A layer with random numbers for every array of floats, so that no weight is one and no bias zero.

    From a function that builds one, it is made without drawing its own first, which would compile for each shape.
    """

    def drawn(layer, seed=1):
        rng = np.random.default_rng(seed)

        def numbers(leaf):
            if not hasattr(leaf, "dtype") or not jnp.issubdtype(leaf.dtype, jnp.inexact):
                return leaf
            return jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype)

        built = layer if isinstance(layer, eqx.Module) else eqx.filter_eval_shape(layer)
        return jax.tree.map(numbers, built)

    return drawn


@pytest.fixture(scope="session")
def scalars():
    """Examples of matrix neurons, `(batch, *space, p, n, n)`, as those of Equinox, `(batch, p·n·n, *space)`."""
    return lambda x: jnp.moveaxis(x.reshape(*x.shape[:-3], -1), -1, 1)


@pytest.fixture(scope="session")
def assert_folded(scalars):
    """What the folded layer gives for each example is what the layer gives for the batch; it gives the folded one."""

    def assert_folded(layer, x, *, gives_matrices=True, **options):
        # One program for all of it: what is folded eagerly would compile operation by operation.
        @eqx.filter_jit
        def both(layer, x):
            folded = to_equinox(layer, **options)
            y, expected = eqx.filter_vmap(folded)(scalars(x)), layer(x)
            return folded, y, scalars(expected) if gives_matrices else expected

        folded, y, expected = both(layer, x)
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=2e-6)
        return folded

    return assert_folded
