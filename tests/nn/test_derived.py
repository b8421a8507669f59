"""A model that is computed from what is stored: it behaves as what `whole` makes of it."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.contract import ContractError, contract
from matrinox.nn.derived import Derived


@contract
class Negated(Derived):
    """The model with the sign of every weight turned."""

    def __init__(self, model):
        self.model = model

    def whole(self):
        return jax.tree.map(lambda leaf: -leaf if eqx.is_inexact_array(leaf) else leaf, self.model)


def dense(p=2, q=3):
    return nn.Dense(p=p, q=q, n=2, key=jax.random.key(0))


def test_a_derived_model_is_called_as_what_is_made_of_it():
    layer, x = dense(), jnp.ones((4, 2, 2, 2))
    np.testing.assert_array_equal(Negated(layer)(x), -layer(x))


def test_a_derived_model_hands_on_a_key_where_one_is_taken():
    dropped = Negated(nn.Dropout(0.5))(jnp.ones((50, 2, 2)), key=jax.random.key(0))
    assert 0 < jnp.mean(dropped == 0) < 1
    np.testing.assert_array_equal(Negated(nn.Lambda(lambda x: 2 * x))(jnp.ones(3), key=jax.random.key(0)), 2)


def test_a_derived_model_is_stateful_if_what_is_made_of_it_is():
    model, state = eqx.nn.make_with_state(lambda: Negated(nn.Sequential([nn.BatchNorm(p=2, n=2)])))()
    y, after = model(jnp.ones((4, 2, 2, 2)), state)
    assert y.shape == (4, 2, 2, 2)
    assert isinstance(after, eqx.nn.State)
    assert model.is_stateful()
    assert not Negated(dense()).is_stateful()


def test_joints_run_through_a_derived_model():
    with pytest.raises(ContractError, match=r"layers\[1\]\.model: Dense\(p=5.*axis -3 is 3, p is 5"):
        nn.Sequential([dense(), Negated(dense(p=5))])
    with pytest.raises(
        ContractError, match=r"layers\[1\]: Dense\(p=5.*layers\[0\]\.model: Dense.*axis -3 is 3, p is 5"
    ):
        nn.Sequential([Negated(dense()), dense(p=5)])


def test_what_a_derived_model_refuses_has_its_path():
    with pytest.raises(ContractError, match=r"^model: Dense\(p=2"):
        Negated(dense())(jnp.ones((5, 2, 2)))


def test_what_only_the_model_has_is_said_to_be_there():
    with pytest.raises(AttributeError, match=r"`Negated` has no `weight` of its own: .* `model.whole\(\).weight`"):
        _ = Negated(dense()).weight
    assert not hasattr(Negated(dense()), "weight")
