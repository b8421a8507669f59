"""A small problem that trains in a blink."""

from collections.abc import Callable
from typing import Any

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


@pytest.fixture(scope="session")
def same_bits() -> Callable[[Any, Any], bool]:
    """Whether two trees hold the same arrays, bit for bit; keys by their data."""

    def bits(tree: Any) -> list[tuple[str, tuple[int, ...], bytes]]:
        arrays = [leaf for leaf in jax.tree.leaves(tree) if eqx.is_array(leaf)]
        plain = [
            np.asarray(jax.random.key_data(leaf) if jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key) else leaf)
            for leaf in arrays
        ]
        return [(array.dtype.str, array.shape, array.tobytes()) for array in plain]

    return lambda left, right: bits(left) == bits(right)


@pytest.fixture(autouse=True, scope="module")
def programs_of_their_own_are_compiled_quickly(quick_environment):
    """Most runs here take a few steps."""
