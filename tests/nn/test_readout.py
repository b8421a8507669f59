import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import functional, nn
from matrinox.contract import ContractError

READOUTS = {
    nn.Mean: (functional.matrix_mean, lambda x: x.mean(axis=(-2, -1))),
    nn.Trace: (functional.matrix_trace, lambda x: np.trace(x, axis1=-2, axis2=-1)),
    nn.FrobeniusNorm: (functional.frobenius_norm, lambda x: np.linalg.norm(x, axis=(-2, -1))),
    nn.Flatten: (functional.flatten, lambda x: x.reshape(*x.shape[:-3], -1)),
}

every_readout = pytest.mark.parametrize("kind", READOUTS)


def test_readouts_by_hand():
    x = jnp.array([[[1.0, 2.0], [2.0, 4.0]], [[0.0, 3.0], [-4.0, 0.0]]])
    assert np.array_equal(nn.Mean()(x), [2.25, -0.25])
    assert np.array_equal(nn.Trace()(x), [5.0, 0.0])
    assert np.array_equal(nn.FrobeniusNorm()(x), [5.0, 5.0])
    assert np.array_equal(nn.Flatten()(x), [1, 2, 2, 4, 0, 3, -4, 0])


@every_readout
def test_readouts_equal_float64_numpy(kind):
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 4, 4))
    np.testing.assert_allclose(kind()(x.astype(np.float32)), READOUTS[kind][1](x), rtol=1e-5, atol=1e-6)


@every_readout
def test_readouts_are_their_functional_twins(kind):
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 4))
    assert np.array_equal(kind()(x), READOUTS[kind][0](x))


@every_readout
def test_readouts_of_1x1_neurons_are_their_numbers_up_to_sign(kind):
    x = jnp.array([3.0, -2.0])
    expected = jnp.abs(x) if kind is nn.FrobeniusNorm else x
    assert np.array_equal(kind()(x[:, None, None]), expected)


def test_the_gradient_of_the_norm_of_a_zero_matrix_is_finite():
    gradient = jax.grad(lambda x: nn.FrobeniusNorm()(x).sum())(jnp.zeros((2, 3, 3)))
    assert np.isfinite(gradient).all()


def test_flatten_then_fold_is_the_identity():
    x = jax.random.normal(jax.random.key(0), (5, 3, 4, 4))
    assert np.array_equal(nn.Fold(n=4)(nn.Flatten()(x)), x)


@every_readout
def test_readouts_refuse_matrices_that_are_not_square(kind):
    with pytest.raises(ContractError, match=rf"{kind.__name__} got x float32\[2, 4, 5\].*axis -1 is 5, n is 4"):
        kind()(jnp.ones((2, 4, 5)))
