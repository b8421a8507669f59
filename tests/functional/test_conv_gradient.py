from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.extend.core import jaxprs_in_params
from jax.sharding import AxisType, PartitionSpec

from matrinox.functional import conv_gradient, matrix_conv2d, matrix_conv_transpose2d, relu
from matrinox.functional.conv_gradient import Geometry, convolve
from matrinox.params import MatrixParams

# Compiling takes all the time, so the compiler need not optimise.
compiled = partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})
# What the kernel has besides its size: (3, 2) here, over an input of 7 × 6.
ONE, NONE = (1, 1), ((0, 0), (0, 0))
OPTIONS = {
    "plain": Geometry(stride=ONE, padding=NONE, dilation=ONE, spread=ONE, groups=1),
    "padded": Geometry(stride=ONE, padding=((1, 2), (3, 0)), dilation=ONE, spread=ONE, groups=1),
    "strided": Geometry(stride=(2, 3), padding=((1, 0), (0, 1)), dilation=ONE, spread=ONE, groups=1),
    "dilated": Geometry(stride=ONE, padding=((2, 2), (1, 2)), dilation=(2, 3), spread=ONE, groups=1),
    "grouped": Geometry(stride=ONE, padding=((1, 1), (0, 1)), dilation=ONE, spread=ONE, groups=2),
    "spread": Geometry(stride=ONE, padding=((1, 0), (0, 2)), dilation=ONE, spread=(3, 2), groups=1),
    "cut": Geometry(stride=ONE, padding=((-2, 1), (0, -3)), dilation=ONE, spread=(2, 1), groups=1),
    "all": Geometry(stride=(2, 1), padding=((3, 0), (1, 2)), dilation=(2, 2), spread=(1, 3), groups=2),
}


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape))


def draw_operands(geometry):
    return draw(0, 3, 7, 6, 4), draw(1, 3, 2, 4 // geometry.groups, 6)


def plain(x, w, geometry):
    """The convolution as JAX differentiates it."""
    return lax.conv_general_dilated(
        x,
        w,
        geometry.stride,
        geometry.padding,
        lhs_dilation=geometry.spread,
        rhs_dilation=geometry.dilation,
        feature_group_count=geometry.groups,
        dimension_numbers=lax.conv_dimension_numbers(x.shape, w.shape, ("NHWC", "HWIO", "NHWC")),
        precision=geometry.precision,
        preferred_element_type=geometry.accumulation,
    )


def bent(conv, geometry):
    """A scalar whose derivatives of every order are other than zero."""
    return lambda x, w: jnp.sum(jnp.sin(conv(x, w, geometry)))


def gradients(loss):
    return jax.grad(loss, argnums=(0, 1))


def second_gradients(loss):
    return gradients(lambda x, w: sum(jnp.sum(jnp.cos(part)) for part in gradients(loss)(x, w)))


def assert_same(ours, theirs):
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", OPTIONS)
def test_value_and_gradients_of_both_orders_equal_those_of_plain_autodiff(x64, name):
    geometry = OPTIONS[name]

    def derivatives(conv):
        loss = bent(conv, geometry)
        return compiled(lambda x, w: (conv(x, w, geometry), gradients(loss)(x, w), second_gradients(loss)(x, w)))

    x, w = draw_operands(geometry)
    assert_same(derivatives(convolve)(x, w), derivatives(plain)(x, w))


def test_derivatives_of_both_orders_of_half_precision_can_be_summed_in_float32(x64):
    geometry = replace(OPTIONS["all"], accumulation="float32")
    x, w = (operand.astype(jnp.bfloat16) for operand in draw_operands(geometry))

    def derivatives(conv):
        loss = bent(conv, geometry)
        return compiled(lambda x, w: (conv(x, w, geometry), gradients(loss)(x, w), second_gradients(loss)(x, w)))

    ours = derivatives(convolve)(x, w)
    assert [leaf.dtype for leaf in jax.tree.leaves(ours)] == [jnp.float32, *(jnp.bfloat16,) * 4]
    theirs = derivatives(lambda x, w, geometry: plain(x, w, OPTIONS["all"]))(x.astype(float), w.astype(float))
    for a, b in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(a.astype(float), b, rtol=0.05, atol=0.02 * float(jnp.abs(b).max()))


@pytest.mark.parametrize("axes", [(0, None), (None, 3), (0, 3)])
@pytest.mark.parametrize("name", ["strided", "all"])
def test_mapped_operands_equal_those_of_plain_autodiff(x64, name, axes):
    geometry = OPTIONS[name]
    x, w = draw_operands(geometry)
    x = x if axes[0] is None else draw(2, 2, *x.shape)
    w = w if axes[1] is None else draw(3, *w.shape[:3], 2, w.shape[3])

    def derivatives(conv):
        loss = bent(conv, geometry)
        mapped = jax.vmap(lambda x, w: (conv(x, w, geometry), gradients(loss)(x, w)), axes)
        of_the_sum = gradients(lambda x, w: jnp.sum(jax.vmap(loss, axes)(x, w)))
        return compiled(lambda x, w: (mapped(x, w), of_the_sum(x, w)))(x, w)

    assert_same(derivatives(convolve), derivatives(plain))


def test_kernel_gradients_mapped_over_one_operand_equal_a_loop(x64):
    geometry = OPTIONS["all"]
    x, w = draw_operands(geometry)
    g = draw(4, *convolve(x, w, geometry).shape)

    def kernel_gradient(x, g):
        return jax.vjp(lambda w: convolve(x, w, geometry), w)[1](g)[0]

    xs, gs = draw(5, 2, *x.shape), draw(6, 2, *g.shape)
    one = compiled(kernel_gradient)
    over_x, over_g = compiled(jax.vmap(kernel_gradient, (0, None))), compiled(jax.vmap(kernel_gradient, (None, 0)))
    assert_same(over_x(xs, g), jnp.stack([one(x, g) for x in xs]))
    assert_same(over_g(x, gs), jnp.stack([one(x, g) for g in gs]))


def test_forward_mode_agrees_with_reverse_mode(x64):
    geometry = OPTIONS["all"]
    x, w = draw_operands(geometry)
    loss = bent(convolve, geometry)
    tangents = draw(2, *x.shape), draw(3, *w.shape)
    _, slope = compiled(lambda: jax.jvp(loss, (x, w), tangents))()
    expected = sum(jnp.vdot(g, t) for g, t in zip(compiled(gradients(loss))(x, w), tangents, strict=True))
    np.testing.assert_allclose(slope, expected, rtol=1e-10)
    # Forward over reverse, as Hessian-vector products are taken, against reverse over reverse.
    hvp = compiled(lambda: jax.jvp(lambda w: jax.grad(loss, 1)(x, w), (w,), tangents[1:])[1])()
    assert_same(hvp, compiled(jax.grad(lambda w: jnp.vdot(jax.grad(loss, 1)(x, w), tangents[1])))(w))


def test_transposing_twice_gives_the_convolution_back(x64):
    geometry = OPTIONS["all"]
    x, w = draw_operands(geometry)
    for operand, linear in ((x, lambda x: convolve(x, w, geometry)), (w, lambda w: convolve(x, w, geometry))):
        transpose = jax.linear_transpose(linear, operand)
        back = jax.linear_transpose(lambda g: transpose(g)[0], jax.eval_shape(linear, operand))  # noqa: B023
        np.testing.assert_allclose(back(operand)[0], linear(operand), rtol=1e-10, atol=1e-10)


def test_gradients_under_scan_and_checkpoint_equal_those_of_a_loop(x64):
    geometry = OPTIONS["strided"]
    x, w = draw_operands(geometry)
    loss = jax.checkpoint(bent(convolve, geometry))
    xs = jnp.stack([x, 2 * x])
    _, in_scan = lax.scan(lambda carry, x: (carry, gradients(loss)(x, w)), None, xs)
    expected = compiled(gradients(bent(plain, geometry)))
    for index in range(2):
        assert_same([part[index] for part in in_scan], expected(xs[index], w))


@pytest.mark.parametrize("name", ["padded", "strided", "all"])
def test_kernel_gradient_by_patches_equals_that_by_convolution(x64, monkeypatch, name):
    geometry = OPTIONS[name]
    x, w = draw_operands(geometry)
    g = draw(2, *convolve(x, w, geometry).shape)
    options = {"kernel": (3, 2), "geometry": geometry}
    by_convolution = compiled(partial(conv_gradient._kernel_gradient_by_convolution, **options))(x, g)
    # One chunk; chunks of two with one row of zeros; chunks of one.
    for entries in (2**20, 2 * g[0].size * 4, 1):
        monkeypatch.setattr(conv_gradient, "_CHUNK", entries)
        by_patches = compiled(partial(conv_gradient._kernel_gradient_by_patches, **options))
        assert_same(by_patches(x, g), by_convolution)


def test_kernel_gradient_of_half_precision_is_summed_in_single_precision():
    # A running sum of ones in bfloat16 stops at 256.
    x, w = jnp.ones((1000, 3, 3, 1), jnp.bfloat16), jnp.ones((1, 1, 1, 1), jnp.bfloat16)
    gradient = jax.grad(lambda w: jnp.sum(convolve(x, w, OPTIONS["plain"]), dtype=jnp.float32))(w)
    assert gradient.dtype == jnp.bfloat16
    np.testing.assert_allclose(gradient.ravel(), [9000], rtol=0.01)


def test_kernel_gradient_of_a_shared_kernel_is_summed_over_devices(x64):
    geometry = OPTIONS["strided"]
    x, w = draw_operands(geometry)
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Auto,))
    shared, split = PartitionSpec(), PartitionSpec("data")
    loss = jax.shard_map(
        lambda x, w: lax.psum(bent(convolve, geometry)(x, w), "data"),
        mesh=mesh,
        in_specs=(split, shared),
        out_specs=shared,
    )
    assert_same(jax.jit(gradients(loss))(x, w), gradients(bent(plain, geometry))(x, w))


def equations(jaxpr) -> Iterator:
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jaxprs_in_params(eqn.params):
            yield from equations(inner)


def scanned_training(stride, last=matrix_conv2d, **options):
    """Three steps of gradient descent on a network of two convolutions, in one scan."""

    def loss(layers, x):
        for conv, params in zip((matrix_conv2d, last), layers, strict=True):
            x = relu(conv(params, x, stride=stride, padding="SAME", **options))
        return jnp.mean(jnp.square(x))

    def step(layers, x):
        slopes = jax.grad(loss)(layers, x)
        return jax.tree.map(lambda leaf, slope: leaf - 0.1 * slope, layers, slopes), None

    layers = [MatrixParams(jnp.ones((4, p, 3, 3, 2, 2)), jnp.ones((4, 2, 2))) for p in (3, 4)]
    return jax.jit(lambda layers, batches: lax.scan(step, layers, batches)[0]), layers, jnp.ones((3, 4, 8, 8, 3, 2, 2))


ORDINARY = "[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]"


@pytest.mark.parametrize("stride", [1, 2])
def test_no_gradient_convolution_is_left_in_a_scanned_training_step(stride):
    train, layers, batches = scanned_training(stride)
    found = list(equations(jax.make_jaxpr(train)(layers, batches).jaxpr))
    names = [eqn.primitive.name for eqn in found]
    # Two layers forward, the second one's input gradient, and no convolution for the two kernels.
    assert names.count("matrix_convolve") == 3
    assert names.count("matrix_convolve_kernel_gradient") == 2
    assert "conv_general_dilated" not in names
    spread = [eqn.params["geometry"].spread for eqn in found if eqn.primitive.name == "matrix_convolve"]
    assert sorted(spread) == [(1, 1), (1, 1), (stride, stride)]
    lowered = train.trace(layers, batches).lower(lowering_platforms=("cpu",)).as_text()
    assert lowered.count("stablehlo.convolution") == 3
    assert lowered.count(f"dim_numbers = {ORDINARY}") == 3


@pytest.mark.parametrize(
    ("last", "options"),
    [
        (matrix_conv_transpose2d, {}),
        (matrix_conv2d, {"input_dilation": 2}),
        (matrix_conv2d, {"batch_groups": 2}),
    ],
)
def test_no_gradient_convolution_is_left_in_a_scanned_step_of_other_convolutions(last, options):
    train, layers, batches = scanned_training(2, last, **options)
    names = [eqn.primitive.name for eqn in equations(jax.make_jaxpr(train)(layers, batches).jaxpr)]
    assert names.count("matrix_convolve") == 3
    assert names.count("matrix_convolve_kernel_gradient") == 2
    assert "conv_general_dilated" not in names
    lowered = train.trace(layers, batches).lower(lowering_platforms=("cpu",)).as_text()
    assert lowered.count("stablehlo.convolution") == lowered.count(f"dim_numbers = {ORDINARY}") == 3


@pytest.mark.parametrize("last", [matrix_conv2d, matrix_conv_transpose2d])
def test_precision_and_the_dtype_of_the_sums_hold_for_every_gradient(last):
    train, layers, batches = scanned_training(2, last, precision="highest", accumulation_dtype="float32")
    layers, batches = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), (layers, batches))
    traced = train.trace(layers, batches)
    for platform, products in (("cpu", {"convolution": 3, "dot_general": 2}), ("cuda", {"convolution": 5})):
        lowered = traced.lower(lowering_platforms=(platform,)).as_text().splitlines()
        for kind, count in products.items():
            lines = [line for line in lowered if f"stablehlo.{kind}" in line]
            assert len(lines) == count
            for line in lines:
                assert "HIGHEST, HIGHEST" in line or "precision HIGHEST" in line
                assert line.rstrip().endswith("xf32>")


def test_plain_autodiff_would_leave_gradient_convolutions():
    geometry = OPTIONS["plain"]
    x, w = draw_operands(geometry)
    lowered = jax.jit(gradients(bent(plain, geometry))).lower(x, w).as_text()
    assert lowered.count("stablehlo.convolution") == 3
    assert lowered.count(f"dim_numbers = {ORDINARY}") == 1


def test_other_platforms_take_the_kernel_gradient_by_convolution():
    train, layers, batches = scanned_training(1)
    lowered = train.trace(layers, batches).lower(lowering_platforms=("cuda",)).as_text()
    assert lowered.count("stablehlo.convolution") == 5


def test_the_kernel_gradient_outside_jit_is_that_of_the_platform_at_hand():
    geometry = OPTIONS["grouped"]
    x, w = draw_operands(geometry)
    g = convolve(x, w, geometry)
    traced = conv_gradient._kernel_gradient_p.impl.trace(x, g, kernel=(3, 2), geometry=geometry)
    for platform, convolutions in (("cuda", 1), ("cpu", 0)):
        lowered = traced.lower(lowering_platforms=(platform,)).as_text()
        assert lowered.count("stablehlo.convolution") == convolutions


@pytest.mark.parametrize("name", ["strided", "grouped"])
def test_gradients_over_an_empty_batch_are_zero(name):
    geometry = OPTIONS[name]
    x, w = draw_operands(geometry)
    in_x, in_w = compiled(gradients(bent(convolve, geometry)))(x[:0], w)
    assert in_x.shape == x[:0].shape
    assert in_w.shape == w.shape
    assert not in_w.any()
    mapped = compiled(jax.vmap(gradients(bent(convolve, geometry)), (0, None)))(jnp.stack([x[:0]] * 2), w)[1]
    assert mapped.shape == (2, *w.shape)
    assert not mapped.any()


def few_channels(dtype=jnp.float32):
    """What is convolved to few channels in single precision: 3 → 6, with a kernel of 3 × 3."""
    geometry = Geometry(stride=(2, 1), padding=((1, 0), (2, 1)), dilation=ONE, spread=ONE, groups=1)
    return draw(0, 2, 6, 5, 3).astype(dtype), draw(1, 3, 3, 3, 6).astype(dtype), geometry


def channels_convolved(x, w, geometry, platform="cpu"):
    """The channels out of the one convolution that is lowered for a platform."""
    lowered = jax.jit(partial(convolve, geometry=geometry)).trace(x, w).lower(lowering_platforms=(platform,)).as_text()
    (line,) = [line for line in lowered.splitlines() if "stablehlo.convolution" in line]
    return int(line.rsplit("->", 1)[1].split("x")[-2])


def test_few_channels_are_padded_on_the_cpu_alone():
    x, w, geometry = few_channels()
    assert channels_convolved(x, w, geometry) == 17
    assert channels_convolved(x, w, geometry, "cuda") == 6
    assert convolve(x, w, geometry).shape == (2, 3, 6, 6)


@pytest.mark.parametrize(
    ("shape", "change"),
    [
        ((3, 3, 17, 6), {}),
        ((3, 3, 3, 17), {}),
        ((3, 3, 3, 3), {}),
        ((2, 2, 3, 6), {}),
        ((3, 3, 3, 6), {"groups": 2}),
        ((3, 3, 3, 6), {"spread": (1, 2)}),
        ((3, 3, 3, 6), {"dilation": (2, 1)}),
        ((3, 3, 3, 6), {"accumulation": "float64"}),
    ],
)
def test_what_is_not_faster_padded_is_left(x64, shape, change):
    geometry = replace(few_channels()[2], **change)
    x, w = draw(0, 2, 6, 5, shape[2] * geometry.groups).astype(jnp.float32), draw(1, *shape).astype(jnp.float32)
    assert channels_convolved(x, w, geometry) == shape[-1]


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float64])
def test_other_precisions_are_not_padded(x64, dtype):
    assert channels_convolved(*few_channels(dtype)) == 6


def test_padded_channels_change_no_value_and_no_derivative(monkeypatch):
    x, w, geometry = few_channels()
    tangents = draw(2, *x.shape), draw(3, *w.shape)
    xs = jnp.stack([x, 2 * x])

    def derivatives():
        loss = bent(convolve, geometry)
        first = jax.vmap(lambda x: (convolve(x, w, geometry), gradients(loss)(x, w)))
        return compiled(lambda: (first(xs), second_gradients(loss)(x, w), jax.jvp(loss, (x, w), tangents)))()

    padded = derivatives()
    monkeypatch.setattr(conv_gradient, "_PADDED_OUT", 0)
    assert channels_convolved(x, w, geometry) == 6
    plain = derivatives()
    for a, b in zip(jax.tree.leaves(padded), jax.tree.leaves(plain), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-5 * float(jnp.abs(b).max()))
