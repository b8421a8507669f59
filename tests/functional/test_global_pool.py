from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox import functional
from matrinox.contract import ContractError
from matrinox.functional import global_avg_pool1d, global_max_pool1d, global_sum_pool1d

POOLS = [(kind, axes) for kind in ("avg", "max", "sum") for axes in (1, 2, 3)]
EACH_POOL = pytest.mark.parametrize(("kind", "axes"), POOLS)
REDUCE = {"avg": np.mean, "max": np.max, "sum": np.sum}


def pool_of(kind, axes):
    return getattr(functional, f"global_{kind}_pool{axes}d")


def test_global_pools_of_a_sequence_by_hand():
    x = jnp.array([1.0, 5.0, -3.0]).reshape(3, 1, 1, 1) * jnp.array([[1.0, 2.0], [0.0, -1.0]])
    assert np.array_equal(global_avg_pool1d(x), [[[1.0, 2.0], [0.0, -1.0]]])
    assert np.array_equal(global_max_pool1d(x), [[[5.0, 10.0], [0.0, 3.0]]])
    assert np.array_equal(global_sum_pool1d(x), [[[3.0, 6.0], [0.0, -3.0]]])


@EACH_POOL
def test_global_pools_equal_numpy_and_pools_of_one_window(x64, kind, axes):
    space = (4, 3, 2)[:axes]
    x = np.random.default_rng(0).normal(size=(2, *space, 2, 3, 3))
    ours = jax.jit(pool_of(kind, axes))(x)
    np.testing.assert_allclose(ours, REDUCE[kind](x, axis=tuple(range(1, 1 + axes))), rtol=1e-12, atol=1e-14)
    one = jax.jit(partial(getattr(functional, f"{kind}_pool{axes}d"), window=space))(x)
    np.testing.assert_allclose(ours, one.reshape(ours.shape), rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("kind", ["avg", "max", "sum"])
def test_global_pool_gradients_match_finite_differences(x64, kind):
    check_grads(jax.jit(pool_of(kind, 2)), (np.random.default_rng(0).normal(size=(3, 2, 1, 2, 2)),), order=1)


@pytest.mark.parametrize(("pool", "total"), [(global_avg_pool1d, 1), (global_sum_pool1d, 4096)])
def test_half_precision_is_summed_in_single(pool, total):
    y = pool(jnp.ones((4096, 1, 1, 1), jnp.bfloat16))
    assert y.dtype == jnp.bfloat16
    assert y.item() == total


@EACH_POOL
def test_wrong_shapes_and_axes_of_no_places_are_refused(kind, axes):
    with pytest.raises(ContractError, match="at least"):
        pool_of(kind, axes)(jnp.ones((4,) * (axes + 2)))
    with pytest.raises(ContractError, match="axis -1 is 3, n is 2"):
        pool_of(kind, axes)(jnp.ones((*(4,) * axes, 1, 2, 3)))
    letter = {1: "t", 2: "w", 3: "w"}[axes]
    with pytest.raises(ValueError, match=rf"`{letter}` \(=0\) must be at least 1: a global pool needs a place"):
        pool_of(kind, axes)(jnp.ones((*(2,) * (axes - 1), 0, 3, 2, 2)))
