import jax
import jax.numpy as jnp
import matnets
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox import functional
from matrinox.contract import ContractError
from matrinox.functional import elu, gelu, leaky_relu, softmax

# What each is, in NumPy.
FORMULAS = {
    "identity": lambda x: x,
    "relu": lambda x: np.where(x > 0, x, 0),
    "leaky_relu": lambda x: np.where(x > 0, x, 0.01 * x),
    "elu": lambda x: np.where(x > 0, x, np.exp(x) - 1),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "tanh": lambda x: (np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x)),
    "softplus": lambda x: np.log(1 + np.exp(x)),
    "gelu": lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    "silu": lambda x: x / (1 + np.exp(-x)),
    "softmax": lambda x: np.exp(x) / np.exp(x).sum(-1, keepdims=True),
}
EACH = pytest.mark.parametrize("name", FORMULAS)


def draw():
    return np.random.default_rng(0).normal(size=(2, 3, 4, 4))


@EACH
def test_activations_equal_their_formulas(x64, name):
    x = draw()
    np.testing.assert_allclose(getattr(functional, name)(x), FORMULAS[name](x), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("name", ["relu", "leaky_relu", "elu", "sigmoid", "tanh", "softplus"])
def test_activations_equal_matnets(x64, name):
    x = draw()
    np.testing.assert_allclose(getattr(functional, name)(x), getattr(matnets.activations, name)(x), rtol=1e-10)


@EACH
def test_activation_gradients_match_finite_differences(x64, name):
    check_grads(jax.jit(getattr(functional, name)), (draw()[0, 0],), order=1)


@EACH
def test_activations_agree_under_jit_and_vmap_and_keep_half_precision(name):
    activation, x = getattr(functional, name), jnp.asarray(draw(), jnp.bfloat16)
    y = activation(x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y, FORMULAS[name](np.asarray(x, np.float32)), rtol=0.02, atol=0.02)
    assert np.array_equal(jax.jit(jax.vmap(activation))(x), jax.jit(activation)(x))


@EACH
def test_activations_refuse_integers_and_lists(name):
    with pytest.raises(ContractError, match="int32"):
        getattr(functional, name)(jnp.ones((2, 4, 4), int))
    with pytest.raises(ContractError, match="list"):
        getattr(functional, name)([1.0])


@EACH
def test_activations_stay_finite_far_from_zero(name):
    x = jnp.array([-1e4, 0.0, 1e4])
    assert np.isfinite(getattr(functional, name)(x)).all()
    assert np.isfinite(jax.grad(lambda x: jnp.sum(getattr(functional, name)(x)))(x)).all()


def test_slopes_are_numbers_that_can_be_learnt(x64):
    x = jnp.array([-2.0, 3.0])
    np.testing.assert_allclose(leaky_relu(x, 0.5), [-1, 3])
    np.testing.assert_allclose(elu(x, 2), [2 * (np.exp(-2) - 1), 3])
    assert jax.grad(lambda slope: jnp.sum(leaky_relu(x, slope)))(jnp.array(0.5)) == -2
    with pytest.raises(ContractError):
        leaky_relu(x, jnp.ones(2))


def test_gelu_can_take_the_normal_distribution_exactly(x64):
    x = jnp.array([-1.0, 0.5, 2.0])
    # Φ from tables of the normal distribution.
    distribution = np.array([0.15865525393145707, 0.6914624612740131, 0.9772498680518208])
    np.testing.assert_allclose(gelu(x, approximate=False), x * distribution, rtol=1e-12)


def test_softmax_by_hand():
    np.testing.assert_allclose(softmax(jnp.log(jnp.array([1.0, 2.0, 5.0]))), [0.125, 0.25, 0.625], rtol=1e-6)


@pytest.mark.parametrize("axis", [-1, -3, (-2, -1), (-3, -2, -1)])
def test_softmax_sums_to_one_along_its_axes(x64, axis):
    x = draw()
    y = softmax(x, axis)
    np.testing.assert_allclose(y.sum(axis), 1, rtol=1e-12)
    np.testing.assert_allclose(y, np.exp(x) / np.exp(x).sum(axis, keepdims=True), rtol=1e-12)


def test_softmax_of_half_precision_sums_in_single_precision():
    # A running sum of ones in bfloat16 stops at 256.
    assert np.all(softmax(jnp.zeros(1024, jnp.bfloat16)) == 1 / 1024)


def test_softmax_refuses_an_axis_that_is_not_there():
    with pytest.raises(ValueError, match=r"`axis` \(=-3\) must be of the 2 axes of x: choose from -2 to -1"):
        softmax(jnp.ones((2, 3)), -3)
    with pytest.raises(ValueError, match=r"`axis` \(=1\) must be below 0"):
        softmax(jnp.ones((2, 3)), 1)
    with pytest.raises(ContractError, match=r"it has 0 axes, at least 1 are due"):
        softmax(jnp.ones(()))
