import doctest

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax
from jax.test_util import check_grads
from scipy.special import logsumexp

from matrinox import functional
from matrinox.contract import ContractError
from matrinox.functional import Reduction, max_pool2d, pool1d, pool2d, reduction_pool

REDUCTIONS = {
    "min": (jnp.min, np.min, np.inf),
    "median": (jnp.median, np.median, 0.5),
    "prod": (jnp.prod, np.prod, 1.0),
    "logsumexp": (jax.nn.logsumexp, logsumexp, -np.inf),
    "ufunc": (jnp.multiply.reduce, np.multiply.reduce, 1.0),
    "binary ufunc": (jnp.frompyfunc(lax.min, 2, 1, identity=np.inf).reduce, np.min, np.inf),
    "Reduction": (Reduction(lax.mul, 2.0), lambda x, axis: 2 * np.prod(x, axis), None),
}
# Every option at once, of 1 to 3 axes: window, stride, padding, dilation, input dilation.
OPTIONS = ((5, 2, 2), (2, 1, 1), ((1, 2), (0, 1), (1, 0)), (2, 1, 2), (1, 2, 1))
NAMES = ("window", "stride", "padding", "dilation", "input_dilation")


def sequence(*values, dtype=jnp.float32):
    return jnp.array(values, dtype).reshape(-1, 1, 1, 1)


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape)


def test_the_examples_run():
    assert doctest.testmod(reduction_pool).failed == 0


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_pools_by_any_reduction_equal_a_loop_over_windows(x64, windows_by_hand, axes):
    x = draw(*(7, 4, 5)[:axes], 2, 2, 2)
    options = [option[:axes] for option in OPTIONS]
    pool = getattr(functional, f"pool{axes}d")

    @jax.jit
    def ours(x):
        return {
            name: pool(x, reduce_fn, fill=fill, **dict(zip(NAMES, options, strict=True)))
            for name, (reduce_fn, _, fill) in REDUCTIONS.items()
        }

    for name, got in ours(x).items():
        _, oracle, fill = REDUCTIONS[name]
        expected = oracle(windows_by_hand(x, *options, 2.0 if fill is None else fill), axis=0)
        np.testing.assert_allclose(got, expected, rtol=1e-12, err_msg=name)


def test_the_entries_of_a_window_come_in_the_order_of_the_axes():
    x = jnp.arange(16.0).reshape(4, 4, 1, 1, 1)
    for i, expected in enumerate([0, 1, 4, 5]):
        assert pool2d(x, lambda windows, axis, i=i: windows[i], window=2)[0, 0].item() == expected


@pytest.mark.parametrize("combine", [lax.mul, lax.max, lax.add])
def test_a_reduction_is_what_reduce_window_makes_of_a_function_and_its_start(x64, combine):
    x, init = jnp.asarray(draw(6, 5, 2, 2, 2)), 0.5
    windows = {"window": (2, 3), "stride": (1, 2), "padding": ((1, 0), (1, 1))}
    # XLA may count the start more than once unless it is neutral, as of a maximum.
    init = {lax.mul: 1.0, lax.max: 0.5, lax.add: 0.0}[combine]
    whole = (2, 3, 1, 1, 1), (1, 2, 1, 1, 1), ((1, 0), (1, 1), *((0, 0),) * 3)
    expected = lax.reduce_window(x, init, combine, *whole)
    np.testing.assert_allclose(pool2d(x, Reduction(combine, init), **windows), expected, rtol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 3, 5, 6])
def test_a_reduction_keeps_the_order_of_what_it_combines(size):
    x = sequence(*range(1, size + 1))
    assert pool1d(x, Reduction(lambda a, b: b, 0.0), window=size).item() == size
    assert pool1d(x, Reduction(lambda a, b: a, -7.0), window=size).item() == -7


def test_the_start_of_a_reduction_takes_part_and_fills():
    x = sequence(-3, -1, 2)
    rectified = Reduction(lax.max, 0.0)
    assert pool1d(x, rectified, window=2, padding=((0, 1),)).ravel().tolist() == [0, 2]
    total = Reduction(lax.add, 0.0)
    assert pool1d(x, total, window=2, padding=((0, 1),), fill=10.0).ravel().tolist() == [-4, 12]
    assert rectified == Reduction(lax.max, 0.0) != total


def test_a_pool_by_the_maximum_is_the_maximum_pool():
    x = jnp.asarray(draw(5, 5, 2, 2, 2))
    windows = {"window": 3, "stride": 2, "padding": "SAME", "dilation": 2}
    np.testing.assert_array_equal(pool2d(x, jnp.max, fill=-jnp.inf, **windows), max_pool2d(x, **windows))


@pytest.mark.parametrize("name", ["logsumexp", "prod", "median", "Reduction"])
def test_reduction_pool_gradients_match_finite_differences(x64, name):
    reduce_fn, _, fill = REDUCTIONS[name]
    options = {"stride": 2, "padding": "SAME", "dilation": 2, "fill": fill}
    pool = jax.jit(lambda x: [pool1d(x, reduce_fn, window=window, **options) for window in (3, 5)])
    check_grads(pool, (draw(7, 1, 2, 2),), order=1)


def test_half_precision_is_reduced_in_single():
    x = jnp.ones((1024, 1, 1, 1), jnp.bfloat16)
    for total in (jnp.sum, Reduction(lax.add, 0.0)):
        y = pool1d(x, total, window=1024)
        assert y.dtype == jnp.bfloat16
        assert y.item() == 1024


@pytest.mark.parametrize(
    ("reduce_fn", "message"),
    [
        (
            lambda x, axis: jnp.sum(x),
            r"`reduce_fn` \(=<lambda>\) must reduce the axis it is given, and no other: of .",
        ),
        (lambda x, axis: jnp.sum(x, axis, keepdims=True), r"of \(4, 2, 3, 1, 2, 2\) and axis 0 it made \(1, 2, 3, 1,"),
        (lambda x, axis: jnp.sum(x, axis + 1), r"must reduce the axis .*: hand its `axis` on, as `jnp.min` takes it"),
        (jnp.argmax, r"`reduce_fn` \(=argmax\) must give floats, not int32: cast what it gives to float32"),
    ],
)
def test_what_does_not_reduce_the_axis_it_is_given_is_refused(reduce_fn, message):
    with pytest.raises(ValueError, match=message):
        pool2d(jnp.ones((4, 6, 1, 2, 2)), reduce_fn, window=2)


@pytest.mark.parametrize("options", [{"padding": "SAME"}, {"input_dilation": 2}])
def test_padding_and_holes_need_a_fill(options):
    with pytest.raises(ValueError, match=r"`fill` \(=None\) must say what padding and the holes .* such as 0 for a"):
        pool1d(sequence(1, 2, 3), jnp.sum, window=2, **options)


def test_wrong_shapes_and_what_cannot_be_called_are_refused():
    with pytest.raises(ContractError, match="axis -1 is 3, n is 2"):
        pool1d(jnp.ones((4, 1, 2, 3)), jnp.min, window=2)
    with pytest.raises(ContractError, match="reduce_fn"):
        pool1d(jnp.ones((4, 1, 2, 2)), "min", window=2)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match="dtype is int32"):
        Reduction(lax.add, 0.0)(jnp.ones((4,), int), axis=0)
