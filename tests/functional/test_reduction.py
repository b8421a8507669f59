import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.functional.reduction import kept, reduce_each


def test_a_weighted_mean_is_that_of_numpy():
    each, weight = np.random.default_rng(0).normal(size=(2, 3, 4)).astype(np.float32)
    found = reduce_each("mean", jnp.asarray(weight * each), jnp.asarray(weight))
    np.testing.assert_allclose(found, np.average(each.astype(np.float64), weights=weight), rtol=1e-5)
    np.testing.assert_allclose(reduce_each("sum", jnp.asarray(weight * each)), (weight * each).sum(), rtol=1e-5)


def test_a_mean_over_nothing_is_0_and_so_is_its_slope():
    mean = jax.value_and_grad(lambda x: reduce_each("mean", kept(jnp.zeros(3, bool), x)[0], jnp.zeros(3, bool)))
    assert jax.tree.map(np.ndarray.tolist, jax.tree.map(np.asarray, mean(jnp.ones(3)))) == (0, [0, 0, 0])
    assert reduce_each("mean", jnp.ones((0, 2))) == 0


def test_a_mean_over_nothing_may_be_none():
    for each, weight in ((jnp.ones(3), jnp.zeros(3, bool)), (jnp.ones(0), None)):
        assert np.isnan(reduce_each("mean", each, weight, of_nothing=np.nan))


def test_what_does_not_count_reaches_neither_value_nor_slope():
    x = jnp.array([[1.0, jnp.nan], [jnp.inf, 2.0]])
    (rows,) = kept(np.array([False, True]), jnp.array([[jnp.nan, 1.0], [3.0, 4.0]]))
    assert rows.tolist() == [[0, 0], [3, 4]]
    slope = jax.grad(lambda x: jnp.sum(jnp.square(kept(jnp.eye(2, dtype=bool), x)[0])))(x)
    assert slope.tolist() == [[2, 0], [0, 4]]


def test_an_unknown_reduction_is_refused_with_the_nearest():
    with pytest.raises(
        ValueError, match=r"`reduction` \(='maen'\) must be 'mean', 'sum' or 'none': did you mean 'mean'"
    ):
        reduce_each("maen", jnp.ones(3))
