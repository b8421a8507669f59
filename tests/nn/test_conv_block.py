import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import ContractError

KEY = jax.random.key(0)
BLOCKS = (nn.ConvAct, nn.ConvNormAct, nn.ConvNormActPool)


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def build(block, **options):
    return block(**{"p": 2, "q": 3, "n": 2, "kernel": 3, "initializer": drawn, "key": KEY} | options)


def kinds(block):
    return [type(layer).__name__ for layer in block]


def test_conv_act_pool_of_a_sequence_by_hand():
    turn = jnp.array([[0.0, 1.0], [-1.0, 0.0]])
    block = build(
        nn.ConvNormActPool, p=1, q=1, kernel=1, axes=1, norm=None, initializer=lambda *_: turn[None, None, None]
    )
    x = jnp.array([[[1.0, 2.0], [3.0, 4.0]], [[-5.0, 1.0], [2.0, 1.0]]])[:, None]
    # turn @ x = [[3, 4], [-1, -2]], then [[2, 1], [5, -1]]; relu; the larger of each entry.
    assert np.array_equal(block(x), [[[[3.0, 4.0], [5.0, 0.0]]]])


def test_conv_norm_act_pool_equals_eqx_conv_and_numpy_when_n_is_1():
    block, state = eqx.nn.make_with_state(build)(nn.ConvNormActPool, n=1, stride=(1, 2), padding=1)
    theirs = eqx.nn.Conv2d(2, 3, 3, stride=(1, 2), padding=1, use_bias=False, key=KEY)
    theirs = eqx.tree_at(lambda theirs: theirs.weight, theirs, block.layers[0].weight[..., 0, 0])
    x = draw(5, 4, 8, 2)
    y, _ = eqx.filter_jit(block)(x[..., None, None], state)
    maps = np.asarray(jax.jit(jax.vmap(theirs))(np.moveaxis(x, -1, 1)), np.float64)
    normal = (maps - maps.mean((0, 2, 3), keepdims=True)) / np.sqrt(maps.var((0, 2, 3), keepdims=True) + 1e-5)
    expected = np.maximum(normal, 0).reshape(5, 3, 2, 2, 2, 2).max((3, 5))
    np.testing.assert_allclose(np.moveaxis(y[..., 0, 0], -1, 1), expected, rtol=1e-4, atol=1e-5)


def test_the_layers_stand_in_a_row():
    options = {"norm": "layer", "dropout": 0.5}
    assert kinds(build(nn.ConvAct)) == ["Conv2d", "ReLU"]
    assert kinds(build(nn.ConvAct, dropout=0.5, activation="tanhd")) == ["Conv2d", "Tanhd", "Dropout"]
    assert kinds(build(nn.ConvNormAct, **options)) == ["Conv2d", "LayerNorm", "ReLU", "Dropout"]
    assert kinds(build(nn.ConvNormActPool, **options)) == ["Conv2d", "LayerNorm", "ReLU", "Dropout", "MaxPool2d"]
    assert kinds(build(nn.ConvNormAct)) == ["Conv2d", "BatchNorm", "ReLU"]


def test_a_bias_in_front_of_a_norm_is_there_if_asked_for():
    assert build(nn.ConvAct).layers[0].bias is not None
    assert build(nn.ConvNormAct).layers[0].bias is build(nn.ConvNormActPool).layers[0].bias is None
    assert build(nn.ConvNormAct, use_bias=True).layers[0].bias is not None


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.__name__)
def test_every_option_of_the_convolution_reaches_it(block):
    options = {
        **{"stride": (1, 2), "padding": ((1, 0), (2, 1)), "dilation": 2, "input_dilation": (2, 1), "groups": 2},
        **{"precision": "high", "accumulation_dtype": jnp.float32, "use_bias": True, "dtype": jnp.bfloat16},
    }
    expected = build(nn.Conv2d, p=4, q=2, kernel=(3, 2), **options)
    assert eqx.tree_equal(build(block, p=4, q=2, kernel=(3, 2), **options).layers[0], expected)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_norms_and_pools_are_of_as_many_axes(axes):
    for name, pool in {"max": "MaxPool", "avg": "AvgPool", "maxd": "MaxdPool", "avgd": "AvgdPool"}.items():
        block = build(nn.ConvNormActPool, axes=axes, norm="instance", padding=1, pool=name)
        assert kinds(block) == [f"Conv{axes}d", "InstanceNorm", "ReLU", f"{pool}{axes}d"]
        assert block.layers[1].axes == axes
        shape = eqx.filter_eval_shape(block, jax.ShapeDtypeStruct((5, *(4, 5, 6)[:axes], 2, 2, 2), jnp.float32)).shape
        assert shape == (5, *(2, 2, 3)[:axes], 3, 2, 2)


def test_the_pool_takes_windows_of_its_own():
    pool = build(nn.ConvNormActPool, norm=None, window=3, pool_stride=(1, 2), pool_padding=1).layers[-1]
    assert (pool.window, pool.stride, pool.padding) == (3, (1, 2), 1)


def test_batch_norm_over_a_mapped_axis_equals_one_batched_call():
    x = draw(4, 4, 4, 2, 2, 2)
    named = functools.partial(nn.BatchNorm, axis_name="batch")
    batched, state = eqx.nn.make_with_state(build)(nn.ConvNormAct)
    mapped, its_state = eqx.nn.make_with_state(build)(nn.ConvNormAct, norm=named)
    y, after = eqx.filter_jit(batched)(x, state)
    run = jax.vmap(lambda x, state: mapped(x, state), axis_name="batch", in_axes=(0, None), out_axes=(0, None))
    z, its_after = eqx.filter_jit(run)(x, its_state)
    np.testing.assert_allclose(z, y, rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(jax.tree.leaves(its_after), jax.tree.leaves(after), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_a_missing_space_axis_and_another_order_of_axes_are_refused():
    with pytest.raises(ContractError, match=r"ConvAct\(p=2, q=3, n=2\) got .*The space axes \(h, w\) are missing"):
        build(nn.ConvAct)(jnp.ones((2, 2, 2)))
    with pytest.raises(TypeError, match="ConvAct: got an unexpected keyword argument 'layout'"):
        build(nn.ConvAct, layout="channel_first")


def test_choices_that_do_not_exist_are_refused():
    with pytest.raises(
        ValueError, match=r"`pool` \(='maxdd'\) must be one of max, avg, maxd, avgd: did you mean 'maxd'"
    ):
        build(nn.ConvNormActPool, pool="maxdd")
    with pytest.raises(ValueError, match=r"`pool` \(='sum'\) must be one of max, avg, maxd, avgd\.$"):
        build(nn.ConvNormActPool, pool="sum")
    with pytest.raises(ValueError, match=r"`norm` \(='bach'\) .*did you mean 'batch'\?"):
        build(nn.ConvNormAct, norm="bach")
    with pytest.raises(ValueError, match=r"`activation` \(='rleu'\) .*did you mean 'relu'\?"):
        build(nn.ConvAct, activation="rleu")
    with pytest.raises(ContractError, match=r"ConvAct got axes as 4 \(int\); it takes 1 or 2 or 3\."):
        build(nn.ConvAct, axes=4)
    with pytest.raises(ValueError, match=r"`kernel` \(=\(3, 3\)\) must have 1 size"):
        build(nn.ConvAct, kernel=(3, 3), axes=1)
