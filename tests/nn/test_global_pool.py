import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import ContractError

KEY = jax.random.key(0)

POOLS = {(name, axes): getattr(nn, f"Global{name}Pool{axes}d") for name in ("Avg", "Max", "Sum") for axes in (1, 2, 3)}

every_pool = pytest.mark.parametrize(("name", "axes"), POOLS)


def test_global_pools_of_a_sequence_by_hand():
    x = jnp.array([1.0, 5.0, -3.0]).reshape(3, 1, 1, 1) * jnp.array([[1.0, 2.0], [0.0, -1.0]])
    assert np.array_equal(nn.GlobalAvgPool1d()(x), [[[1.0, 2.0], [0.0, -1.0]]])
    assert np.array_equal(nn.GlobalMaxPool1d()(x), [[[5.0, 10.0], [0.0, 3.0]]])
    assert np.array_equal(nn.GlobalSumPool1d()(x), [[[3.0, 6.0], [0.0, -3.0]]])


@every_pool
def test_global_pools_equal_float64_numpy(name, axes):
    x = np.random.default_rng(0).normal(size=(2, *(4, 3, 2)[:axes], 2, 3, 3))
    reduce = {"Avg": np.mean, "Max": np.max, "Sum": np.sum}[name]
    expected = reduce(x, axis=tuple(range(1, 1 + axes)))
    np.testing.assert_allclose(POOLS[name, axes]()(x.astype(np.float32)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(("name", "axes"), [key for key in POOLS if key[0] != "Sum"])
def test_global_pools_equal_eqx_pools_over_everything_when_n_is_1(name, axes):
    sizes = (4, 3, 2)[:axes]
    x = drawn(KEY, (*sizes, 3), float)
    theirs = getattr(eqx.nn, f"{name}Pool{axes}d")(sizes, sizes)(jnp.moveaxis(x, -1, 0))
    np.testing.assert_allclose(POOLS[name, axes]()(x[..., None, None]).ravel(), theirs.ravel(), rtol=1e-5, atol=1e-6)


def test_the_mean_of_half_precision_is_summed_in_single():
    # 4096 ones and a running bfloat16 sum would stop at 256.
    assert nn.GlobalAvgPool1d()(jnp.ones((4096, 1, 1, 1), jnp.bfloat16)).ravel() == jnp.ones(1, jnp.bfloat16)


@every_pool
def test_a_missing_space_axis_is_refused(name, axes):
    with pytest.raises(ContractError, match=rf"Global{name}Pool{axes}d got x .*it has {axes + 2} ax"):
        POOLS[name, axes]()(jnp.ones((4,) * (axes + 2)))


@every_pool
def test_an_axis_of_no_places_is_refused(name, axes):
    letter = {1: "t", 2: "w", 3: "w"}[axes]
    with pytest.raises(ValueError, match=rf"`{letter}` \(=0\) must be at least 1: a global pool needs a place"):
        POOLS[name, axes]()(jnp.ones((*(2,) * (axes - 1), 0, 3, 2, 2)))
