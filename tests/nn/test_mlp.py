import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import ContractError

KEY = jax.random.key(0)


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def mlp(p=2, q=3, n=3, **options):
    return nn.MLP(p=p, q=q, n=n, **{"hidden": (4, 5), "initializer": drawn, "key": KEY} | options)


def weights_and_biases(block):
    return [leaf for layer in block if isinstance(layer, nn.Dense) for leaf in (layer.weight, layer.bias)]


def kinds(block):
    return [type(layer).__name__ for layer in block]


def test_mlp_multiplies_by_the_weights_with_the_activation_in_between():
    block = mlp(p=1, q=1, n=2, hidden=(1,))
    turn, exchange = jnp.array([[1.0, 0.0], [0.0, -1.0]]), jnp.array([[0.0, 1.0], [1.0, 0.0]])
    arrays = [turn[None, None], jnp.zeros((1, 2, 2)), exchange[None, None], 10 * jnp.eye(2)[None]]
    block = eqx.tree_at(weights_and_biases, block, arrays)
    # turn @ x = [[1, -2], [3, -4]], of which relu leaves [[1, 0], [3, 0]]; exchanged, and 10 I on top.
    assert np.array_equal(block(jnp.array([[[1.0, -2.0], [-3.0, 4.0]]])), [[[13.0, 0.0], [1.0, 10.0]]])


def test_mlp_equals_eqx_mlp_when_n_is_1():
    theirs = eqx.nn.MLP(2, 3, 4, 2, activation=jnp.tanh, final_activation=jax.nn.sigmoid, key=KEY)
    ours = mlp(n=1, hidden=(4, 4), activation="tanh", final_activation="sigmoid")
    arrays = [leaf[..., None, None] for linear in theirs.layers for leaf in (linear.weight, linear.bias)]
    ours = eqx.tree_at(weights_and_biases, ours, arrays)
    x = draw(7, 2)
    y = eqx.filter_jit(ours)(x[..., None, None])
    np.testing.assert_allclose(y[..., 0, 0], jax.vmap(theirs)(x), rtol=1e-5, atol=1e-6)


def test_behind_each_hidden_layer_come_norm_activation_and_dropout():
    assert kinds(mlp()) == ["Dense", "ReLU", "Dense", "ReLU", "Dense"]
    block = mlp(hidden=(4,), norm="layer", activation="relud", dropout=0.5, final_activation=nn.Sigmoid())
    assert kinds(block) == ["Dense", "LayerNorm", "ReLUd", "Dropout", "Dense", "Sigmoid"]
    assert kinds(mlp(hidden=())) == ["Dense"]
    assert [layer.q for layer in mlp().layers[::2]] == [4, 5, 3]


def test_sizes_are_those_of_the_first_and_the_last_dense_layer():
    block = mlp(norm="rms", final_activation="tanh")
    assert (block.p, block.q, block.n) == (2, 3, 3)


def test_second_moments_stay_through_many_layers_whatever_the_activation():
    x = draw(8, 32, 4, 4)
    for activation in ("relu", nn.LeakyReLU(0.3), "tanh"):
        block = nn.MLP(32, 32, 4, hidden=(32,) * 6, activation=activation, key=KEY)
        moment = float(jnp.mean(jnp.square(eqx.filter_jit(block)(x))))
        # Without the gain of relu, six layers would leave 1/64 of it.
        assert 0.6 < moment < 1.6, (activation, moment)


def test_an_initializer_is_that_of_every_weight_and_each_has_a_key_of_its_own():
    keys = []

    def initializer(key, shape, dtype):
        keys.append(np.asarray(jax.random.key_data(key)).tobytes())
        return jnp.full(shape, 0.5, dtype)

    block = mlp(initializer=initializer, dtype=jnp.bfloat16)
    assert len(set(keys)) == 3
    for layer in block.layers[::2]:
        assert layer.weight.dtype == layer.bias.dtype == jnp.bfloat16
        assert np.all(layer.weight == 0.5)


def test_hidden_and_last_bias_are_chosen_apart():
    assert [layer.bias is None for layer in mlp(use_bias=False).layers[::2]] == [True, True, False]
    assert [layer.bias is None for layer in mlp(use_final_bias=False).layers[::2]] == [False, False, True]


def test_with_batch_norm_it_is_stateful():
    block, state = eqx.nn.make_with_state(mlp)(hidden=(4,), norm="batch")
    assert block.is_stateful()
    assert not mlp(norm="layer").is_stateful()
    x = draw(5, 2, 3, 3)
    y, after = eqx.filter_jit(block)(x, state)
    hidden = block.layers[0](x)
    normal = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5)
    np.testing.assert_allclose(y, block.layers[3](jax.nn.relu(normal)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(after.get(block.layers[1].statistics)[1], hidden.mean(0), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match=r"`state` \(=None\) is needed, as layers\[1\] \(BatchNorm\) is stateful"):
        block(x)


def test_the_message_names_the_block_and_its_sizes():
    with pytest.raises(ContractError, match=r"MLP\(p=2, q=3, n=3\) got x float32\[3, 3, 3\]; .*axis -3 is 3, p is 2"):
        mlp()(jnp.ones((3, 3, 3)))


def test_sizes_below_1_and_of_another_type_are_refused():
    with pytest.raises(ValueError, match=r"`hidden\[1\]` \(=0\) must be at least 1: choose a positive number"):
        mlp(hidden=(4, 0))
    with pytest.raises(ValueError, match=r"`q` \(=0\) must be at least 1"):
        mlp(q=0)
    with pytest.raises(ContractError, match=r"hidden.* int"):
        mlp(hidden=(4, 2.5))


def test_choices_that_do_not_exist_are_refused():
    with pytest.raises(ValueError, match=r"`activation` \(='rleu'\) .*did you mean 'relu'\?"):
        mlp(activation="rleu")
    with pytest.raises(ValueError, match=r"`norm` \(='laier'\) .*did you mean 'layer'\?"):
        mlp(norm="laier")
    with pytest.raises(ValueError, match=r"`dropout` \(=1.5\) must be from 0 up to, but not including, 1"):
        mlp(dropout=1.5)
