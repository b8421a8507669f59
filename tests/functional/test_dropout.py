import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.functional import dropout

KEY = jax.random.key(0)


def test_entries_are_dropped_or_divided_by_the_share_that_stays():
    x = np.random.default_rng(0).uniform(1, 2, size=(50, 4, 3, 3)).astype(np.float32)
    y = np.asarray(dropout(x, KEY, 0.3))
    gone = y == 0
    np.testing.assert_allclose(y[~gone], x[~gone] / 0.7, rtol=1e-6)
    # Four standard errors.
    assert abs(gone.mean() - 0.3) < 4 * np.sqrt(0.3 * 0.7 / y.size)


@pytest.mark.parametrize(
    ("axis", "drawn"), [(-3, (1, 1, 8, 1, 1)), ((-3, -5), (6, 1, 8, 1, 1)), ((-1,), (1, 1, 1, 1, 3)), (None, None)]
)
def test_the_mask_is_drawn_along_the_axes_and_shared_by_the_rest(axis, drawn):
    x = np.random.default_rng(0).uniform(1, 2, size=(6, 5, 8, 3, 3)).astype(np.float32)
    mask = np.asarray(jax.random.bernoulli(KEY, 0.5, x.shape if drawn is None else drawn))
    np.testing.assert_allclose(dropout(x, KEY, 0.5, axis), np.where(mask, x / 0.5, 0), rtol=1e-6)


def test_a_map_for_each_example_takes_a_key_for_each():
    x, keys = jnp.ones((3, 5, 8, 2, 2)), jax.random.split(KEY, 3)
    mapped = jax.vmap(lambda x, key: dropout(x, key, 0.5, axis=-3))(x, keys)
    assert np.array_equal(mapped[1], dropout(x[1], keys[1], 0.5, axis=-3))
    assert not np.array_equal(mapped[0], mapped[1])


def test_a_rate_that_is_an_array_may_be_traced_and_changes_no_dtype():
    x = jnp.ones((9, 4, 4), jnp.bfloat16)
    y = jax.jit(dropout)(x, KEY, jnp.float32(0.25))
    assert y.dtype == jnp.bfloat16
    assert np.array_equal(y, dropout(x, KEY, 0.25))


def test_a_rate_that_is_an_array_is_checked_while_tracing():
    run = jax.jit(lambda x: dropout(x, jax.random.key(0), rate))
    rate = jnp.float32(0.5)
    assert set(np.unique(run(jnp.ones(32)))) == {0, 2}
    rate = jnp.float32(1.5)
    with pytest.raises(ValueError, match=r"`rate` \(=1.5\) must be from 0 up to"):
        run(jnp.ones(33))


def test_a_rate_of_zero_changes_nothing():
    x = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)
    assert np.array_equal(dropout(x, KEY, 0.0), x)


@pytest.mark.parametrize("rate", [-0.1, 1.0, float("nan")])
def test_a_rate_out_of_range_is_refused(rate):
    with pytest.raises(ValueError, match=rf"`rate` \(={rate}\) must be from 0 up to, but not including, 1"):
        dropout(jnp.ones((2, 3, 3)), KEY, rate)


def test_an_axis_that_is_not_there_is_refused():
    with pytest.raises(ValueError, match=r"`axis` \(=0\) must be below 0: count from the end"):
        dropout(jnp.ones((2, 3, 3)), KEY, 0.5, axis=0)
    with pytest.raises(ValueError, match=r"`axis` \(=-4\) must be of the 3 axes of x: choose from -3 to -1"):
        dropout(jnp.ones((2, 3, 3)), KEY, 0.5, axis=-4)


def test_integers_are_refused():
    with pytest.raises(ContractError, match="dtype is int32"):
        dropout(jnp.ones((2, 3, 3), jnp.int32), KEY, 0.5)
