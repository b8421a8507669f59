from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import (
    matrix_conv1d,
    matrix_conv2d,
    matrix_conv3d,
    matrix_conv_transpose1d,
    matrix_conv_transpose2d,
    matrix_conv_transpose3d,
)
from matrinox.params import MatrixParams

CONV = {1: matrix_conv1d, 2: matrix_conv2d, 3: matrix_conv3d}
TRANSPOSE = {1: matrix_conv_transpose1d, 2: matrix_conv_transpose2d, 3: matrix_conv_transpose3d}

KEY = jax.random.key(0)

every_rank = pytest.mark.parametrize("axes", [1, 2, 3])


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def draw_params(p, q, n, *kernel):
    return MatrixParams(draw(0, q, p, *kernel, n, n), draw(1, q, n, n))


def matched(W, groups):
    """The weight of the adjoint: neurons exchanged in each group, kernel axes reversed, matrices transposed."""
    q, each, *kernel, n, _ = W.shape
    W = np.flip(np.asarray(W), tuple(range(2, 2 + len(kernel))))
    W = np.swapaxes(W.reshape(groups, q // groups, each, *kernel, n, n), 1, 2)
    return np.swapaxes(W.reshape(groups * each, q // groups, *kernel, n, n), -1, -2)


def as_eqx(params, skeleton):
    """Their layer at n = 1, drawn at no compute, with our weights."""
    weights = params.W[..., 0, 0], params.B.reshape(skeleton.bias.shape)
    return eqx.tree_at(lambda layer: (layer.weight, layer.bias), skeleton, weights)


def test_each_place_spreads_over_the_kernel_from_its_end_to_its_start():
    double, swap = 2 * jnp.eye(2), jnp.array([[0.0, 1.0], [1.0, 0.0]])
    params = MatrixParams(jnp.stack([double, swap])[None, None], jnp.ones((1, 2, 2)))
    x = jnp.arange(8.0).reshape(2, 1, 2, 2)
    # Stride 2 lays them side by side: x_0 with rows exchanged, 2 x_0, x_1 with rows exchanged, 2 x_1; and 1 for B.
    expected = np.stack([x[0, 0, ::-1], 2 * x[0, 0], x[1, 0, ::-1], 2 * x[1, 0]]) + 1
    assert np.array_equal(matrix_conv_transpose1d(params, x, stride=2)[:, 0], expected)


@pytest.mark.parametrize(
    ("axes", "options"),
    [
        (1, {}),
        (1, {"stride": 3, "padding": ((1, 4),), "output_padding": 2}),
        (2, {"stride": (2, 1), "padding": (1, (2, 0)), "dilation": (1, 2), "groups": 2}),
        (2, {"padding": "SAME", "output_padding": 0, "groups": 4}),
        (3, {"stride": (1, 2, 2), "padding": 1, "output_padding": (0, 1, 0), "dilation": (2, 1, 1)}),
    ],
)
def test_conv_transpose_equals_eqx_conv_transpose_when_n_is_1(x64, axes, options):
    kernel = (3, 4, 3)[:axes]
    theirs = {"padding": 0, **options}
    if isinstance(theirs["padding"], tuple):
        theirs["padding"] = tuple((side, side) if isinstance(side, int) else side for side in theirs["padding"])
    params = draw_params(4 // options.get("groups", 1), 8, 1, *kernel)
    theirs = as_eqx(params, eqx.filter_eval_shape(eqx.nn.ConvTranspose, axes, 4, 8, kernel, **theirs, key=KEY))
    x = draw(2, *(4, 3, 3)[:axes], 4)
    expected = np.moveaxis(eqx.filter_jit(theirs)(np.moveaxis(x, -1, 0)), 0, -1)
    y = jax.jit(lambda x: TRANSPOSE[axes](params, x, **options))(x[..., None, None])
    np.testing.assert_allclose(y[..., 0, 0], expected, rtol=1e-10, atol=1e-12)


def test_same_of_eqx_with_a_stride_is_a_padding_of_ours(x64):
    # Theirs takes off what a convolution of that stride needs (here e - stride = 1), ours what one of stride 1 does.
    params = draw_params(2, 3, 1, 3)
    theirs = eqx.filter_eval_shape(eqx.nn.ConvTranspose1d, 2, 3, 3, stride=2, padding="SAME", key=KEY)
    theirs = as_eqx(params, theirs)
    x = draw(2, 4, 2)
    expected = np.asarray(theirs(x.T).T)
    ours = matrix_conv_transpose1d(params, x[..., None, None], stride=2, padding=((0, 1),))
    np.testing.assert_allclose(ours[..., 0, 0], expected, rtol=1e-10, atol=1e-12)
    assert matrix_conv_transpose1d(params, x[..., None, None], stride=2, padding="SAME").shape[0] == 2 * 4 - 1


@pytest.mark.parametrize(
    ("axes", "space", "output_padding", "options"),
    [
        (1, (7,), 0, {}),
        (1, (8,), 1, {"stride": 3, "padding": ((2, 0),)}),
        (2, (6, 5), (1, 0), {"stride": 2, "padding": "SAME", "dilation": (1, 2)}),
        (2, (5, 4), 0, {"padding": ((4, 3), (0, 3)), "groups": 2}),
        (3, (5, 3, 5), (1, 0, 0), {"stride": (2, 1, 2), "padding": ((1, 0), 1, 1), "groups": 2}),
    ],
)
def test_conv_transpose_is_the_adjoint_of_conv(x64, axes, space, output_padding, options):
    groups = options.get("groups", 1)
    W = draw(0, 4, 2 // groups, *(3, 2, 3)[:axes], 3, 3)
    x = draw(1, *space, 2, 3, 3)
    conv = partial(CONV[axes], MatrixParams(W), **options)
    other = draw(2, *jax.eval_shape(conv, x).shape)

    @jax.jit
    def run(x, other):
        y, pull = jax.vjp(conv, x)
        return y, TRANSPOSE[axes](MatrixParams(W_t), other, output_padding=output_padding, **options), *pull(other)

    W_t = matched(W, groups)
    y, back, pulled = run(x, other)
    assert back.shape == x.shape
    np.testing.assert_allclose(np.vdot(y, other), np.vdot(x, back), rtol=1e-12)
    np.testing.assert_allclose(back, pulled, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("axes", "options"),
    [
        (1, {"stride": 3, "padding": ((3, 0),), "output_padding": 2}),
        (2, {"stride": (2, 1), "padding": (1, (2, 0)), "dilation": 2, "groups": 2}),
        (2, {"stride": 2, "layout": "channel_first", "precision": "high", "accumulation_dtype": "float64"}),
        (3, {"padding": "SAME"}),
    ],
)
def test_gradients_match_finite_differences(x64, axes, options):
    params = draw_params(2 // options.get("groups", 1), 2, 2, *(2, 3, 1)[:axes])
    space = (3, 2, 2)[:axes]
    x = draw(2, *((2, *space) if "layout" in options else (*space, 2)), 2, 2)
    check_grads(jax.jit(lambda params, x: TRANSPOSE[axes](params, x, **options)), (params, x), order=1)


@every_rank
def test_conv_transpose_takes_any_leading_axes(x64, axes):
    params = draw_params(2, 3, 2, *(2,) * axes)
    x = draw(2, 2, 3, *(3,) * axes, 2, 2, 2)
    transpose = jax.jit(lambda params, x: TRANSPOSE[axes](params, x, stride=2))
    y = transpose(params, x)
    assert y.shape == (2, 3, *(6,) * axes, 3, 2, 2)
    np.testing.assert_allclose(jax.vmap(jax.vmap(lambda x: transpose(params, x)))(x), y, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(transpose(params, x[0, 1]), y[0, 1], rtol=1e-10, atol=1e-12)
    assert transpose(params, x[:0]).shape == (0, *y.shape[1:])


def test_conv_transpose_keeps_half_precision_and_promotes_mixed_input():
    params, x = draw_params(2, 3, 2, 3), draw(2, 5, 2, 2, 2).astype(np.float32)
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    y = matrix_conv_transpose1d(half, x.astype(jnp.bfloat16), stride=2)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y, matrix_conv_transpose1d(params, x, stride=2), rtol=0.05, atol=0.1)
    assert matrix_conv_transpose1d(half, x).dtype == jnp.float32


@pytest.mark.parametrize(
    ("shape", "options", "refusal"),
    [
        ((4, 4, 3, 4, 4), {}, r"takes \(\*batch, h, w, p=2, n=4, n=4\): axis -3 is 3, p is 2\."),
        ((4, 4, 2, 4, 4), {"groups": 2}, r"takes \(\*batch, h, w, p=4, n=4, n=4\): axis -3 is 2, p is 4\."),
        ((4, 4, 2, 4, 4), {"layout": "channel_first"}, r"takes \(\*batch, p=2, h, w, n=4, n=4\): axis -5 is 4, p is 2"),
        ((4, 2, 4, 4), {}, "it has 4 axes, at least 5 are due"),
    ],
)
def test_conv_transpose_refuses_a_wrong_shape_in_its_layout(shape, options, refusal):
    with pytest.raises(ContractError, match=r"^matrix_conv_transpose2d got x float32\[.*" + refusal):
        matrix_conv_transpose2d(draw_params(2, 4, 4, 3, 3), jnp.ones(shape), **options)


@every_rank
def test_conv_transpose_refuses_a_weight_with_other_kernel_axes(axes):
    x = jnp.ones((*(5,) * axes, 2, 4, 4))
    other = {1: 2, 2: 3, 3: 1}[axes]
    message = rf"`matrix_conv_transpose{axes}d` takes W .* use `matrix_conv_transpose{other}d`"
    with pytest.raises(ContractError, match=message):
        TRANSPOSE[axes](draw_params(2, 3, 4, *(3,) * other), x)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, r"`stride` \(=0\) must be at least 1"),
        ({"dilation": (1, 2, 3)}, r"`dilation` \(=\(1, 2, 3\)\) must have 2 sizes"),
        ({"groups": 0}, r"`groups` \(=0\) must be at least 1"),
        ({"groups": 3}, r"`q` \(=4\) must be divisible by `groups` \(=3\)"),
        ({"output_padding": -1}, r"`output_padding` \(=-1\) must be at least 0: choose 0 for none"),
        (
            {"output_padding": (1, 2), "stride": 2},
            r"`output_padding` \(=\(1, 2\)\) must be less than `stride` \(=\(2, 2\)\) along each axis: choose a",
        ),
        ({"padding": "same"}, r"`padding` \(='same'\) .* did you mean 'SAME'\?"),
        ({"padding": (0, (4, 3))}, r"`padding` takes 7 off w, which comes out 7 long without it: pad less"),
        ({"layout": "h w p n"}, "`layout` .* must name each of h, w, p once and n twice"),
        ({"precision": "hi"}, r"`precision` \(='hi'\) .* did you mean"),
        ({"accumulation_dtype": "int8"}, r"`accumulation_dtype` \(=int8\) must be a float dtype"),
    ],
)
def test_conv_transpose_refuses_options_without_a_meaning(options, message):
    groups = options.get("groups", 1)
    with pytest.raises(ValueError, match=message):
        matrix_conv_transpose2d(draw_params(2, 4, 4, 3, 3), jnp.ones((5, 5, 2 * max(groups, 1), 4, 4)), **options)
