import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import functional, nn
from matrinox.contract import ContractError
from matrinox.initializers import gain_of
from matrinox.nn.activation import BaseActivation
from matrinox.nn.activation_choice import _LAYERS, gain_after, initializer_after

ENTRIES = ("relu", "leaky_relu", "elu", "gelu", "silu", "sigmoid", "tanh", "softplus")
X = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)


def test_a_name_gives_the_layer_of_the_function_of_that_name():
    for name in _LAYERS:
        np.testing.assert_array_equal(nn.activation_of(name)(X), getattr(functional, name)(X), err_msg=name)


def test_every_activation_layer_has_a_name():
    layers = {member for member in vars(nn).values() if isinstance(member, type) and issubclass(member, BaseActivation)}
    assert {type(nn.activation_of(name)) for name in _LAYERS} >= layers


def test_a_layer_or_function_is_itself():
    layer = nn.LeakyReLU(0.2)
    assert nn.activation_of(layer) is layer
    assert nn.activation_of(jnp.sin) is jnp.sin


@pytest.mark.parametrize(("name", "near"), [("rleu", "relu"), ("ReLUd", "relud"), ("gelus", "gelu")])
def test_an_unknown_name_is_refused_with_the_nearest(name, near):
    with pytest.raises(ValueError, match=rf"`activation` \(='{name}'\) must be .* one of .*: did you mean '{near}'\?"):
        nn.activation_of(name)


def test_what_is_no_choice_is_refused():
    with pytest.raises(ValueError, match=r"`activation` \(='swish'\) must be a layer, .* sst, sss, reeig, logeig\.$"):
        nn.activation_of("swish")
    with pytest.raises(TypeError, match=r"`activation` \(=ReLU\) must not be a class: build a layer, as ReLU\(…\)"):
        nn.activation_of(nn.ReLU)
    with pytest.raises(ContractError, match="activation_of got activation as None"):
        nn.activation_of(None)


def test_the_gain_is_that_of_gain_of_however_the_activation_is_given():
    for name in ENTRIES:
        for choice in (name, nn.activation_of(name), getattr(functional, name)):
            assert math.isclose(gain_after(choice), gain_of(name), rel_tol=1e-4), choice
    assert math.isclose(gain_after("identity"), 1)
    # A slope s passes half of the second moment, and s² of the other half.
    assert math.isclose(gain_after(nn.LeakyReLU(0.5)), math.sqrt(2 / 1.25), rel_tol=1e-6)


def test_the_gain_behind_a_gate_by_determinant_is_that_of_a_number_for_any_n(x64):
    z = np.random.default_rng(0).normal(size=(20_000, 3, 3))
    for choice in ("relud", nn.LeakyReLUd(0.5)):
        kept = np.mean(np.square(nn.activation_of(choice)(z)))
        # Three standard errors: each matrix passes or not as a whole.
        assert abs(kept * gain_after(choice) ** 2 - 1) < 3 * np.sqrt(2 / 20_000)


def test_the_gain_is_1_where_none_is_known():
    assert [gain_after(choice) for choice in ("tanhd", "sss", nn.Lambda(jnp.tanh), lambda x: x)] == [1, 1, 1, 1]


def test_the_gain_is_known_under_a_trace():
    shape = eqx.filter_eval_shape(lambda: jnp.zeros(int(100 * gain_after(nn.ReLU())))).shape
    assert shape == (141,)


def test_the_initializer_gives_weights_of_the_gain():
    weight = initializer_after("relu")(jax.random.key(0), (64, 32, 2, 2), None)
    assert abs(float(jnp.mean(jnp.square(weight))) * 64 / 2 - 1) < 3 * math.sqrt(2 / weight.size)
