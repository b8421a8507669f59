import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import functional, nn
from matrinox.contract import ContractError
from matrinox.initializers import gain_of, variance_scaling

TWINS = {
    nn.ReLUd: functional.relud,
    nn.LeakyReLUd: functional.leaky_relud,
    nn.ELUPowered: functional.elu_powered,
    nn.ELUd: functional.elud,
    nn.Sigmoidd: functional.sigmoidd,
    nn.Tanhd: functional.tanhd,
    nn.Softplusd: functional.softplusd,
    nn.SST: functional.sst,
    nn.SSS: functional.sss,
}
EACH = pytest.mark.parametrize(("kind", "twin"), TWINS.items(), ids=lambda value: value.__name__)


@EACH
def test_activations_are_their_functional_twins(kind, twin):
    x = jax.random.normal(jax.random.key(0), (5, 2, 3, 3))
    assert np.array_equal(kind()(x), twin(x))


@pytest.mark.parametrize("kind", [nn.LeakyReLUd, nn.ELUPowered, nn.ELUd])
def test_slopes_reach_the_function_and_are_part_of_the_structure(kind):
    x = jax.random.normal(jax.random.key(0), (5, 2, 3, 3))
    assert np.array_equal(kind(0.3)(x), TWINS[kind](x, 0.3))
    assert jax.tree.leaves(kind(0.3)) == []
    assert kind(0.1) != kind(0.2)
    with pytest.raises(ContractError):
        kind("steep")


def test_activations_by_hand():
    x = jnp.array([[[1.0, 2.0], [0.0, 4.0]], [[0.0, 4.0], [1.0, 0.0]]])
    assert np.array_equal(nn.ReLUd()(x), [x[0], 0 * x[1]])
    assert np.array_equal(nn.LeakyReLUd(0.5)(x), [x[0], x[1] / 2])
    np.testing.assert_allclose(nn.Tanhd()(x), x * np.tanh(2) / 2, rtol=1e-6)


def test_a_gate_between_single_neurons_is_open_or_closed_for_every_input_of_one_sign():
    # det(W X) = det W · det X: what passes says nothing that the sign of det X did not.
    layer = nn.Sequential([nn.Dense(p=1, q=1, n=3, use_bias=False, key=jax.random.key(0)), nn.ReLUd()])
    x = jax.random.normal(jax.random.key(1), (40, 1, 3, 3))
    passed = jnp.any(layer(x) != 0, axis=(-3, -2, -1))
    positive = functional.det(x)[:, 0] > 0
    assert np.array_equal(passed, positive) or np.array_equal(passed, ~positive)


def test_relud_keeps_the_second_moment_of_a_layer_drawn_with_its_gain():
    weights = variance_scaling(gain_of("relud"))
    layers = [
        layer
        for key in jax.random.split(jax.random.key(0), 4)
        for layer in (nn.ReLUd(), nn.Dense(p=64, q=64, n=3, initializer=weights, key=key))
    ]
    y = nn.Sequential(layers)(jax.random.normal(jax.random.key(1), (64, 3, 3)))
    assert 0.5 < float(jnp.mean(y**2)) < 2


@EACH
def test_matrices_that_are_not_square_are_refused(kind, twin):
    with pytest.raises(ContractError, match=rf"{kind.__name__} got x float32\[2, 4, 5\]"):
        kind()(jnp.ones((2, 4, 5)))
