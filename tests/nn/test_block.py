"""What holds for every block: it is a `Sequential` among layers, by path, by state, by key and as `Lazy`."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import io, nn
from matrinox.contract import ContractError
from matrinox.nn.block import dropout_of
from matrinox.paths import find
from matrinox.train import freeze

KEYS = jax.random.split(jax.random.key(0), 3)


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def model():
    """A sequence to a neuron of each place: with running statistics."""
    options = {"n": 2, "initializer": drawn}
    return nn.Sequential(
        [
            nn.ConvNormActPool(p=2, q=3, kernel=3, axes=1, padding="SAME", key=KEYS[0], **options),
            nn.BasicBlock(p=3, q=4, axes=1, stride=2, key=KEYS[1], **options),
            nn.MLP(p=4, q=1, hidden=(3,), key=KEYS[2], **options),
        ]
    )


X = draw(3, 4, 2, 2, 2)


def test_a_slice_of_a_block_is_a_plain_sequential():
    block = nn.MLP(p=2, q=3, n=2, hidden=(4,), initializer=drawn, key=KEYS[0])
    assert type(block[:2]) is nn.Sequential
    assert block[0] is block.layers[0]
    assert len(block) == 3
    x = draw(2, 2, 2)
    np.testing.assert_array_equal(block[2:](block[:2](x)), block(x))


def test_joints_are_checked_on_both_sides_of_a_block():
    block = nn.ConvAct(p=2, q=3, n=2, kernel=3, initializer=drawn, key=KEYS[0])
    dense = nn.Dense(p=2, q=3, n=2, initializer=drawn, key=KEYS[0])
    with pytest.raises(ContractError, match=r"layers\[1\]: Dense.* takes .*, but layers\[0\]\.layers\[\d\]: .*p is 2"):
        nn.Sequential([block, dense])
    with pytest.raises(ContractError, match=r"layers\[1\]\.layers\[0\]: Conv2d.* takes .*, but layers\[0\]: Dense"):
        nn.Sequential([dense, block])


def test_leaves_are_found_and_frozen_by_path():
    whole = model()
    assert "layers[1].layers[0].shortcut.layers[0].weight" in find(whole, "**.shortcut.**")
    assert "layers[2].layers[0].weight" in find(whole, "layers[2].**")
    frozen = freeze(whole, "layers[1].**")
    assert frozen.trainable.layers[1].layers[0].body.layers[0].weight is None
    assert frozen.trainable.layers[0].layers[0].weight is not None


def test_a_model_of_blocks_trains_with_state_and_key_and_is_quiet_in_inference():
    def model():
        options = {"n": 2, "dropout": 0.5, "initializer": drawn}
        conv = nn.ConvNormAct(p=2, q=3, kernel=2, axes=1, activation="tanh", key=KEYS[0], **options)
        return nn.Sequential([conv, nn.MLP(p=3, q=1, hidden=(3,), activation="tanh", key=KEYS[1], **options)])

    whole, state = eqx.nn.make_with_state(model)()

    @eqx.filter_jit
    def step(whole, state, key):
        @eqx.filter_value_and_grad(has_aux=True)
        def loss(whole, state):
            y, state = whole(X, state, key=key)
            return jnp.mean(jnp.square(y - 1)), state

        (value, state), gradient = loss(whole, state)
        return eqx.apply_updates(whole, jax.tree.map(lambda leaf: -0.1 * leaf, gradient)), state, value, gradient

    moved, after, value, gradient = step(whole, state, KEYS[0])
    assert np.isfinite(value)
    assert all(np.any(leaf) for leaf in jax.tree.leaves(gradient))
    quiet = eqx.filter_jit(eqx.nn.inference_mode(moved))
    y, same = quiet(X, after)
    np.testing.assert_array_equal(quiet(X, after, key=KEYS[1])[0], y)
    assert eqx.tree_equal(same, after)
    with pytest.raises(ValueError, match=r"`key` \(=None\) is needed by Dropout\(rate=0.5\)"):
        moved(X, after)


def test_a_model_of_blocks_and_its_state_are_saved_and_loaded(tmp_path):
    whole, state = eqx.nn.make_with_state(model)()
    _, state = eqx.filter_jit(whole)(X, state)
    io.save(tmp_path / "model.safetensors", (whole, state))
    loaded, its_state = io.load(tmp_path / "model.safetensors", like=eqx.nn.make_with_state(model)())
    run = eqx.filter_jit(lambda whole, state: eqx.nn.inference_mode(whole)(X, state)[0])
    np.testing.assert_array_equal(run(loaded, its_state), run(whole, state))


class Wrapper(eqx.Module):
    layers: nn.Sequential

    def __call__(self, x):
        return self.layers(x)


def test_blocks_may_be_lazy_whether_stateful_or_not():
    options = {"initializer": drawn}
    lazy = [
        nn.Lazy(nn.ConvAct, q=3, kernel=2, axes=1, **options),
        nn.Lazy(nn.BasicBlock, q=4, stride=2, axes=1, **options),
        nn.Lazy(nn.MLP, q=1, hidden=(3,), **options),
    ]
    whole, found = nn.materialize(nn.Sequential(lazy), jax.ShapeDtypeStruct(X.shape, X.dtype), key=KEYS[0])
    assert [(row.layer.partition("(")[0], row.sizes) for row in found] == [
        ("ConvAct", {"p": 2, "n": 2}),
        ("BasicBlock", {"p": 3, "n": 2}),
        ("MLP", {"p": 4, "n": 2}),
    ]
    whole, state = eqx.nn.make_with_state(lambda: whole)()
    assert eqx.filter_eval_shape(whole, X, state)[0].shape == (3, 2, 1, 2, 2)
    stateless = Wrapper(nn.Sequential([nn.Lazy(nn.BasicBlock, q=4, axes=1, norm="rms", **options), lazy[2]]))
    whole, _ = nn.materialize(stateless, jax.ShapeDtypeStruct(X.shape, X.dtype), key=KEYS[0])
    assert eqx.filter_eval_shape(whole, X).shape == (3, 4, 1, 2, 2)


def test_a_lazy_block_whose_groups_tell_nothing_counts_as_stateful():
    lazy = nn.Lazy(nn.ConvAct, q=5, kernel=1, axes=1, groups=5, initializer=drawn)
    example = jax.ShapeDtypeStruct((4, 5, 2, 2), jnp.float32)
    whole, found = nn.materialize(nn.Sequential([lazy]), example, key=KEYS[0])
    assert found[0].sizes == {"p": 5, "n": 2}
    assert not whole.is_stateful()


def test_a_stateless_lazy_block_may_come_into_a_model_that_has_its_state():
    norm, state = eqx.nn.make_with_state(nn.BatchNorm)(p=2, n=2)
    lazy = nn.Lazy(nn.MLP, q=3, hidden=(), initializer=drawn)
    example = jax.ShapeDtypeStruct((4, 2, 2, 2), jnp.float32)
    whole, _ = nn.materialize(nn.Sequential([norm, lazy]), example, key=KEYS[0], state=state)
    assert whole.layers[1].q == 3
    stateful = nn.Sequential([norm, nn.Lazy(nn.MLP, q=3, hidden=(4,), norm="batch", initializer=drawn)])
    with pytest.raises(ValueError, match=r"`state` comes too early for layers\[1\], Lazy\(MLP.* which is stateful"):
        nn.materialize(stateful, example, key=KEYS[0], state=state)


def test_sizes_of_stacked_blocks_are_those_of_one():
    block = nn.BasicBlock(p=2, q=3, n=2, axes=1, norm="rms", initializer=drawn, key=KEYS[0])
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), block)
    assert (stacked.p, stacked.q, stacked.n) == (2, 3, 2)


def test_a_rate_of_zero_is_no_layer_and_a_layer_is_itself():
    layer = nn.Dropout(0.5, neurons=True)
    assert dropout_of(0) == []
    assert dropout_of(0.25) == [nn.Dropout(0.25)]
    assert dropout_of(layer)[0] is layer
