"""Noise."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import Noise, add_noise

KEY = jax.random.key(0)


def test_noise_has_its_scale_and_no_mean():
    moved = np.asarray(add_noise(KEY, jnp.full((100, 1000), 3.0), scale=0.5), np.float64)
    assert moved.mean() == pytest.approx(3.0, abs=0.01)
    assert moved.std() == pytest.approx(0.5, abs=0.01)
    assert np.abs(np.corrcoef(moved[0], moved[1])[0, 1]) < 0.1


def test_noise_of_scale_zero_is_the_identity_and_dtypes_stay():
    x = jnp.arange(6.0, dtype=jnp.bfloat16)
    assert jnp.array_equal(add_noise(KEY, x, scale=0.0), x)
    # A number of NumPy would make float32 of it.
    assert add_noise(KEY, x, scale=np.float64(0.1)).dtype == jnp.bfloat16


def test_a_config_of_noise_does_what_the_function_does():
    x = np.ones((3, 2, 4, 4), np.float32)
    np.testing.assert_allclose(jax.jit(Noise(0.2))(KEY, x), add_noise(KEY, x, scale=0.2), rtol=1e-6)


def test_noise_that_cannot_be_is_refused():
    for scale in (-0.1, float("nan"), float("inf")):
        for make in (lambda scale=scale: Noise(scale), lambda scale=scale: add_noise(KEY, jnp.ones(2), scale=scale)):
            with pytest.raises(ValueError, match=r"`scale` \(=.*\) must be 0 or more, and finite"):
                make()
    with pytest.raises(ValueError, match=r"`Noise\.scale` is '0\.1', not a number"):
        Noise("0.1")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match="int32"):
        add_noise(KEY, jnp.ones(2, int))
