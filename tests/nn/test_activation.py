import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import functional, nn
from matrinox.contract import ContractError

LAYERS = {
    "ReLU": (nn.ReLU(), lambda z: max(z, 0.0)),
    "LeakyReLU": (nn.LeakyReLU(), lambda z: z if z > 0 else 0.01 * z),
    "LeakyReLU(0.3)": (nn.LeakyReLU(negative_slope=0.3), lambda z: z if z > 0 else 0.3 * z),
    "ELU": (nn.ELU(), lambda z: z if z > 0 else math.expm1(z)),
    "ELU(2)": (nn.ELU(alpha=2), lambda z: z if z > 0 else 2 * math.expm1(z)),
    "Sigmoid": (nn.Sigmoid(), lambda z: 1 / (1 + math.exp(-z))),
    "Tanh": (nn.Tanh(), math.tanh),
    "Softplus": (nn.Softplus(), lambda z: math.log1p(math.exp(z))),
    "GELU": (nn.GELU(), lambda z: z * (1 + math.tanh(math.sqrt(2 / math.pi) * (z + 0.044715 * z**3))) / 2),
    "GELU(exact)": (nn.GELU(approximate=False), lambda z: z * math.erfc(-z / math.sqrt(2)) / 2),
    "SiLU": (nn.SiLU(), lambda z: z / (1 + math.exp(-z))),
}
TWINS = {
    nn.ReLU: functional.relu,
    nn.LeakyReLU: functional.leaky_relu,
    nn.ELU: functional.elu,
    nn.Sigmoid: functional.sigmoid,
    nn.Tanh: functional.tanh,
    nn.Softplus: functional.softplus,
    nn.GELU: functional.gelu,
    nn.SiLU: functional.silu,
}


@pytest.mark.parametrize(("layer", "law"), LAYERS.values(), ids=LAYERS)
def test_activations_equal_their_float64_formulas(layer, law, x64):
    x = np.random.default_rng(0).normal(scale=3, size=(4, 2, 3, 3))
    np.testing.assert_allclose(layer(x), np.vectorize(law)(x), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(("kind", "twin"), TWINS.items(), ids=lambda value: value.__name__)
def test_activations_are_their_functional_twins(kind, twin):
    x = jax.random.normal(jax.random.key(0), (2, 3, 3))
    assert np.array_equal(kind()(x), twin(x))


def test_activations_by_hand():
    x = jnp.array([[[-1.0, 2.0], [0.0, 3.0]]])
    assert np.array_equal(nn.ReLU()(x), [[[0.0, 2.0], [0.0, 3.0]]])
    assert np.array_equal(nn.LeakyReLU(0.5)(x), [[[-0.5, 2.0], [0.0, 3.0]]])
    for layer in (nn.Tanh(), nn.GELU(), nn.SiLU(), nn.ELU()):
        assert layer(x)[0, 1, 0] == 0
    assert nn.Sigmoid()(x)[0, 1, 0] == 0.5
    assert nn.Softplus()(x)[0, 1, 0] == pytest.approx(math.log(2))


@pytest.mark.parametrize("layer", [layer for layer, _ in LAYERS.values()], ids=LAYERS)
def test_activations_and_their_gradients_are_finite_far_out(layer):
    x = jnp.array([[[-1e4, 1e4], [-100.0, 100.0]]])
    assert np.isfinite(layer(x)).all()
    assert np.isfinite(jax.grad(lambda x: layer(x).sum())(x)).all()


def test_slopes_are_part_of_the_structure():
    assert jax.tree.leaves((nn.LeakyReLU(0.1), nn.ELU(2.0))) == []
    assert nn.LeakyReLU(0.1) != nn.LeakyReLU(0.2)


def test_a_slope_that_is_no_number_is_refused():
    with pytest.raises(ContractError, match="negative_slope"):
        nn.LeakyReLU("steep")


def test_matrices_that_are_not_square_are_refused():
    with pytest.raises(ContractError, match=r"ReLU got x float32\[2, 4, 5\]"):
        nn.ReLU()(jnp.ones((2, 4, 5)))


def test_softmax_turns_class_scores_into_probabilities():
    x = jax.random.normal(jax.random.key(0), (2, 5))
    np.testing.assert_allclose(nn.Softmax()(x), jax.nn.softmax(x), rtol=1e-6)
    assert np.array_equal(nn.Softmax((-2, -1))(x[None]), functional.softmax(x[None], (-2, -1)))


def test_softmax_over_neurons_takes_each_entry_by_itself(x64):
    x = np.random.default_rng(0).normal(size=(4, 3, 2, 2))
    y = nn.Softmax(axis=-3)(x)
    np.testing.assert_allclose(y[1, :, 0, 1], np.exp(x[1, :, 0, 1]) / np.exp(x[1, :, 0, 1]).sum(), rtol=1e-12)


def test_softmax_refuses_axes_that_would_count_the_batch():
    with pytest.raises(ValueError, match=r"`axis` \(=0\) must be below 0: count from the end"):
        nn.Softmax(0)
    with pytest.raises(ValueError, match=r"`axis` \(=\(-1, -1\)\) must name each axis once"):
        nn.Softmax((-1, -1))
    with pytest.raises(ContractError, match="axis"):
        nn.Softmax("classes")
