"""What all architectures of the zoo can do, on a small one."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.zoo.mlp import MLP, MLPConfig
from matrinox.zoo.rnn import RNN, RNNConfig

X = np.linspace(-1, 1, 30, dtype=np.float32).reshape(2, 3, 5)


@pytest.fixture(scope="module")
def model() -> MLP:
    return MLP(MLPConfig(features=5, n=2, widths=(3, 4), classes=7, dropout=0.5), key=jax.random.key(0))


def test_a_call_is_the_head_of_the_features(model):
    still = eqx.nn.inference_mode(model)
    features = still.features(X)
    assert features.shape == (2, 3, 4, 2, 2)
    assert jnp.array_equal(still.head(features), still(X))
    assert jnp.array_equal(still.chain(X), still(X))


def test_intermediates_are_what_every_layer_gives_of_the_one_before(model):
    still = eqx.nn.inference_mode(model)
    given = still.forward_intermediates(X)
    assert list(given) == [f"body.layers[{i}]" for i in range(9)] + ["head.layers[0]", "head.layers[1]"]
    for before, behind, layer in zip([X, *given.values()], given.values(), still.chain.layers, strict=False):
        assert jnp.array_equal(layer(before), behind)
    assert jnp.array_equal(given["body.layers[8]"], still.features(X))
    assert jnp.array_equal(given["head.layers[1]"], still(X))


def test_with_a_key_features_and_intermediates_drop_what_a_call_drops(model):
    key = jax.random.key(1)
    given = model.forward_intermediates(X, key=key)
    assert jnp.array_equal(given["body.layers[8]"], model.features(X, key=key))
    assert jnp.array_equal(given["head.layers[1]"], model(X, key=key))
    assert not jnp.array_equal(model(X, key=key), model(X, key=jax.random.key(2)))


def test_a_new_head_leaves_the_body_and_the_model_it_is_of(model):
    before = jax.tree.leaves(model.head)
    new = model.reset_head(4, key=jax.random.key(1))
    assert eqx.nn.inference_mode(new)(X).shape == (2, 3, 4)
    assert eqx.tree_equal(new.body, model.body)
    assert new.config == dataclasses.replace(model.config, classes=4)
    assert all(a is b for a, b in zip(before, jax.tree.leaves(model.head), strict=True))
    with pytest.raises(ValueError, match=r"`MLPConfig.classes` \(=0\) must be at least 1"):
        model.reset_head(0, key=jax.random.key(1))


def test_an_input_of_another_shape_is_refused_even_if_the_first_layer_takes_it(model):
    """Eight features fill as many neurons as five do."""
    more = np.zeros((2, 8), np.float32)
    assert model.body.layers[0](more).shape == model.body.layers[0](X[0, :2]).shape
    for call in (model.features, model.forward_intermediates):
        with pytest.raises(ContractError, match=rf"MLP.*\.{call.__name__} got x .*: axis -1 is 8, axes is 5"):
            call(more)
    with pytest.raises(ContractError, match=r"body\.layers\[0\]: Fold.* its dtype is int32"):
        model.features(more[:, :5].astype(np.int32))


def test_of_tokens_any_number_is_taken_as_ids_or_as_shares():
    config = RNNConfig(shape=(6,), vocabulary=7, embedding=3, n=2, widths=(2,), read="each", classes=7)
    model = eqx.filter_eval_shape(RNN, config, key=jax.random.key(0))
    for x in (np.zeros((3, 9), np.int32), np.zeros((3, 9, 7), np.float32)):
        assert eqx.filter_eval_shape(lambda model, x: model.features(x), model, x).shape == (3, 9, 2, 2, 2)
