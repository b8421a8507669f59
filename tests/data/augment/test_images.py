"""Augmentation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import shift_images


def test_shift_images_moves_each_image_whole_and_fills_with_zeros():
    """Every result is one of the nine shifts of its image, done by NumPy; all nine turn up."""
    images = jax.random.uniform(jax.random.key(0), (200, 4, 5, 2), minval=1.0)
    moved = np.asarray(shift_images(jax.random.key(1), images, pixels=1))
    padded = np.pad(np.asarray(images), ((0, 0), (1, 1), (1, 1), (0, 0)))
    seen = set()
    for i, result in enumerate(moved):
        match = [(y, x) for y in range(3) for x in range(3) if np.array_equal(padded[i, y : y + 4, x : x + 5], result)]
        assert len(match) == 1
        seen.add(match[0])
    assert len(seen) == 9


def test_shift_images_by_zero_pixels_is_the_identity():
    images = jax.random.normal(jax.random.key(0), (3, 4, 4, 1))
    assert jnp.array_equal(shift_images(jax.random.key(1), images, pixels=0), images)


def test_shift_images_keeps_batch_axes_and_dtype():
    images = np.ones((2, 3, 4, 4, 1), np.float16)
    moved = shift_images(jax.random.key(0), images)
    assert moved.shape == images.shape
    assert moved.dtype == jnp.float16
    assert shift_images(jax.random.key(0), images[0, 0]).shape == (4, 4, 1)


def test_shift_images_is_a_function_of_the_key():
    images = jax.random.normal(jax.random.key(0), (8, 4, 4, 1))
    a, b, c = (shift_images(jax.random.key(seed), images) for seed in (1, 1, 2))
    assert jnp.array_equal(a, b)
    assert not jnp.array_equal(a, c)


def test_shift_images_refuses_a_missing_axis():
    with pytest.raises(ContractError, match="at least 3 are due"):
        shift_images(jax.random.key(0), np.ones((8, 8), np.float32))


def test_shift_images_refuses_a_negative_number_of_pixels():
    with pytest.raises(ValueError, match=r"`pixels` \(=-1\) must be 0 or more"):
        shift_images(jax.random.key(0), np.ones((8, 8, 1), np.float32), pixels=-1)
