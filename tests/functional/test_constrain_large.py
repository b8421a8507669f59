"""The spectral norm of large matrices is bounded by products alone."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.functional import bound_spectral_norm
from matrinox.functional.constrain import _by_squaring

SHAPES = pytest.mark.parametrize("shape", [(33, 33), (64, 40)], ids=str)


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape)


def largest(x):
    return np.linalg.svd(np.asarray(x, np.float64), compute_uv=False)[..., 0]


@SHAPES
def test_large_matrices_are_bounded_as_small_ones_are(shape):
    x = draw(*shape).astype(np.float32)
    bounded = bound_spectral_norm(x, 0.7)
    assert largest(bounded) <= 0.7 * (1 + 1e-6)
    np.testing.assert_allclose(bounded, 0.7 * x / largest(x), rtol=2e-6)
    np.testing.assert_array_equal(bound_spectral_norm(x, 2 * largest(x)), x)


def test_where_all_singular_values_are_the_largest_they_are_within_one_in_a_million():
    x = np.linalg.qr(draw(64, 64))[0].astype(np.float32)
    np.testing.assert_allclose(bound_spectral_norm(x), x, atol=1e-6)


def test_the_range_of_floats_and_zero():
    x = draw(33, 33).astype(np.float32)
    for scale in (1e-30, 1e30):
        np.testing.assert_allclose(bound_spectral_norm(scale * x, scale), scale * x / largest(x), rtol=2e-6)
    value, slope = jax.jit(jax.value_and_grad(lambda x: jnp.sum(bound_spectral_norm(x))))(jnp.zeros((33, 33)))
    assert value == 0
    np.testing.assert_array_equal(slope, 1)


def test_first_and_second_derivatives_match_finite_differences(x64):
    x = draw(33, 34)
    rate = jnp.asarray(draw(34, 33).T)
    check_grads(jax.jit(lambda x: jnp.sum(rate * bound_spectral_norm(x))), (x,), order=2, modes=["rev"], rtol=1e-5)


def test_the_slope_is_that_of_the_decomposition(x64):
    x = draw(2, 33, 40)
    left, _, right = np.linalg.svd(x, full_matrices=False)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(_by_squaring(x))))(x)
    np.testing.assert_allclose(slope, left[..., :, :1] @ right[..., :1, :], atol=1e-7)
