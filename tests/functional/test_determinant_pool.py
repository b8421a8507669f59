from functools import partial

import jax
import jax.numpy as jnp
import matnets
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from jax.test_util import check_grads

from matrinox import functional
from matrinox.contract import ContractError
from matrinox.functional import avgd_pool1d, avgd_pool2d, max_pool2d, maxd_pool1d, maxd_pool2d

EACH_POOL = pytest.mark.parametrize(("kind", "axes"), [(kind, axes) for kind in ("maxd", "avgd") for axes in (1, 2, 3)])
# Every option at once, of 1 to 3 axes: window, stride, padding, dilation, input dilation.
OPTIONS = ((5, 2, 2), (2, 1, 1), ((1, 2), (0, 1), (1, 0)), (2, 1, 2), (1, 2, 1))


def pool_of(kind, axes):
    return getattr(functional, f"{kind}_pool{axes}d")


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape)


def diagonal(*entries):
    """A sequence of diagonal matrices, one neuron each."""
    return jnp.stack([jnp.diag(jnp.array(entry, jnp.float32)) for entry in entries])[:, None]


def root_by_hand(x):
    det, n = np.linalg.det(x), x.shape[-1]
    return (np.sign(det) * np.maximum(np.abs(det), 1e-7) ** (1 / n))[..., None, None]


def test_maxd_keeps_the_matrix_of_the_highest_determinant():
    x = diagonal((-3, 9), (2, 1), (-1, -4), (0, 50))
    np.testing.assert_array_equal(maxd_pool1d(x, window=2), x[jnp.array([1, 2])])
    np.testing.assert_array_equal(maxd_pool1d(-x, window=4), -x[jnp.array([2])])


def test_maxd_chooses_for_each_neuron_by_itself():
    x = jnp.concatenate([diagonal((1, 1), (2, 2)), diagonal((3, 3), (1, 2))], axis=1)
    np.testing.assert_array_equal(maxd_pool1d(x, window=2), jnp.stack([x[1, 0], x[0, 1]])[None])


def test_avgd_adds_up_matrices_over_their_roots():
    x = diagonal((2, 8), (-4, 1))
    np.testing.assert_allclose(avgd_pool1d(x, window=2), diagonal((2 / 4 + 4 / 2, 8 / 4 - 1 / 2)), rtol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_determinant_pools_equal_matnets_without_padding(x64, n):
    x = {1: draw(2, 7, 2, n, n), 2: draw(2, 5, 4, 2, n, n)}

    def pairs(x):
        for kind, axes in (("maxd", 1), ("maxd", 2), ("avgd", 1), ("avgd", 2)):
            theirs = getattr(matnets.conv, f"{kind}_pool{axes}d")
            yield pool_of(kind, axes)(x[axes], window=3, stride=2), theirs(x[axes], window_size=3, stride=2)

    for ours, theirs in jax.jit(lambda x: list(pairs(x)))(x):
        np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-10)


def test_padding_is_no_candidate_where_matnets_lets_it_win(x64):
    x = jnp.asarray(-1 - draw(5, 4, 2, 1, 1) ** 2)
    options = {"stride": 1, "padding": "SAME"}
    theirs = jax.jit(lambda x: matnets.conv.maxd_pool2d(x, window_size=3, **options))(x)
    ours, largest = jax.jit(lambda x: [pool(x, window=3, **options) for pool in (maxd_pool2d, max_pool2d)])(x)
    np.testing.assert_array_equal(theirs[0], jnp.zeros_like(theirs[0]))
    np.testing.assert_array_equal(ours, largest)


def test_padding_adds_nothing_where_matnets_gives_nan(x64):
    x = jnp.asarray(draw(4, 1, 2, 2))
    options = {"stride": 1, "padding": "SAME"}
    theirs = jax.jit(lambda x: matnets.conv.avgd_pool1d(x, window_size=3, **options))(x)
    ours = jax.jit(lambda x: avgd_pool1d(x, window=3, **options))(x)
    assert np.isnan(theirs[0]).all()
    np.testing.assert_allclose(ours[1:-1], theirs[1:-1], rtol=1e-10)
    np.testing.assert_allclose(ours[0], (x[:2] / root_by_hand(x[:2])).sum(axis=0), rtol=1e-10)


@EACH_POOL
def test_determinant_pools_equal_a_loop_over_windows(x64, windows_by_hand, kind, axes):
    x = draw(*(7, 4, 5)[:axes], 2, 2, 2)
    options = [option[:axes] for option in OPTIONS]
    names = ("window", "stride", "padding", "dilation", "input_dilation")
    got = jax.jit(lambda x: pool_of(kind, axes)(x, **dict(zip(names, options, strict=True))))(x)
    if kind == "maxd":
        met = windows_by_hand(x, *options, np.nan)
        present = ~np.isnan(met[..., 0, 0])
        best = np.where(present, np.linalg.det(np.nan_to_num(met)), -np.inf).argmax(axis=0)[None, ..., None, None]
        expected = np.take_along_axis(met, best, axis=0)[0]
    else:
        expected = windows_by_hand(x / root_by_hand(x), *options, 0).sum(axis=0)
    np.testing.assert_allclose(got, expected, rtol=1e-12, atol=1e-14)


def primitives_of(jaxpr, name):
    for equation in jaxpr.eqns:
        if equation.primitive.name == name:
            yield equation
        for inner in jaxprs_in_params(equation.params):
            yield from primitives_of(inner, name)


@pytest.mark.parametrize("pool", [maxd_pool2d, avgd_pool2d])
def test_a_matrix_has_one_determinant_however_many_windows_meet_it(pool):
    x = jnp.ones((2, 6, 6, 3, 5, 5))
    jaxpr = jax.make_jaxpr(lambda x: pool(x, window=3, stride=1, padding="SAME"))(x)
    assert [equation.invars[0].aval.shape for equation in primitives_of(jaxpr.jaxpr, "lu")] == [x.shape]


def test_of_equal_determinants_the_first_in_the_order_of_the_axes_is_kept():
    # All of determinant 1, in rows of 3; the highest of a window of 2 × 2 stand on its other diagonal.
    x = jax.vmap(lambda a: jnp.diag(jnp.stack([a, 1 / a])))(2.0 ** jnp.arange(9)).reshape(3, 3, 1, 2, 2)
    pool = jax.jit(partial(maxd_pool2d, window=2, stride=1))
    np.testing.assert_array_equal(pool(x), x[:2, :2])
    np.testing.assert_array_equal(pool(x.at[0, 0].set(0))[0, 0], x[0, 1])
    np.testing.assert_array_equal(pool(x.at[0].set(0))[0], x[1, :2])


def test_gradients_flow_to_the_matrices_kept_and_to_no_other():
    x = diagonal((1, 1), (3, 3), (2, 2), (0, 0))
    gradient = jax.jit(jax.grad(lambda x: jnp.sum(maxd_pool1d(x, window=2, stride=1))))(x)
    np.testing.assert_array_equal(gradient[:, 0], jnp.array([0.0, 2.0, 1.0, 0.0])[:, None, None] * jnp.ones((2, 2)))


@EACH_POOL
def test_determinant_pool_gradients_match_finite_differences(x64, kind, axes):
    # Determinants from 1 up, 0.1 apart: far from singular, and none overtakes another.
    space = (5, 3, 2)[:axes]
    sizes = np.random.default_rng(1).permutation(np.prod(space)).reshape(*space, 1)
    x = np.sqrt(1 + sizes / 10)[..., None, None] * np.array([[0.8, 0.6], [-0.6, 0.8]])
    check_grads(jax.jit(lambda x: pool_of(kind, axes)(x, window=2, stride=1, padding="SAME")), (x,), order=1)


@pytest.mark.parametrize("pool", [maxd_pool1d, avgd_pool1d])
def test_gradients_are_finite_at_singular_matrices_of_every_rank(x64, pool):
    x = diagonal((0, 0, 0), (1, 0, 0), (1, 2, 0), (1, 2, 3)).astype(float)
    values, back = jax.vjp(jax.jit(lambda x: pool(x, window=2, stride=1, padding="SAME")), x)
    assert np.isfinite(values).all()
    assert np.isfinite(back(jnp.ones_like(values))[0]).all()


def test_nan_counts_as_the_highest_determinant():
    x = jnp.array([1.0, jnp.nan, 3.0, 4.0, jnp.nan, jnp.inf]).reshape(6, 1, 1, 1)
    np.testing.assert_array_equal(maxd_pool1d(x, window=2).ravel(), [jnp.nan, 4, jnp.nan])


def test_a_matrix_comes_before_padding_even_if_its_determinant_overflows():
    x = diagonal((-1e30, 1e30), (-1e30, 2e30), (-1e30, 3e30))
    kept = jax.jit(partial(maxd_pool1d, window=2, padding=1, stride=1))(x)
    np.testing.assert_array_equal(kept, x[jnp.array([0, 0, 1, 2])])


@pytest.mark.parametrize("input_dilation", [2, 3])
def test_holes_are_no_candidates(input_dilation):
    x = diagonal((-1, 2), (-2, 2), (-3, 2))
    options = {"window": input_dilation, "input_dilation": input_dilation, "stride": 1}
    kept = jax.jit(lambda x: maxd_pool1d(x, **options))(x)
    np.testing.assert_array_equal(kept, jnp.repeat(x, input_dilation, axis=0)[input_dilation - 1 : 1 - input_dilation])


def test_determinants_of_half_precision_are_told_apart_in_single():
    # 1.0078 · 1 and 1.0078²: equal when rounded to eight bits.
    x = diagonal((1.0078125, 1), (1.0078125, 1.0078125 - 2**-7 + 2**-8 + 2**-8)).astype(jnp.bfloat16)
    assert maxd_pool1d(x, window=2).dtype == jnp.bfloat16
    np.testing.assert_array_equal(maxd_pool1d(x, window=2), x[1:])


def test_the_sum_of_half_precision_is_taken_in_single():
    y = avgd_pool1d(jnp.ones((1024, 1, 1, 1), jnp.bfloat16), window=1024)
    assert y.dtype == jnp.bfloat16
    assert y.item() == 1024


@EACH_POOL
def test_determinant_pools_refuse_a_wrong_shape(kind, axes):
    with pytest.raises(ContractError, match="at least"):
        pool_of(kind, axes)(jnp.ones((4,) * (axes + 2)), window=2)
    with pytest.raises(ContractError, match="axis -1 is 3, n is 2"):
        pool_of(kind, axes)(jnp.ones((*(4,) * axes, 1, 2, 3)), window=2)


def test_windows_without_a_matrix_are_refused():
    with pytest.raises(ValueError, match=r"`window` \(=1 along t, in steps of 1\) must meet an entry of `x` wherever"):
        maxd_pool1d(jnp.ones((4, 1, 2, 2)), window=1, input_dilation=2)
    assert avgd_pool1d(jnp.ones((2, 1, 1, 1)), window=1, input_dilation=2).ravel().tolist() == [1, 0, 1]
