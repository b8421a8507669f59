"""What the tests of optimisers share."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from matrinox import nn


def drawn(key, shape, dtype):
    """As an initializer, but of NumPy: nothing is compiled for it."""
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


@pytest.fixture(scope="session")
def model():
    """A convolution, a norm and a dense map of 2×2 neurons."""
    return nn.Sequential(
        [
            nn.Conv2d(p=1, q=3, n=2, kernel=3, initializer=drawn, key=jax.random.key(0)),
            nn.LayerNorm(p=3, n=2),
            nn.ReLU(),
            nn.Dense(p=3, q=4, n=2, initializer=drawn, key=jax.random.key(0)),
        ]
    )


@pytest.fixture(scope="session")
def behind_steps():
    """The parameters behind each of some steps of gradients that are random, but the same for all."""

    def run(transformation: optax.GradientTransformation, model, steps=4):
        parameters, states = eqx.filter(model, eqx.is_inexact_array), []
        random, state = np.random.default_rng(0), transformation.init(parameters)
        update = jax.jit(transformation.update)
        for _ in range(steps):
            gradient = jax.tree.map(lambda leaf: random.normal(size=leaf.shape).astype(leaf.dtype), parameters)
            updates, state = update(gradient, state, parameters)
            parameters = eqx.apply_updates(parameters, updates)
            states.append(parameters)
        return states

    return run


@pytest.fixture(scope="session")
def same_steps(behind_steps):
    """Asserts that two transformations take a model the same way."""

    def check(found, due, model, **options):
        for pair in zip(behind_steps(found, model), behind_steps(due, model), strict=True):
            for left, right in zip(*map(jax.tree.leaves, pair), strict=True):
                np.testing.assert_allclose(left, right, **{"rtol": 1e-6, "atol": 1e-7, **options})

    return check
