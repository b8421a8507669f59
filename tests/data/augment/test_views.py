"""Views."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import Crop, Noise, augmented, two_views

KEY = jax.random.key(0)
X = np.arange(12, dtype=np.float32).reshape(3, 4)


def test_both_views_of_an_example_are_a_batch_apart_and_drawn_apart():
    views = two_views(KEY, X, augment=(Noise(0.1),))
    first, second = jax.random.split(KEY)
    np.testing.assert_array_equal(views[:3], augmented(first, X, (Noise(0.1),)))
    np.testing.assert_array_equal(views[3:], augmented(second, X, (Noise(0.1),)))
    assert jnp.abs(views[:3] - views[3:]).min() > 0


def test_partners_are_the_second_views():
    np.testing.assert_array_equal(two_views(KEY, X, X + 100), np.concatenate([X, X + 100]))
    moved = two_views(KEY, X, X + 100, augment=(Noise(0.1),))
    assert np.abs(moved[3:] - X - 100).max() < 1
    assert two_views(KEY, np.ones((2, 4, 4, 1), np.float32), augment=(Crop(2, resize=False),)).shape == (4, 2, 2, 1)


def test_views_that_are_equal_or_of_two_shapes_are_refused():
    with pytest.raises(ValueError, match=r"`augment` \(=\(\)\) must change something"):
        two_views(KEY, X)
    with pytest.raises(ContractError):
        two_views(KEY, X, X[:2])
