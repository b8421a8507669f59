import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import (
    flatten,
    flatten_batch,
    flatten_linear,
    frobenius_norm,
    matrix_mean,
    matrix_trace,
    reduce_sum,
)

FORMULAS = {
    matrix_mean: lambda x: x.mean((-2, -1)),
    matrix_trace: lambda x: np.einsum("...ii", x),
    frobenius_norm: lambda x: np.linalg.norm(x, axis=(-2, -1)),
    flatten: lambda x: x.reshape(*x.shape[:-3], -1),
    reduce_sum: lambda x: x.sum((-3, -2, -1)),
}
EACH = pytest.mark.parametrize("readout", FORMULAS, ids=lambda readout: readout.__name__)


def draw():
    return np.random.default_rng(0).normal(size=(2, 5, 3, 4, 4))


def test_readouts_of_a_matrix_worked_out_by_hand():
    x = jnp.array([[[1.0, 2.0], [2.0, 4.0]]])
    assert matrix_mean(x).tolist() == [2.25]
    assert matrix_trace(x).tolist() == [5]
    assert frobenius_norm(x).tolist() == [5]
    assert flatten(x).tolist() == [1, 2, 2, 4]
    assert reduce_sum(x).tolist() == 9
    assert flatten_batch(x[None]).tolist() == [[1, 2, 2, 4]]
    assert flatten_linear(jnp.arange(8.0).reshape(2, 1, 2, 2), x, jnp.array([1.0, -1.0])).tolist() == [19, 53]


@EACH
def test_readouts_equal_their_formulas_in_numpy(x64, readout):
    x = draw()
    np.testing.assert_allclose(readout(x), FORMULAS[readout](x), rtol=1e-12)


@EACH
def test_readout_gradients_match_finite_differences(x64, readout):
    check_grads(jax.jit(readout), (draw()[0, 0],), order=1)


@EACH
def test_readouts_take_any_leading_axes(x64, readout):
    x = draw()
    y = readout(x)
    np.testing.assert_allclose(jax.jit(readout)(x), y, rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(jax.vmap(readout))(x), y, rtol=1e-12)
    np.testing.assert_allclose(readout(x[1, 2]), y[1, 2], rtol=1e-12)


@EACH
def test_readouts_keep_half_precision(readout):
    x = jnp.asarray(draw(), jnp.bfloat16)
    y = readout(x)
    assert y.dtype == jnp.bfloat16
    assert np.array_equal(y, jnp.asarray(FORMULAS[readout](np.asarray(x, np.float32)), jnp.bfloat16))


def test_readouts_of_half_precision_sum_in_single_precision():
    # A running sum of ones in bfloat16 stops at 256; a square of 300 is beyond float16.
    assert matrix_mean(jnp.ones((1, 32, 32), jnp.bfloat16)).tolist() == [1]
    assert frobenius_norm(jnp.full((1, 2, 2), 300, jnp.float16)).tolist() == [600]
    ones = jnp.ones((1, 32, 32), jnp.bfloat16)
    assert reduce_sum(ones).tolist() == 1024
    assert flatten_linear(ones[None], ones).tolist() == [1024]


def test_the_norm_of_a_zero_matrix_has_gradient_zero():
    x = jnp.zeros((2, 3, 3)).at[1, 0, 0].set(2.0)
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(frobenius_norm(x))))(x)
    assert np.array_equal(gradient, x / 2)


def test_trace_and_norm_do_not_depend_on_the_basis(x64):
    x, g = draw()[0, 0], draw()[1, 0, 0]
    np.testing.assert_allclose(matrix_trace(g @ x @ np.linalg.inv(g)), matrix_trace(x), rtol=1e-9)
    turn, _ = np.linalg.qr(g)
    np.testing.assert_allclose(frobenius_norm(turn @ x), frobenius_norm(x), rtol=1e-12)


@EACH
def test_readouts_refuse_a_wrong_shape(readout):
    with pytest.raises(ContractError, match="axis -1 is 5, n is 4"):
        readout(jnp.ones((3, 4, 5)))
    with pytest.raises(ContractError, match="at least 3"):
        readout(jnp.ones((4, 4)))


@EACH
@pytest.mark.filterwarnings("error")
def test_numpy_double_precision_is_taken_without_a_warning(readout):
    assert readout(draw()).dtype == jnp.float32


@pytest.mark.parametrize("axis", [-3, -4, (-2, -1), (-5, -3)])
def test_a_sum_along_axes_equals_numpy(x64, axis):
    x = draw()
    np.testing.assert_allclose(reduce_sum(x, axis), x.sum(axis), rtol=1e-12)
    assert reduce_sum(x, axis, keepdims=True).shape == x.sum(axis, keepdims=True).shape


def test_flatten_batch_keeps_the_first_axis_alone(x64):
    x = draw()
    assert np.array_equal(flatten_batch(x), x.reshape(2, -1))
    assert flatten_batch(x[:0]).shape == (0, 240)
    check_grads(jax.jit(flatten_batch), (x,), order=1)
    with pytest.raises(ContractError, match="axis -1 is 5, n is 4"):
        flatten_batch(jnp.ones((2, 3, 4, 5)))
    with pytest.raises(ContractError, match=r"it has 3 axes, at least 4 are due"):
        flatten_batch(jnp.ones((3, 4, 4)))


def test_flatten_linear_is_one_linear_map_of_all_entries(x64):
    rng = np.random.default_rng(1)
    x, weight, bias = draw(), rng.normal(size=(6, 3, 4, 4)), rng.normal(size=6)
    expected = x.reshape(2, 5, 48) @ weight.reshape(6, 48).T
    np.testing.assert_allclose(flatten_linear(weight, x), expected, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(flatten_linear(weight, x, bias), expected + bias, rtol=1e-10, atol=1e-12)
    check_grads(jax.jit(flatten_linear), (weight, x[0, 0], bias), order=1)


def test_flatten_linear_refuses_shapes_that_do_not_fit():
    weight, x = jnp.ones((6, 3, 4, 4)), jnp.ones((2, 3, 4, 4))
    with pytest.raises(ContractError, match=r"flatten_linear got x float32\[2, 4, 4\].*axis -3 is 2, p is 3"):
        flatten_linear(weight, x[0, :2])
    with pytest.raises(ContractError, match=r"got bias float32\[5\].*axis 0 is 5, features is 6"):
        flatten_linear(weight, x, jnp.ones(5))
    assert flatten_linear(weight.astype(jnp.bfloat16), x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_a_sum_refuses_axes_that_are_not_there():
    with pytest.raises(ValueError, match=r"`axis` \(=-4\) must be of the 3 axes of x: choose from -3 to -1"):
        reduce_sum(jnp.ones((2, 4, 4)), -4)
    with pytest.raises(ValueError, match=r"`axis` \(=1\) must be below 0"):
        reduce_sum(jnp.ones((2, 4, 4)), 1)
