import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox import functional
from matrinox.contract import ContractError
from matrinox.functional import adaptive_avg_pool1d, adaptive_avg_pool2d, adaptive_max_pool1d

EACH_POOL = pytest.mark.parametrize(("kind", "axes"), [(kind, axes) for kind in ("avg", "max") for axes in (1, 2, 3)])
SPACE, SIZE = (7, 4, 5), (3, 2, 2)


def pool_of(kind, axes):
    return getattr(functional, f"adaptive_{kind}_pool{axes}d")


def draw(*shape):
    return np.random.default_rng(0).normal(size=shape)


def test_the_first_parts_take_the_places_left_over():
    x = jnp.array([1.0, 5.0, -3.0, 8.0, 2.0]).reshape(5, 1, 1, 1)
    assert adaptive_avg_pool1d(x, size=2).ravel().tolist() == [1, 5]
    assert adaptive_max_pool1d(x, size=3).ravel().tolist() == [5, 8, 2]


@EACH_POOL
def test_adaptive_pools_equal_a_loop_over_parts(x64, kind, axes):
    x = draw(*SPACE[:axes], 2, 2, 2)
    parts = [np.array_split(np.arange(space), size) for space, size in zip(SPACE, SIZE, strict=True)][:axes]
    expected = np.empty((*SIZE[:axes], 2, 2, 2))
    for place in np.ndindex(*SIZE[:axes]):
        met = x[np.ix_(*(cut[i] for cut, i in zip(parts, place, strict=True)))]
        expected[place] = {"avg": np.mean, "max": np.max}[kind](met, axis=tuple(range(axes)))
    ours = jax.jit(lambda x: pool_of(kind, axes)(x, size=SIZE[:axes]))(x)
    np.testing.assert_allclose(ours, expected, rtol=1e-12, atol=1e-14)


@EACH_POOL
def test_a_part_for_each_place_changes_nothing_and_one_part_is_a_global_pool(kind, axes):
    x = jnp.asarray(draw(2, *(4, 3, 2)[:axes], 2, 2, 2))
    np.testing.assert_array_equal(pool_of(kind, axes)(x, size=(4, 3, 2)[:axes]), x)
    whole = getattr(functional, f"global_{kind}_pool{axes}d")(x)
    np.testing.assert_allclose(pool_of(kind, axes)(x, size=1).reshape(whole.shape), whole, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", ["avg", "max"])
def test_adaptive_pool_gradients_match_finite_differences(x64, kind):
    check_grads(jax.jit(lambda x: pool_of(kind, 2)(x, size=(3, 2))), (draw(5, 4, 1, 2, 2),), order=1)


def test_means_of_half_precision_are_taken_in_single():
    y = adaptive_avg_pool1d(jnp.full((2048, 1, 1, 1), 4e4, jnp.float16), size=2)
    assert y.dtype == jnp.float16
    assert y.ravel().tolist() == [jnp.float16(4e4)] * 2


@pytest.mark.parametrize(
    ("size", "message"),
    [
        (0, r"`size` \(=0\) must be at least 1: choose a positive size"),
        ((2, 2, 2), r"`size` \(=\(2, 2, 2\)\) must have 2 sizes"),
        ((2, 5), r"`size` \(=\(2, 5\)\) must not exceed w \(=4\): choose at most 4"),
    ],
)
def test_sizes_without_a_meaning_are_refused(size, message):
    with pytest.raises(ValueError, match=message):
        adaptive_avg_pool2d(jnp.ones((6, 4, 1, 2, 2)), size=size)


@EACH_POOL
def test_adaptive_pools_refuse_a_wrong_shape(kind, axes):
    with pytest.raises(ContractError, match="at least"):
        pool_of(kind, axes)(jnp.ones((4,) * (axes + 2)), size=2)
    with pytest.raises(ContractError, match="axis -1 is 3, n is 2"):
        pool_of(kind, axes)(jnp.ones((*(4,) * axes, 1, 2, 3)), size=2)
