import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import matnets
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import dense, matrix_conv1d, matrix_conv2d, matrix_conv3d
from matrinox.params import MatrixParams

CONV = {1: matrix_conv1d, 2: matrix_conv2d, 3: matrix_conv3d}


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def draw_params(p, q, n, *kernel):
    return MatrixParams(draw(0, q, p, *kernel, n, n), draw(1, q, n, n))


def convolve_by_hand(params, x, stride, pads, dilation, groups):
    """`y = Σ W @ x` position by position, in NumPy; one example, every option for each axis."""
    W, B = np.asarray(params.W), np.asarray(params.B)
    q, p, *kernel, n, _ = W.shape
    x = np.pad(x, (*pads, (0, 0), (0, 0), (0, 0)))
    sizes = zip(x.shape, kernel, dilation, stride, strict=False)
    out = [(size - (k - 1) * step - 1) // s + 1 for size, k, step, s in sizes]
    y = np.zeros((*out, q, n, n))
    for place in np.ndindex(*out):
        for o in range(q):
            first = o // (q // groups) * p
            for tap, i in itertools.product(np.ndindex(*kernel), range(p)):
                at = tuple(a * s + k * d for a, s, k, d in zip(place, stride, tap, dilation, strict=True))
                y[(*place, o)] += W[(o, i, *tap)] @ x[(*at, first + i)]
            y[(*place, o)] += B[o]
    return y


def test_conv1d_slides_matrix_kernels_along_the_sequence():
    swap, double = jnp.array([[0.0, 1.0], [1.0, 0.0]]), 2 * jnp.eye(2)
    params = MatrixParams(jnp.stack([swap, double])[None, None], jnp.ones((1, 2, 2)))
    x = jnp.arange(12.0).reshape(3, 1, 2, 2)
    # y_t = (rows of x_t exchanged) + 2 x_(t+1) + 1
    assert np.array_equal(matrix_conv1d(params, x), [[[[11.0, 14.0], [13.0, 16.0]]], [[[23.0, 26.0], [25.0, 28.0]]]])


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("axes", [1, 2])
def test_conv_equals_matnets(x64, axes, stride, padding):
    params = draw_params(2, 3, 2, *(4, 3)[:axes])
    x = draw(2, 2, *(7, 6)[:axes], 2, 2, 2)
    theirs = getattr(matnets.lax, f"matrix_conv{axes}d")
    options = {"stride": stride, "padding": padding}
    expected = jax.jit(jax.vmap(lambda x: theirs(matnets.MatrixParams(params.W, params.B), x, **options)))(x)
    np.testing.assert_allclose(CONV[axes](params, x, **options), expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("axes", "stride", "padding", "pads", "dilation", "groups"),
    [
        (1, 2, "SAME", [(1, 1)], 1, 1),
        (1, 1, ((0, 3),), [(0, 3)], 2, 2),
        (2, (2, 1), "SAME", [(2, 2), (0, 1)], (2, 1), 1),
        (2, (1, 3), (1, (2, 0)), [(1, 1), (2, 0)], (1, 2), 2),
        (2, 1, 2, [(2, 2), (2, 2)], 1, 4),
        (3, (1, 2, 1), "SAME", [(1, 1), (0, 1), (0, 0)], 1, 2),
        (3, 1, "VALID", [(0, 0)] * 3, (1, 2, 1), 1),
    ],
)
def test_conv_equals_its_formula_in_numpy(x64, axes, stride, padding, pads, dilation, groups):
    params = draw_params(4 // groups, 4, 2, *(3, 2, 1)[:axes])
    x = draw(2, *(6, 5, 3)[:axes], 4, 2, 2)
    each = [(option,) * axes if isinstance(option, int) else option for option in (stride, dilation)]
    expected = convolve_by_hand(params, x, each[0], pads, each[1], groups)
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    y = jax.jit(lambda params, x: CONV[axes](params, x, **options))(params, x)
    np.testing.assert_allclose(y, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_conv_equals_eqx_conv_when_n_is_1(x64, axes):
    theirs = eqx.nn.Conv(axes, 4, 6, 3, stride=2, padding=1, dilation=1, groups=2, key=jax.random.key(0))
    bias = theirs.bias.reshape(6, 1, 1)
    params = MatrixParams(theirs.weight[..., None, None], bias)
    x = draw(1, *(6, 5, 4)[:axes], 4)
    ours = jax.jit(lambda x: CONV[axes](params, x, stride=2, padding=1, groups=2))(x[..., None, None])
    expected = np.moveaxis(eqx.filter_jit(theirs)(np.moveaxis(x, -1, 0)), 0, -1)
    np.testing.assert_allclose(ours[..., 0, 0], expected, rtol=1e-10, atol=1e-12)


def test_conv_with_a_kernel_of_one_is_dense(x64):
    params = draw_params(2, 3, 4)
    x = draw(2, 5, 6, 2, 4, 4)
    kernel = MatrixParams(params.W[:, :, None, None], params.B)
    np.testing.assert_allclose(matrix_conv2d(kernel, x), dense(params, x), rtol=1e-10, atol=1e-12)


def test_each_group_is_a_convolution_of_its_own(x64):
    params, x = draw_params(2, 6, 2, 3), draw(2, 7, 4, 2, 2)
    halves = [
        matrix_conv1d(MatrixParams(params.W[3 * g : 3 * g + 3], params.B[3 * g : 3 * g + 3]), x[:, 2 * g : 2 * g + 2])
        for g in range(2)
    ]
    y = matrix_conv1d(params, x, groups=2)
    np.testing.assert_allclose(y, np.concatenate(halves, axis=1), rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize(
    ("axes", "options"),
    [
        (1, {"stride": 2, "padding": "SAME"}),
        (2, {"stride": (1, 2), "padding": ((1, 0), 2), "dilation": (2, 1), "groups": 2}),
        (3, {"padding": "SAME"}),
    ],
)
def test_conv_gradients_match_finite_differences(x64, axes, options):
    params = draw_params(2 // options.get("groups", 1), 2, 2, *(2, 3, 1)[:axes])
    x = draw(2, *(4, 5, 2)[:axes], 2, 2, 2)
    check_grads(jax.jit(lambda params, x: CONV[axes](params, x, **options)), (params, x), order=1)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_conv_takes_any_leading_axes(x64, axes):
    params = draw_params(2, 3, 2, *(2,) * axes)
    x = draw(2, 2, 3, *(4,) * axes, 2, 2, 2)
    conv = jax.jit(CONV[axes])
    y = conv(params, x)
    assert y.shape == (2, 3, *(3,) * axes, 3, 2, 2)
    np.testing.assert_allclose(CONV[axes](params, x), y, rtol=1e-12)
    np.testing.assert_allclose(jax.vmap(jax.vmap(lambda x: conv(params, x)))(x), y, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(conv(params, x[0, 1]), y[0, 1], rtol=1e-10, atol=1e-12)
    assert conv(params, x[:0]).shape == (0, *y.shape[1:])


def test_conv_without_a_bias_adds_none(x64):
    params, x = draw_params(2, 3, 2, 3), draw(2, 5, 2, 2, 2)
    bare = matrix_conv1d(MatrixParams(params.W), x)
    np.testing.assert_allclose(bare + params.B, matrix_conv1d(params, x), rtol=1e-12)


def test_conv_keeps_half_precision_and_promotes_mixed_input():
    params, x = draw_params(2, 3, 2, 3), draw(2, 5, 2, 2, 2).astype(np.float32)
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    y = matrix_conv1d(half, x.astype(jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y, matrix_conv1d(params, x), rtol=0.05, atol=0.1)
    assert matrix_conv1d(half, x).dtype == jnp.float32


@pytest.mark.parametrize(
    ("shape", "options", "fact"),
    [
        ((7, 7, 3, 4, 4), {}, "axis -3 is 3, p is 2"),
        ((7, 7, 2, 4, 4), {"groups": 3}, "axis -3 is 2, p is 6"),
        ((7, 7, 2, 5, 5), {}, "axis -2 is 5, n is 4"),
        ((7, 2, 4, 4), {}, "4 axes, at least 5 are due"),
    ],
)
def test_conv_refuses_a_wrong_shape(shape, options, fact):
    with pytest.raises(ContractError, match=fact):
        matrix_conv2d(draw_params(2, 3, 4, 3, 3), jnp.ones(shape), **options)


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_conv_refuses_a_weight_with_other_kernel_axes(axes):
    x = jnp.ones((*(5,) * axes, 2, 4, 4))
    other = {1: 2, 2: 3, 3: 1}[axes]
    with pytest.raises(ContractError, match=rf"`matrix_conv{axes}d` takes W .* use `matrix_conv{other}d`"):
        CONV[axes](draw_params(2, 3, 4, *(3,) * other), x)
    with pytest.raises(ContractError, match="use `dense`"):
        CONV[axes](draw_params(2, 3, 4), x)


def test_conv_refuses_groups_that_do_not_divide_q():
    with pytest.raises(ValueError, match=r"`q` \(=3\) must be divisible by `groups` \(=2\): choose `q` as a multiple"):
        matrix_conv1d(draw_params(1, 3, 2, 3), jnp.ones((5, 2, 2, 2)), groups=2)


@pytest.mark.parametrize("axes", [1, 2, 3])
@pytest.mark.parametrize("groups", [0, -1, -2])
def test_conv_refuses_groups_below_1(axes, groups):
    with pytest.raises(ValueError, match=rf"`groups` \(={groups}\) must be at least 1: choose 1 for a single group"):
        CONV[axes](draw_params(2, 4, 2, *(3,) * axes), jnp.ones((*(3,) * axes, 2, 2, 2)), groups=groups)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"stride": 0}, r"`stride` \(=0\) must be at least 1"),
        ({"dilation": (1, 2, 3)}, r"`dilation` \(=\(1, 2, 3\)\) must have 2 sizes"),
        ({"padding": "same"}, r"`padding` \(='same'\) .* did you mean 'SAME'\?"),
        ({"dilation": 3}, r"`kernel` spans 7 along h, which is 5 long \(padded: 5\): choose a smaller `kernel`"),
    ],
)
def test_conv_refuses_options_without_a_meaning(options, message):
    with pytest.raises(ValueError, match=message):
        matrix_conv2d(draw_params(2, 3, 4, 3, 3), jnp.ones((5, 5, 2, 4, 4)), **options)


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("shape", [(0, 5), (3, 0)], ids=["batch", "sequence"])
def test_an_empty_input_leaves_the_bias_and_no_gradient_of_the_weight(groups, shape):
    params = draw_params(2 // groups, 2, 2, 3)

    def total(params):
        y = matrix_conv1d(params, jnp.ones((*shape, 2, 2, 2)), groups=groups, padding=2)
        return jnp.sum(y), y

    (_, y), slopes = jax.value_and_grad(total, has_aux=True)(params)
    assert np.array_equal(y, np.broadcast_to(params.B, (shape[0], shape[1] + 2, 2, 2, 2)))
    assert slopes.W.shape == params.W.shape
    assert not slopes.W.any()
    np.testing.assert_allclose(slopes.B, shape[0] * (shape[1] + 2))
