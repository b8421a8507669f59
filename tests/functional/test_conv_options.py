"""Input dilation, batch groups, layouts, precision and the dtype of the sums of a convolution."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import matrix_conv1d, matrix_conv2d, matrix_conv3d, matrix_conv_transpose2d
from matrinox.params import MatrixParams

# Compiling takes all the time, so the compiler need not optimise.
compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
CONV = {1: matrix_conv1d, 2: matrix_conv2d, 3: matrix_conv3d}


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def draw_params(p, q, n, *kernel):
    return MatrixParams(draw(0, q, p, *kernel, n, n), draw(1, q, n, n))


def test_input_dilation_puts_zeros_between_the_places():
    double, swap = 2 * jnp.eye(2), jnp.array([[0.0, 1.0], [1.0, 0.0]])
    params = MatrixParams(jnp.stack([double, swap])[None, None])
    x = jnp.arange(8.0).reshape(2, 1, 2, 2)
    # Over x_0, 0, x_1: twice x_0, then x_1 with its rows exchanged.
    assert np.array_equal(matrix_conv1d(params, x, input_dilation=2)[:, 0], [2 * x[0, 0], x[1, 0, ::-1]])


def test_each_batch_group_is_seen_by_its_own_neurons_out():
    params = MatrixParams(jnp.array([1.0, 10.0]).reshape(2, 1, 1, 1, 1))
    x = jnp.arange(1.0, 5.0).reshape(4, 1, 1, 1, 1)
    # Examples 1, 2 are seen by the first neuron, 3, 4 by the second.
    assert np.array_equal(matrix_conv1d(params, x, batch_groups=2)[:, 0, :, 0, 0], [[1.0, 30.0], [2.0, 40.0]])


@pytest.mark.parametrize(
    ("axes", "options", "theirs"),
    [
        (1, {"input_dilation": 3}, {"lhs_dilation": (3,)}),
        (
            2,
            {"input_dilation": (1, 2), "dilation": (2, 1), "groups": 2},
            {"lhs_dilation": (1, 2), "rhs_dilation": (2, 1), "feature_group_count": 2},
        ),
        (2, {"batch_groups": 2, "input_dilation": 2}, {"lhs_dilation": (2, 2), "batch_group_count": 2}),
        (3, {"batch_groups": 4}, {"batch_group_count": 4}),
    ],
)
def test_conv_equals_lax_when_n_is_1(x64, axes, options, theirs):
    groups = options.get("groups", 1)
    params, x = draw_params(4 // groups, 4, 1, *(3, 2, 1)[:axes]), draw(2, 4, *(5, 4, 3)[:axes], 4)
    space = "DHW"[:axes]
    strides, padding = (2, 1, 1)[:axes], ((1, 0), (1, 2), (0, 0))[:axes]
    expected = lax.conv_general_dilated(
        x,
        params.W[..., 0, 0],
        strides,
        padding,
        dimension_numbers=(f"N{space}C", f"OI{space}", f"N{space}C"),
        **theirs,
    )
    y = compiled(partial(CONV[axes], stride=strides, padding=padding, **options))(params, x[..., None, None])
    np.testing.assert_allclose(y[..., 0, 0], expected + params.B.ravel(), rtol=1e-10, atol=1e-12)


def test_batch_groups_leave_further_batch_axes_alone(x64):
    params, x = draw_params(2, 4, 2, 3), draw(2, 3, 4, 5, 2, 2, 2)
    whole = partial(matrix_conv1d, params, batch_groups=2)
    y, mapped = compiled(lambda x: (whole(x), jax.vmap(whole)(x)))(x)
    assert y.shape == (3, 2, 3, 4, 2, 2)
    np.testing.assert_allclose(mapped, y, rtol=1e-10, atol=1e-12)
    for group in range(2):
        mine = MatrixParams(params.W[2 * group : 2 * group + 2], params.B[2 * group : 2 * group + 2])
        expected = matrix_conv1d(mine, x[:, 2 * group : 2 * group + 2])
        np.testing.assert_allclose(y[..., 2 * group : 2 * group + 2, :, :], expected, rtol=1e-10, atol=1e-12)


def arranged(array, axes, layout):
    """A channel-last `array` with its trailing axes in the order of `layout`, in NumPy."""
    last = [*("t" if axes == 1 else "dhw"[3 - axes :]), "p", "row", "column"]
    order = layout.replace("n", "row", 1).replace("n", "column", 1).split()
    lead = array.ndim - len(last)
    return np.transpose(array, [*range(lead), *(lead + last.index(letter) for letter in order)])


@pytest.mark.parametrize(
    ("axes", "layout", "taken", "given"),
    [
        (1, "channel_first", "p t n n", "p t n n"),
        (2, "channel_first", "p h w n n", "p h w n n"),
        (2, "n p w n h", "n p w n h", "n p w n h"),
        (2, ("channel_first", "n w q h n"), "p h w n n", "n w p h n"),
        (3, "p n n d h w", "p n n d h w", "p n n d h w"),
    ],
)
def test_a_layout_permutes_the_axes_at_the_door_alone(x64, axes, layout, taken, given):
    params, x = draw_params(2, 4, 3, *(3, 2, 1)[:axes]), draw(2, 2, *(5, 4, 3)[:axes], 2, 3, 3)
    expected = arranged(np.asarray(CONV[axes](params, x)), axes, given)
    conv = partial(CONV[axes], params, layout=layout)
    x = arranged(x, axes, taken)
    np.testing.assert_array_equal(conv(x), expected)
    y, mapped = compiled(lambda x: (conv(x), jax.vmap(conv)(x)))(x)
    np.testing.assert_allclose(y, expected, rtol=1e-12)
    np.testing.assert_allclose(mapped, expected, rtol=1e-10, atol=1e-12)


def test_a_layout_stands_behind_the_examples_of_batch_groups(x64):
    params, x = draw_params(2, 4, 2, 3, 2), draw(2, 4, 5, 4, 2, 2, 2)
    y = matrix_conv2d(params, arranged(x, 2, "p h w n n"), batch_groups=2, layout="channel_first")
    expected = arranged(np.asarray(matrix_conv2d(params, x, batch_groups=2)), 2, "p h w n n")
    np.testing.assert_array_equal(y, expected)


@pytest.mark.parametrize(
    ("options", "shape"),
    [
        ({"input_dilation": (2, 3), "stride": (3, 2), "padding": ((1, 0), (0, 2)), "groups": 2}, (3, 2, 4, 2, 2)),
        ({"batch_groups": 2, "input_dilation": 2, "dilation": 2, "padding": 1}, (4, 3, 2, 2, 2, 2)),
        ({"layout": ("n p w n h", "q h w n n"), "input_dilation": (1, 2)}, (2, 2, 2, 2, 3)),
        ({"precision": "highest", "accumulation_dtype": "float64", "padding": "SAME"}, (3, 2, 2, 2, 2)),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, dict) else "",
)
def test_gradients_match_finite_differences_through_every_option(x64, options, shape):
    params, x = draw_params(2, 4, 2, 2, 1), draw(2, *shape)
    check_grads(jax.jit(lambda params, x: matrix_conv2d(params, x, **options)), (params, x), order=1)


@pytest.mark.parametrize("conv", [matrix_conv2d, matrix_conv_transpose2d])
def test_sums_of_half_precision_in_float32_are_rounded_once_with_the_bias_among_them(conv):
    # bfloat16 counts from 256 in twos: 257 + 1 is 258, but after rounding 257 it is 256.
    ones = jnp.ones((1, 257, 1, 1, 1, 1), jnp.bfloat16)
    params, x = MatrixParams(ones, jnp.ones((1, 1, 1), jnp.bfloat16)), jnp.ones((1, 1, 257, 1, 1), jnp.bfloat16)
    y = conv(params, x, accumulation_dtype="float32")
    assert y.dtype == jnp.bfloat16
    assert float(y.ravel()[0]) == 258
    assert float(conv(params, x).ravel()[0]) == 256


@pytest.mark.parametrize("conv", [matrix_conv2d, matrix_conv_transpose2d])
def test_value_and_gradients_of_float32_summed_in_float64_are_those_of_float64_rounded_once(x64, conv):
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), draw_params(2, 4, 2, 3, 2))
    x = jnp.asarray(draw(2, 5, 4, 2, 2, 2), jnp.float32)
    g = jnp.asarray(draw(3, *jax.eval_shape(conv, params, x).shape), jnp.float32)

    @partial(jax.jit, static_argnames="sums")
    def pulled_back(params, x, sums=None):
        y, back = jax.vjp(lambda params, x: conv(params, x, accumulation_dtype=sums), params, x)
        return jax.tree.leaves((y, back(g.astype(y.dtype))))

    wide = pulled_back(*jax.tree.map(lambda leaf: leaf.astype(jnp.float64), (params, x)))
    both = pulled_back(params, x, sums="float64"), pulled_back(params, x)
    for name, ours, plain, exact in zip("yWBx", *both, wide, strict=True):
        assert ours.dtype == jnp.float32
        if name != "B":
            # The bias and its gradient take no part in the convolution.
            assert np.array_equal(ours, exact.astype(jnp.float32))
            assert not np.array_equal(plain, exact.astype(jnp.float32))


def test_sums_in_the_dtype_of_the_inputs_change_nothing(x64):
    params, x = draw_params(2, 3, 2, 3), draw(2, 5, 2, 2, 2)
    assert np.array_equal(matrix_conv1d(params, x, accumulation_dtype="float64"), matrix_conv1d(params, x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input_dilation": 0}, r"`input_dilation` \(=0\) must be at least 1: choose a positive size"),
        ({"input_dilation": (1, 2, 3)}, r"`input_dilation` \(=\(1, 2, 3\)\) must have 2 sizes"),
        ({"input_dilation": 2, "dilation": 5}, r"`kernel` spans 11 along h, which is 9 long \(padded: 9\)"),
        ({"batch_groups": 0}, r"`batch_groups` \(=0\) must be at least 1: choose 1 for a single group"),
        ({"batch_groups": 3}, r"`q` \(=4\) must be divisible by `batch_groups` \(=3\): choose `q` as a multiple of 3"),
        ({"batch_groups": 4}, r"`examples` \(=2\) must be divisible by `batch_groups` \(=4\): choose `examples` as a"),
        ({"layout": "nhwc"}, r"`layout` \(='nhwc'\) must be 'channel_last', 'channel_first' or axis letters"),
        ({"layout": "h w p n m"}, r"`layout` \(='h w p n m'\) must name each of h, w, p once and n twice"),
        ({"precision": "hihgest"}, r"`precision` \(='hihgest'\) must be .*: did you mean 'highest'\?"),
        (
            {"accumulation_dtype": "bfloat16"},
            r"`accumulation_dtype` \(=bfloat16\) must hold .* choose float32 or wider",
        ),
        ({"accumulation_dtype": "int32"}, r"`accumulation_dtype` \(=int32\) must be a float dtype"),
    ],
)
def test_conv_refuses_options_without_a_meaning(options, message):
    with pytest.raises(ValueError, match=message):
        matrix_conv2d(draw_params(2, 4, 4, 3, 3), jnp.ones((2, 5, 5, 2, 4, 4)), **options)


def test_conv_refuses_groups_of_neurons_and_of_examples_at_once():
    message = r"`groups` \(=2\) and `batch_groups` \(=2\) must not both be above 1: choose 1 for one"
    with pytest.raises(ValueError, match=message):
        matrix_conv1d(draw_params(1, 4, 2, 3), jnp.ones((2, 5, 2, 2, 2)), groups=2, batch_groups=2)
    with pytest.raises(ValueError, match="At most one of batch_group_count and feature_group_count"):
        lax.conv_general_dilated(
            *(jnp.ones((2, 2, 5)), jnp.ones((4, 1, 3)), (1,), "VALID"), feature_group_count=2, batch_group_count=2
        )


@pytest.mark.parametrize(
    ("shape", "options", "refusal"),
    [
        (
            (7, 7, 2, 4, 4),
            {"layout": "channel_first"},
            r"takes \(\*batch, p=2, h, w, n=4, n=4\): axis -5 is 7, p is 2\.$",
        ),
        (
            (2, 4, 4, 7, 5),
            {"layout": "p n n h w", "groups": 2},
            r"takes \(\*batch, p=4, n=4, n=4, h, w\): axis -5 is 2, p is 4\.$",
        ),
        (
            (2, 7, 4, 4),
            {"layout": "channel_first"},
            r"takes \(\*batch, p=2, h, w, n=4, n=4\): it has 4 axes, at least 5 are due\.",
        ),
        (
            (7, 7, 2, 4, 4),
            {"batch_groups": 2},
            r"takes \(\*batch, examples, h, w, p=2, n=4, n=4\): it has 5 axes, at least 6 are due\.$",
        ),
    ],
)
def test_conv_refuses_a_wrong_shape_in_its_layout(shape, options, refusal):
    with pytest.raises(ContractError, match=r"^matrix_conv2d got x float32\[.*; it " + refusal):
        matrix_conv2d(draw_params(2, 4, 4, 3, 3), jnp.ones(shape), **options)


@pytest.mark.parametrize(
    ("options", "refusal"),
    [
        ({"layout": 3}, r"layout as 3 \(int\)"),
        ({"layout": ["p t n n", "q t n n"]}, "layout as a list"),
        ({"batch_groups": 2.0}, r"batch_groups as 2\.0 \(float\)"),
        ({"groups": "2"}, r"groups as '2' \(str\)"),
        ({"input_dilation": (1.0,)}, "input_dilation as a tuple"),
    ],
)
def test_conv_refuses_options_of_another_type(options, refusal):
    with pytest.raises(ContractError, match=f"^matrix_conv1d got {refusal}"):
        matrix_conv1d(draw_params(2, 4, 4, 3), jnp.ones((2, 5, 2, 4, 4)), **options)
