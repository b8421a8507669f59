"""A small problem that trains in a blink."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.data import DataSet
from matrinox.train import AdamW, Recipe


class Linear(eqx.Module):
    """Logits of rows, behind dropout."""

    weight: jax.Array
    bias: jax.Array
    dropout: eqx.nn.Dropout

    def __init__(self, features: int, classes: int, rate: float = 0.0):
        self.weight = jnp.zeros((features, classes))
        self.bias = jnp.zeros(classes)
        self.dropout = eqx.nn.Dropout(rate)

    def __call__(self, x, *, key=None):
        return self.dropout(x, key=key) @ self.weight + self.bias


@pytest.fixture(scope="session")
def linear() -> type[Linear]:
    return Linear


@pytest.fixture(scope="session")
def blobs() -> DataSet:
    """90 points of three classes around three corners, with some overlap."""
    random = np.random.RandomState(0)
    targets = np.tile([0, 1, 2], 30)
    corners = np.array([[1.0, 0.0], [-1.0, 1.0], [0.0, -1.0]])
    return DataSet((corners[targets] + 0.8 * random.normal(size=(90, 2))).astype(np.float32), targets, name="blobs")


@pytest.fixture(scope="session")
def recipe() -> Recipe:
    return Recipe(steps=23, batch=8, steps_per_round=5, optimiser=AdamW(learning_rate=0.1))
