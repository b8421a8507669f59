import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import functional, nn
from matrinox.contract import ContractError

KEY = jax.random.key(0)

POOLS = {(name, axes): getattr(nn, f"Adaptive{name}Pool{axes}d") for name in ("Avg", "Max") for axes in (1, 2, 3)}

every_pool = pytest.mark.parametrize(("name", "axes"), POOLS)


def test_adaptive_pools_of_a_sequence_by_hand():
    x = jnp.array([1.0, 5.0, -3.0, 8.0, 2.0]).reshape(5, 1, 1, 1)
    assert nn.AdaptiveAvgPool1d(2)(x).ravel().tolist() == [1, 5]
    assert nn.AdaptiveMaxPool1d(2)(x).ravel().tolist() == [5, 8]


@every_pool
def test_adaptive_pools_equal_eqx_pools_when_n_is_1(name, axes):
    size = (3, 2, 1)[:axes]
    x = drawn(KEY, (*(7, 4, 3)[:axes], 2), float)
    layer, twin = POOLS[name, axes](size), getattr(eqx.nn, f"Adaptive{name}Pool{axes}d")(size)
    ours, theirs = jax.jit(lambda x: (layer(x[..., None, None]), twin(jnp.moveaxis(x, -1, 0))))(x)
    np.testing.assert_allclose(ours[..., 0, 0], np.moveaxis(theirs, 0, -1), rtol=1e-5, atol=1e-6)


@every_pool
def test_adaptive_pools_are_their_functional_twins_whatever_the_size_that_comes_in(name, axes):
    layer = POOLS[name, axes](2)
    assert jax.tree.leaves(layer) == []
    assert layer == POOLS[name, axes](size=2) != POOLS[name, axes](3)
    twin = getattr(functional, f"adaptive_{name.lower()}_pool{axes}d")
    for space in (2, 3):
        x = drawn(KEY, (*(space,) * axes, 1, 2, 2), float)
        ours, theirs = jax.jit(lambda x: (layer(x), twin(x, size=2)))(x)
        np.testing.assert_array_equal(ours, theirs)


@every_pool
def test_sizes_are_checked_when_the_layer_is_built_and_against_the_axis(name, axes):
    with pytest.raises(ValueError, match=r"`size` \(=0\) must be at least 1: choose a positive size"):
        POOLS[name, axes](0)
    with pytest.raises(ValueError, match=rf"`size` \(=.*\) must have {axes} size"):
        POOLS[name, axes]((1,) * {1: 2, 2: 3, 3: 2}[axes])
    with pytest.raises(ContractError, match="size"):
        POOLS[name, axes](2.0)
    letter = {1: "t", 2: "h", 3: "d"}[axes]
    with pytest.raises(ValueError, match=rf"`size` \(=5\) must not exceed {letter} \(=4\): choose at most 4"):
        POOLS[name, axes](5)(jnp.ones((*(4,) * axes, 1, 2, 2)))
