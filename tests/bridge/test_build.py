import equinox as eqx
import jax.numpy as jnp
import pytest

from matrinox import nn
from matrinox.bridge.build import built, with_arrays


def test_a_layer_is_built_around_its_arrays():
    weight = jnp.ones((3, 2, 1, 1), jnp.bfloat16)
    layer = built(nn.Dense, {"weight": weight, "bias": None}, p=2, q=3, n=1, use_bias=False)
    assert layer.weight is weight
    assert layer.bias is None
    norm = built(eqx.nn.LayerNorm, {"weight": jnp.ones(2), "bias": jnp.ones(2)}, shape=2)
    assert norm(jnp.ones(2)).shape == (2,)


def test_options_are_checked_as_ever():
    with pytest.raises(ValueError, match=r"`p` \(=0\) must be at least 1"):
        built(nn.Dense, {}, p=0, q=3, n=1)


def test_fields_that_are_none_can_be_filled():
    layer = built(nn.Dense, {"weight": jnp.ones((1, 1, 1, 1))}, p=1, q=1, n=1, use_bias=False)
    assert with_arrays(layer, {"bias": jnp.ones((1, 1, 1))}).bias is not None
    assert layer.bias is None
