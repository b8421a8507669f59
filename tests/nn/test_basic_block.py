import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.functional import down2

KEY = jax.random.key(0)


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape).astype(np.float32)


def build(p=2, q=3, n=2, **options):
    return nn.BasicBlock(p=p, q=q, n=n, **{"initializer": drawn, "key": KEY} | options)


def body_of(block):
    return block.layers[0].body.layers


def given(layer, *shape):
    return eqx.filter_eval_shape(layer, jax.ShapeDtypeStruct(shape, jnp.float32)).shape


def test_basic_block_adds_the_input_to_what_two_convolutions_give():
    block = build(p=1, q=1, axes=1, norm=None)
    turn, exchange = jnp.array([[1.0, 0.0], [0.0, -1.0]]), jnp.array([[0.0, 1.0], [1.0, 0.0]])
    # The first takes the place before, the second the place itself.
    first = jnp.stack([turn, jnp.zeros((2, 2)), jnp.zeros((2, 2))])[None, None]
    second = jnp.stack([jnp.zeros((2, 2)), exchange, jnp.zeros((2, 2))])[None, None]
    block = eqx.tree_at(lambda block: (body_of(block)[0].weight, body_of(block)[2].weight), block, (first, second))
    x = jnp.array([[[1.0, -2.0], [-3.0, 4.0]], [[-1.0, -1.0], [-9.0, 0.0]]])[:, None]
    # At t = 0 there is nothing before: relu(x). At t = 1, turn @ x_0 = [[1, -2], [3, -4]], of which relu leaves
    # [[1, 0], [3, 0]]; exchanged, [[3, 0], [1, 0]]; with x_1 on top, [[2, -1], [-8, 0]].
    assert np.array_equal(block(x)[:, 0], [[[1.0, 0.0], [0.0, 4.0]], [[2.0, 0.0], [0.0, 0.0]]])


def normal(maps):
    return (maps - maps.mean((0, 2, 3), keepdims=True)) / np.sqrt(maps.var((0, 2, 3), keepdims=True) + 1e-5)


def test_basic_block_equals_eqx_convolutions_and_numpy_when_n_is_1():
    block, state = eqx.nn.make_with_state(build)(n=1, stride=2)
    residual = block.layers[0]

    def convolved(layer, maps, kernel, stride):
        theirs = eqx.nn.Conv2d(layer.p, layer.q, kernel, stride, kernel // 2, use_bias=False, key=KEY)
        theirs = eqx.tree_at(lambda theirs: theirs.weight, theirs, layer.weight[..., 0, 0])
        return np.asarray(jax.jit(jax.vmap(theirs))(maps.astype(np.float32)), np.float64)

    x = draw(5, 5, 6, 2)
    y, _ = eqx.filter_jit(block)(x[..., None, None], state)
    maps = np.moveaxis(x, -1, 1)
    hidden = np.maximum(normal(convolved(residual.body.layers[0], maps, 3, 2)), 0)
    body = normal(convolved(residual.body.layers[3], hidden, 3, 1))
    shortcut = normal(convolved(residual.shortcut.layers[0], maps, 1, 2))
    expected = np.maximum(body + shortcut, 0)
    np.testing.assert_allclose(np.moveaxis(y[..., 0, 0], -1, 1), expected, rtol=1e-4, atol=1e-4)


def test_a_stride_of_2_leaves_down2_of_any_space_in_both_summands():
    for h, w in ((1, 2), (5, 6), (7, 9), (8, 4)):
        assert given(build(stride=2, norm="rms"), 2, h, w, 2, 2, 2) == (2, *down2((h, w)), 3, 2, 2)
        for conv in (nn.conv3x3, nn.conv1x1):
            layer = conv(p=2, q=3, n=2, stride=2, initializer=drawn, key=KEY)
            assert given(layer, h, w, 2, 2, 2) == (*down2((h, w)), 3, 2, 2)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_it_has_as_many_space_axes_as_asked_for(axes):
    space = (5, 4, 3)[:axes]
    for layer in (build(axes=axes, norm="instance"), nn.conv3x3(2, 3, 2, axes=axes, initializer=drawn, key=KEY)):
        assert given(layer, *space, 2, 2, 2) == (*space, 3, 2, 2)
    layer = nn.conv1x1(2, 3, 2, axes=axes, use_bias=True, dtype=jnp.bfloat16, initializer=drawn, key=KEY)
    assert (layer.kernel, layer.padding, layer.bias.dtype) == ((1,) * axes, 0, jnp.bfloat16)


def test_the_shortcut_is_the_input_where_it_can_be():
    assert build(p=3, q=3).layers[0].shortcut is None
    for other in (build(), build(p=3, stride=2), build(p=3, stride=(1, 2))):
        conv, norm = other.layers[0].shortcut.layers
        assert (conv.kernel, conv.stride, type(norm)) == ((1, 1), body_of(other)[0].stride, nn.BatchNorm)
    assert len(build(norm=None).layers[0].shortcut.layers) == 1


def test_with_a_last_weight_of_zero_it_starts_as_its_shortcut():
    x = draw(2, 4, 4, 3, 2, 2)
    for norm in ("rms", None):
        block = build(p=3, norm=norm, zero_last=True)
        np.testing.assert_array_equal(eqx.filter_jit(block)(x), np.maximum(x, 0))
    block, state = eqx.nn.make_with_state(build)(p=3, zero_last=True)
    np.testing.assert_array_equal(eqx.filter_jit(block)(x, state)[0], np.maximum(x, 0))
    with pytest.raises(
        ValueError, match=r"`zero_last` \(=True\) needs a weight in the last layer, and RMSNorm has none"
    ):
        build(norm=functools.partial(nn.RMSNorm, use_weight=False), zero_last=True)


def test_batch_norm_over_a_mapped_axis_equals_one_batched_call():
    x = draw(4, 3, 3, 2, 2, 2)
    batched, state = eqx.nn.make_with_state(build)()
    mapped, its_state = eqx.nn.make_with_state(build)(norm=functools.partial(nn.BatchNorm, axis_name="batch"))
    y, after = eqx.filter_jit(batched)(x, state)
    run = jax.vmap(lambda x, state: mapped(x, state), axis_name="batch", in_axes=(0, None), out_axes=(0, None))
    z, its_after = eqx.filter_jit(run)(x, its_state)
    np.testing.assert_allclose(z, y, rtol=1e-4, atol=1e-5)
    statistics = jax.tree.leaves(after)
    # Three norms, each with a count, a mean and a variance.
    assert len(statistics) == 9
    for ours, theirs in zip(jax.tree.leaves(its_after), statistics, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-6)


def test_without_running_statistics_it_takes_no_state():
    assert build().is_stateful()
    assert not any(build(norm=norm).is_stateful() for norm in ("layer", "rms", "group", "instance", None))
    with pytest.raises(ValueError, match=r"`state` \(=None\) is needed, as layers\[0\] \(Residual\) is stateful"):
        build()(draw(2, 3, 3, 2, 2, 2))


def test_each_convolution_has_a_key_of_its_own_and_the_second_the_gain_of_the_activation():
    block = nn.BasicBlock(p=16, q=16, n=3, stride=2, norm=None, key=KEY)
    first, second, aside = (
        body_of(block)[0].weight,
        body_of(block)[2].weight,
        block.layers[0].shortcut.layers[0].weight,
    )
    assert not np.array_equal(first, second)
    # Of so many entries, 9·16·3 of which are inputs of one sum; relu has a gain of √2.
    for weight, inputs, gain in ((first, 432, 1), (second, 432, 2), (aside, 48, 1)):
        assert abs(float(jnp.mean(jnp.square(weight))) * inputs / gain - 1) < 4 * np.sqrt(2 / weight.size)


def test_the_message_names_the_block_and_what_is_missing():
    with pytest.raises(ContractError, match=r"BasicBlock\(p=2, q=3, n=2\) got .*axis -3 is 3, p is 2"):
        build(norm="rms")(jnp.ones((4, 4, 3, 2, 2)))
    with pytest.raises(ContractError, match=r"BasicBlock\(p=2, q=3, n=2\) got .*The space axes \(h, w\) are missing"):
        build(norm="rms")(jnp.ones((2, 2, 2)))


def test_options_without_a_meaning_are_refused():
    with pytest.raises(ValueError, match=r"`q` \(=0\) must be at least 1: choose a positive number"):
        build(q=0)
    with pytest.raises(ValueError, match=r"`stride` \(=\(2, 2, 2\)\) must have 2 sizes"):
        build(stride=(2, 2, 2))
    with pytest.raises(ValueError, match=r"`norm` \(='bach'\) .*did you mean 'batch'\?"):
        build(norm="bach")
