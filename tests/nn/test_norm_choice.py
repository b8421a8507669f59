import functools

import jax.numpy as jnp
import pytest

from matrinox import nn
from matrinox.nn.norm_choice import norm_of


def test_a_name_gives_the_layer_of_that_name():
    for name, kind in {"batch": nn.BatchNorm, "layer": nn.LayerNorm, "rms": nn.RMSNorm}.items():
        (layer,) = norm_of(name, 6, 3, axes=2, dtype=jnp.bfloat16)
        assert type(layer) is kind
        assert (layer.p, layer.n, layer.weight.dtype) == (6, 3, jnp.bfloat16)
    assert norm_of(None, 6, 3) == []


@pytest.mark.parametrize(("p", "groups"), [(1, 1), (6, 2), (64, 32), (96, 32), (45, 1)])
def test_group_norm_has_as_many_groups_as_divide_both_p_and_32(p, groups):
    (layer,) = norm_of("group", p, 2, axes=2, dtype=jnp.bfloat16)
    assert (type(layer), layer.groups, layer.axes, layer.bias.dtype) == (nn.GroupNorm, groups, 2, jnp.bfloat16)


def test_instance_norm_runs_over_the_space_axes():
    (layer,) = norm_of("instance", 6, 2, axes=3, dtype=jnp.bfloat16)
    assert (type(layer), layer.axes, layer.bias.dtype) == (nn.InstanceNorm, 3, jnp.bfloat16)


def test_a_function_of_p_and_n_gives_any_layer():
    (layer,) = norm_of(functools.partial(nn.BatchNorm, axis_name="batch"), 6, 3)
    assert (type(layer), layer.p, layer.n, layer.axis_name) == (nn.BatchNorm, 6, 3, "batch")
    (layer,) = norm_of(nn.FrobeniusNormalization, 6, 3)
    assert type(layer) is nn.FrobeniusNormalization


def test_an_unknown_name_is_refused_with_the_nearest():
    names = "batch, layer, rms, group, instance"
    message = rf"`norm` \(='btach'\) must be None, a function of p and n, or one of {names}: did you mean 'batch'\?"
    with pytest.raises(ValueError, match=message):
        norm_of("btach", 2, 3)
    with pytest.raises(ValueError, match=r"`norm` \(='weight'\) must be .* instance\.$"):
        norm_of("weight", 2, 3)


def test_a_function_that_gives_no_layer_is_refused():
    with pytest.raises(TypeError, match=r"`norm\(2, 3\)` \(=5\) must be callable: give a layer or a function\."):
        norm_of(lambda p, n: p + n, 2, 3)
    with pytest.raises(TypeError, match=r"`norm\(2, 3\)` \(=RMSNorm\) must not be a class"):
        norm_of(lambda p, n: nn.RMSNorm, 2, 3)
