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
    nn.FlattenBatch: (functional.flatten_batch, lambda x: x.reshape(len(x), -1)),
    nn.Sum: (functional.reduce_sum, lambda x: x.sum(axis=(-3, -2, -1))),
}

every_readout = pytest.mark.parametrize("kind", READOUTS)


def test_readouts_by_hand():
    x = jnp.array([[[1.0, 2.0], [2.0, 4.0]], [[0.0, 3.0], [-4.0, 0.0]]])
    assert np.array_equal(nn.Mean()(x), [2.25, -0.25])
    assert np.array_equal(nn.Trace()(x), [5.0, 0.0])
    assert np.array_equal(nn.FrobeniusNorm()(x), [5.0, 5.0])
    assert np.array_equal(nn.Flatten()(x), [1, 2, 2, 4, 0, 3, -4, 0])
    assert np.array_equal(nn.FlattenBatch()(x[:, None]), [[1, 2, 2, 4], [0, 3, -4, 0]])
    assert nn.Sum()(x) == 8
    assert np.array_equal(nn.Sum(-3)(x), [[1, 5], [-2, 4]])
    assert np.array_equal(nn.Sum((-2, -1), keepdims=True)(x), [[[9]], [[-1]]])


@every_readout
def test_readouts_equal_float64_numpy(kind):
    x = np.random.default_rng(0).normal(size=(2, 5, 3, 4, 4))
    np.testing.assert_allclose(kind()(x.astype(np.float32)), READOUTS[kind][1](x), rtol=1e-5, atol=1e-6)


@every_readout
def test_readouts_are_their_functional_twins(kind):
    x = jax.random.normal(jax.random.key(0), (2, 3, 4, 4))
    assert np.array_equal(kind()(x), READOUTS[kind][0](x))


@every_readout
def test_readouts_of_1x1_neurons_are_their_numbers_up_to_sign_and_sum(kind):
    x = jnp.array([[3.0, -2.0]])
    expected = {nn.FrobeniusNorm: [[3, 2]], nn.Sum: [1]}.get(kind, x)
    assert np.array_equal(kind()(x[..., None, None]), expected)


def test_the_gradient_of_the_norm_of_a_zero_matrix_is_finite():
    gradient = jax.grad(lambda x: nn.FrobeniusNorm()(x).sum())(jnp.zeros((2, 3, 3)))
    assert np.isfinite(gradient).all()


def test_flatten_then_fold_is_the_identity():
    x = jax.random.normal(jax.random.key(0), (5, 3, 4, 4))
    assert np.array_equal(nn.Fold(n=4)(nn.Flatten()(x)), x)


@every_readout
def test_readouts_refuse_matrices_that_are_not_square(kind):
    with pytest.raises(ContractError, match=rf"{kind.__name__} got x float32\[2, (3, )?4, 5\].*axis -1 is 5, n is 4"):
        kind()(jnp.ones((2, 3, 4, 5) if kind is nn.FlattenBatch else (2, 4, 5)))


def test_flatten_batch_takes_all_but_the_first_axis_for_the_example():
    x = np.random.default_rng(0).normal(size=(3, 2, 5, 2, 2, 2)).astype(np.float32)
    assert np.array_equal(nn.FlattenBatch()(x), x.reshape(3, 80))
    assert np.array_equal(jax.vmap(nn.FlattenBatch())(x), x.reshape(3, 2, 40))
    with pytest.raises(
        ContractError, match=r"FlattenBatch got x float32\[2, 2, 2\].*it has 3 axes, at least 4 are due"
    ):
        nn.FlattenBatch()(x[0, 0, 0])


def test_sum_over_time_and_neurons_equals_numpy():
    x = np.random.default_rng(0).normal(size=(3, 5, 2, 2, 2)).astype(np.float32)
    for axis in (-4, (-4, -3), (-5, -4, -3, -2, -1)):
        np.testing.assert_allclose(nn.Sum(axis)(x), x.sum(axis), rtol=1e-5, atol=1e-5)


def test_sum_refuses_axes_that_would_count_the_batch_or_are_not_there():
    with pytest.raises(ValueError, match=r"`axis` \(=0\) must be below 0: count from the end"):
        nn.Sum(0)
    with pytest.raises(ValueError, match=r"`axis` \(=-4\) must be of the 3 axes of x: choose from -3 to -1"):
        nn.Sum(-4)(jnp.ones((2, 4, 4)))


def test_flatten_space_reads_the_places_row_by_row():
    x = np.random.default_rng(0).normal(size=(2, 3, 5, 2, 4, 4)).astype(np.float32)
    tokens = nn.FlattenSpace()(x)
    assert tokens.shape == (2, 15, 2, 4, 4)
    assert all(np.array_equal(tokens[:, 5 * i + j], x[:, i, j]) for i in range(3) for j in range(5))
    assert np.array_equal(nn.FlattenSpace()(x[0]), tokens[0])
    with pytest.raises(ContractError, match=r"FlattenSpace got x float32\[5, 2, 4, 4\].*it has 4 axes, at least 5"):
        nn.FlattenSpace()(x[0, 0])
