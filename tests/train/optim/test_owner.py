"""Whose each parameter is."""

import equinox as eqx
import jax
import jax.numpy as jnp

from matrinox import nn
from matrinox.train.optim.owner import owned


def test_each_place_has_its_innermost_module_and_the_field_of_it(model):
    places = owned(eqx.filter(model, eqx.is_inexact_array))
    assert {
        path: (type(place.module).__name__, place.field) for path, place in places.items() if eqx.is_array(place.leaf)
    } == {
        "layers[0].weight": ("Conv2d", "weight"),
        "layers[0].bias": ("Conv2d", "bias"),
        "layers[1].weight": ("LayerNorm", "weight"),
        "layers[1].bias": ("LayerNorm", "bias"),
        "layers[3].weight": ("Dense", "weight"),
        "layers[3].bias": ("Dense", "bias"),
    }


def test_what_is_none_is_a_place_too_and_a_container_keeps_the_field():
    tree = {"weights": (jnp.ones(2), None), "layer": nn.Dense(p=1, q=1, n=2, use_bias=False, key=jax.random.key(0))}
    places = owned(tree)
    assert list(places) == ["['layer'].weight", "['layer'].bias", "['weights'][0]", "['weights'][1]"]
    assert places["['layer'].bias"].leaf is None
    assert places["['layer'].bias"].field == "bias"
    assert places["['weights'][0]"].module is places["['weights'][1]"].field is None


def test_the_place_of_a_leaf_alone_has_the_empty_path():
    assert list(owned(jnp.ones(2))) == [""]
