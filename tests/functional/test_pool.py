from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import matnets
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads

from matrinox import functional
from matrinox.contract import ContractError
from matrinox.functional import (
    avg_pool1d,
    avg_pool2d,
    max_pool1d,
    max_pool2d,
    pool,
    pool_window,
    sum_pool1d,
    sum_pool2d,
)

POOLS = [(kind, axes) for kind in ("max", "avg", "sum") for axes in (1, 2, 3)]
EACH_POOL = pytest.mark.parametrize(("kind", "axes"), POOLS)
REDUCE = {"max": np.max, "avg": np.mean, "sum": np.sum}
NOTHING = {"max": -np.inf, "avg": 0, "sum": 0}


def pool_of(kind, axes):
    return getattr(functional, f"{kind}_pool{axes}d")


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape)


def test_pools_take_each_entry_by_itself():
    x = jnp.array([[[[1.0, 8.0], [-3.0, 0.0]]], [[[5.0, 2.0], [-7.0, 4.0]]]])
    assert np.array_equal(max_pool1d(x, window=2), [[[[5.0, 8.0], [-3.0, 4.0]]]])
    assert np.array_equal(sum_pool1d(x, window=2), [[[[6.0, 10.0], [-10.0, 4.0]]]])
    assert np.array_equal(avg_pool1d(x, window=2), [[[[3.0, 5.0], [-5.0, 2.0]]]])


@pytest.mark.parametrize("padding", ["VALID", "SAME"])
@pytest.mark.parametrize(("window", "stride"), [(2, 2), (4, 3), (5, 2)])
@pytest.mark.parametrize(("kind", "axes"), [(kind, axes) for kind, axes in POOLS if axes < 3])
def test_pools_equal_matnets(x64, kind, axes, window, stride, padding):
    x = draw(2, *(7, 6)[:axes], 2, 3, 3)
    theirs = partial(getattr(matnets.conv, f"{kind}_pool{axes}d"), window_size=window)
    ours = partial(pool_of(kind, axes), window=window)
    options = {"stride": stride, "padding": padding}
    got, expected = jax.jit(lambda x: (ours(x, **options), theirs(x, **options)))(x)
    np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-14)


def every_option(axes):
    """Windows below and above what is met slice by slice; of 1 to 3 axes."""
    plain = {"window": (3, 2, 6), "stride": (2, 1, 2), "padding": ((1, 2), (0, 1), (3, 0))}
    dilated = plain | {"dilation": (2, 1, 3), "input_dilation": (1, 2, 4)}
    return [{name: option[:axes] for name, option in options.items()} for options in (plain, dilated)]


@EACH_POOL
def test_pools_equal_a_loop_over_windows(x64, windows_by_hand, kind, axes):
    x = draw(*(7, 6, 5)[:axes], 2, 2, 2)
    ours = jax.jit(lambda x: [pool_of(kind, axes)(x, **options) for options in every_option(axes)])(x)
    for got, options in zip(ours, every_option(axes), strict=True):
        options = {"dilation": (1,) * axes, "input_dilation": (1,) * axes} | options
        names = ("window", "stride", "padding", "dilation", "input_dilation")
        met = windows_by_hand(x, *(options[name] for name in names), NOTHING[kind])
        np.testing.assert_allclose(got, REDUCE[kind](met, axis=0), rtol=1e-12, atol=1e-14)


@EACH_POOL
def test_pools_equal_reduce_window(x64, kind, axes):
    x = draw(2, *(7, 6, 5)[:axes], 2, 2, 2)
    options = every_option(axes)[1]
    combine = lax.max if kind == "max" else lax.add
    whole = partial(
        lax.reduce_window,
        init_value=float(NOTHING[kind]),
        computation=combine,
        window_dimensions=(1, *options["window"], 1, 1, 1),
        window_strides=(1, *options["stride"], 1, 1, 1),
        padding=((0, 0), *options["padding"], *((0, 0),) * 3),
        window_dilation=(1, *options["dilation"], 1, 1, 1),
        base_dilation=(1, *options["input_dilation"], 1, 1, 1),
    )
    got, expected = jax.jit(lambda x: (pool_of(kind, axes)(x, **options), whole(x)))(x)
    if kind == "avg":
        expected = expected / np.prod(options["window"])
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


@EACH_POOL
def test_gradients_of_dilated_pools_match_finite_differences(x64, kind, axes):
    x = draw(*(5, 4, 3)[:axes], 1, 2, 2)
    pool = pool_of(kind, axes)
    options = {"window": (3, 2, 5)[:axes], "stride": 2, "padding": "SAME", "input_dilation": (1, 2, 2)[:axes]}
    check_grads(jax.jit(lambda x: pool(x, dilation=(2, 1, 1)[:axes], **options)), (x,), order=1)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize(("size", "dilation"), [(2, 1), (3, 1), (4, 1), (3, 2)])
def test_max_pools_slice_by_slice_by_doubling_and_by_reduce_window_agree(monkeypatch, size, dilation, ties):
    x = jnp.asarray(draw(7, 6, 1, 2, 2))
    x = jnp.round(x) if ties else x
    options = {"window": size, "dilation": dilation, "stride": 1, "padding": "SAME"}

    def value_and_gradient(slices, windows_of_xla):
        monkeypatch.setattr(pool_window, "MOST_SLICES", slices)
        monkeypatch.setattr(pool, "MOST_SLICES", windows_of_xla)
        weights = jnp.cos(jnp.arange(x.size)).reshape(x.shape)

        @jax.jit
        def run(x):
            y, back = jax.vjp(lambda x: max_pool2d(x, **options), x)
            return y, back(weights[: y.shape[0], : y.shape[1]])[0]

        return run(x)

    by_slices = value_and_gradient(9, 9)
    for other in (value_and_gradient(1, 9), value_and_gradient(9, 1)):
        np.testing.assert_array_equal(other[0], by_slices[0])
        np.testing.assert_allclose(other[1], by_slices[1], rtol=1e-5, atol=1e-6)


def test_a_long_dilated_window_takes_few_steps():
    x = jnp.asarray(draw(2100, 1, 1, 1))
    jaxpr = jax.make_jaxpr(lambda x: max_pool1d(x, window=1024, dilation=2, stride=7))(x)
    assert len(jaxpr.eqns) < 100
    y = jax.jit(lambda x: max_pool1d(x, window=1024, dilation=2, stride=7))(x)
    expected = [x[stop : stop + 2047 : 2].max() for stop in range(0, 2100 - 2046, 7)]
    np.testing.assert_array_equal(y.ravel(), expected)


@pytest.mark.parametrize(("kind", "twin"), [("max", "MaxPool"), ("avg", "AvgPool")])
@pytest.mark.parametrize("axes", [1, 2, 3])
def test_pools_equal_their_eqx_twins_when_n_is_1(x64, kind, twin, axes):
    x = draw(*(7, 6, 5)[:axes], 3)
    theirs = jax.jit(getattr(eqx.nn, f"{twin}{axes}d")(kernel_size=3, stride=2))(np.moveaxis(x, -1, 0))
    ours = jax.jit(lambda x: pool_of(kind, axes)(x, window=3, stride=2))(x[..., None, None])
    np.testing.assert_allclose(ours[..., 0, 0], np.moveaxis(theirs, 0, -1), rtol=1e-12)


@pytest.mark.parametrize("pool", [max_pool2d, avg_pool2d, sum_pool2d])
def test_pools_step_by_their_window_unless_told_otherwise(pool):
    x = jnp.asarray(draw(6, 6, 1, 2, 2))
    assert np.array_equal(pool(x, window=(2, 3)), pool(x, window=(2, 3), stride=(2, 3)))
    assert pool(x, window=(2, 3)).shape == (3, 2, 1, 2, 2)


@EACH_POOL
def test_pool_gradients_match_finite_differences(x64, kind, axes):
    x = draw(*(5, 4, 3)[:axes], 1, 2, 2)
    pool = pool_of(kind, axes)
    check_grads(jax.jit(lambda x: pool(x, window=3, stride=2, padding="SAME")), (x,), order=1)


@pytest.mark.parametrize("window", [3, 5])
def test_max_pool_of_short_and_long_windows_can_be_differentiated_twice(x64, window):
    pool = jax.jit(lambda x: jnp.sin(max_pool1d(x, window=window, stride=2, padding="SAME")))
    check_grads(pool, (draw(7, 1, 2, 2),), order=2, modes=["rev"])


@pytest.mark.parametrize("window", [2, 5])
def test_max_pool_gives_the_gradient_to_the_first_of_equals(window):
    x = jnp.zeros((5, 5, 1, 1, 1))
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(max_pool2d(x, window=window, stride=5))))(x)
    assert np.array_equal(gradient.ravel(), [1] + [0] * 24)


def test_max_pool_passes_nan_on():
    x = jnp.array([1, jnp.nan, 3, 4, jnp.nan, 2]).reshape(6, 1, 1, 1)
    np.testing.assert_array_equal(max_pool1d(x, window=2).ravel(), [jnp.nan, 4, jnp.nan])


def test_padding_is_never_the_largest():
    x = -jnp.ones((4, 4, 1, 2, 2))
    assert np.array_equal(max_pool2d(x, window=3, stride=1, padding="SAME"), x)
    assert np.array_equal(max_pool2d(x, window=5, stride=1, padding="SAME"), x)


def test_holes_are_never_the_largest():
    x = jnp.array([-1.0, -2.0, -3.0]).reshape(3, 1, 1, 1)
    np.testing.assert_array_equal(max_pool1d(x, window=2, stride=1, input_dilation=2).ravel(), [-1, -2, -2, -3])
    long = max_pool1d(x, window=5, stride=1, input_dilation=3, dilation=2, padding=6)
    assert np.isfinite(long).all()
    assert (long < 0).all()


def test_average_divides_by_the_window_also_over_padding():
    x = jnp.ones((3, 1, 1, 1))
    np.testing.assert_allclose(avg_pool1d(x, window=3, stride=1, padding="SAME").ravel(), [2 / 3, 1, 2 / 3])
    np.testing.assert_allclose(avg_pool1d(x, window=2, stride=1, input_dilation=2).ravel(), [1 / 2] * 4)
    np.testing.assert_allclose(avg_pool1d(x, window=2, stride=1, dilation=2, padding=1).ravel(), [1 / 2, 1, 1 / 2])


@EACH_POOL
def test_pools_take_any_leading_axes(x64, kind, axes):
    x = draw(2, 3, *(5, 4, 4)[:axes], 2, 2, 2)
    pool = jax.jit(lambda x: pool_of(kind, axes)(x, window=2, padding="SAME"))
    y = pool(x)
    assert np.array_equal(pool_of(kind, axes)(x, window=2, padding="SAME"), y)
    assert np.array_equal(jax.jit(jax.vmap(jax.vmap(pool)))(x), y)
    assert np.array_equal(pool(x[1, 2]), y[1, 2])


@pytest.mark.parametrize("pool", [max_pool2d, avg_pool2d, sum_pool2d])
def test_pools_keep_half_precision(pool):
    x = jnp.asarray(draw(4, 4, 2, 2, 2), jnp.bfloat16)
    y = pool(x, window=2)
    assert y.dtype == jnp.bfloat16
    wide = pool(x.astype(jnp.float32), window=2)
    assert np.array_equal(y, wide.astype(jnp.bfloat16))


def test_sums_of_half_precision_are_taken_in_single_precision():
    # A running sum of ones in bfloat16 stops at 256; in float16 a sum over 65504 is infinite.
    assert sum_pool1d(jnp.ones((1024, 1, 1, 1), jnp.bfloat16), window=1024).item() == 1024
    assert avg_pool1d(jnp.full((4, 1, 1, 1), 4e4, jnp.float16), window=4).item() == jnp.float16(4e4)


@EACH_POOL
def test_pools_refuse_a_wrong_shape(kind, axes):
    with pytest.raises(ContractError, match="at least"):
        pool_of(kind, axes)(jnp.ones((4,) * (axes + 2)), window=2)
    with pytest.raises(ContractError, match="axis -1 is 3, n is 2"):
        pool_of(kind, axes)(jnp.ones((*(4,) * axes, 1, 2, 3)), window=2)


@pytest.mark.parametrize("pool", [max_pool2d, avg_pool2d, sum_pool2d])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"window": 0}, r"`window` \(=0\) must be at least 1"),
        ({"window": (2, 2, 2)}, r"`window` \(=\(2, 2, 2\)\) must have 2 sizes"),
        ({"window": 2, "stride": 0}, r"`stride` \(=0\) must be at least 1"),
        ({"window": 2, "padding": "FULL"}, r"`padding` \(='FULL'\) must be 'SAME', .*'VALID'"),
        ({"window": (2, 3), "padding": 2}, r"`padding` \(=2\) must be shorter than `window` .* choose at most 1"),
        ({"window": 5}, r"`window` spans 5 along h, which is 4 long \(padded: 4\): choose a smaller `window`"),
    ],
)
def test_pools_refuse_options_without_a_meaning(pool, options, message):
    with pytest.raises(ValueError, match=message):
        pool(jnp.ones((4, 4, 1, 2, 2)), **options)
