"""Denoising."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import add_noise
from matrinox.train import Denoising

KEY = jax.random.key(0)


def test_the_model_is_given_noise_and_compared_with_what_was_clean():
    x = np.random.RandomState(0).normal(size=(3, 2, 4, 4)).astype(np.float32)
    noisy, (clean, counts) = Denoising(0.3).prepare(x, None, key=KEY)
    np.testing.assert_array_equal(noisy, add_noise(KEY, x, scale=0.3))
    np.testing.assert_array_equal(clean, x)
    assert counts.all()
    assert float(Denoising(0.3).loss(noisy, (clean, counts))) == pytest.approx(
        float(np.mean((noisy - x) ** 2)), rel=1e-6
    )


def test_noise_that_leaves_nothing_to_do_is_refused():
    for scale in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"`scale` \(=.*\) must be"):
            Denoising(scale)
    with pytest.raises(ValueError, match=r"`Denoising\.error` is 'mae', not one of 'mse', 'bce'"):
        Denoising(error="mae")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError):
        Denoising().prepare(jnp.ones((3, 2), int), None, key=KEY)
