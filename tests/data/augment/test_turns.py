"""Augmentations one behind the other."""

import jax
import jax.numpy as jnp
import numpy as np

from matrinox.data import Crop, Noise, augmented

KEY = jax.random.key(0)


def test_augmentations_are_applied_in_turn_each_with_a_key_of_its_own():
    x = jnp.ones((3, 4, 4, 1))
    given = augmented(KEY, x, (Noise(0.1), Noise(0.1), Crop(2, resize=False)))
    once, twice, crop = (jax.random.fold_in(KEY, step) for step in range(3))
    due = Crop(2, resize=False)(crop, Noise(0.1)(twice, Noise(0.1)(once, x)))
    np.testing.assert_array_equal(given, due)
    assert jnp.abs(Noise(0.1)(once, x) - Noise(0.1)(twice, x)).min() > 0


def test_no_augmentation_changes_nothing():
    assert jnp.array_equal(augmented(KEY, np.arange(3), ()), jnp.arange(3))
