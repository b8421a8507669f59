"""What cannot be constrained is refused by its path."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from constrained_chain import KEYS, chain, draw

from matrinox import nn
from matrinox.contract import ContractError


class Rescaled(eqx.Module):
    weight: jax.Array
    scale: float
    count: jax.Array

    def __call__(self, x):
        return self.scale * self.weight * x


@pytest.mark.parametrize(
    ("laws", "error", "message"),
    [
        ({}, ValueError, r"`constraints` \(=\{\}\) must hold at least one: give \{pattern: constraint\}"),
        ({"wieght": nn.Symmetric()}, ValueError, r"'wieght'\) matches no leaf: the nearest of 3 paths is 'weight'"),
        (
            {"weight": jnp.abs, "w*": nn.Orthogonal()},
            ValueError,
            r"`constraints` names 'weight' twice, by 'weight' and by 'w\*': choose one",
        ),
        ({"scale": jnp.abs}, ContractError, r"names 'scale', of type float: only arrays of floats can be constrained"),
        ({"count": jnp.abs}, ContractError, r"names 'count', of type array of int32: only arrays of floats"),
        (
            {"weight": nn.Symmetric()},
            ContractError,
            r"`constraints` puts Symmetric\(\) on 'weight' float32\[2, 3\]: it takes arrays whose last two axes are eq",
        ),
        (
            {"weight": jnp.sum},
            ContractError,
            r"puts sum on 'weight' float32\[2, 3\], which makes .*shape=\(\).* of it: it must keep the shape",
        ),
        (
            {"weight": nn.Symmetric},
            TypeError,
            r"has Symmetric for 'weight': give a constraint, as nn\.Symmetric\(\)",
        ),
        ({"weight": 3}, TypeError, r"has 3 for 'weight': give a constraint"),
    ],
    ids=["none", "misspelt", "twice", "number", "integers", "not square", "other shape", "class", "no function"],
)
def test_constraints_that_cannot_be_are_refused(laws, error, message):
    with pytest.raises(error, match=message):
        nn.Constrained(Rescaled(jnp.ones((2, 3)), 2.0, jnp.ones(2, int)), laws)


def test_a_map_is_refused_where_there_is_none_and_so_is_what_is_no_model():
    with pytest.raises(
        ContractError, match=r"puts Orthogonal\(per='map'\) on 'layers\[0\]\.bias' float32\[2, 2, 2\]: it takes"
    ):
        nn.Constrained(chain(1), {"**.bias": nn.Orthogonal()})
    with pytest.raises(TypeError, match=r"`model` \(=3\) must be callable|model as 3"):
        nn.Constrained(3, {"weight": nn.Symmetric()})


def test_a_weight_that_is_changed_after_the_law_is_refused():
    adapted = nn.lora(chain(1), 1, "layers[0]", key=KEYS[0])
    message = r"names '{}', on which is {}, so that the weight would not obey: constrain the model within, as"
    with pytest.raises(
        ValueError, match=message.format(r"model\.layers\[0\]\.weight", r"the adapter of 'layers\[0\]'")
    ):
        nn.Constrained(adapted, {"**.weight": nn.Symmetric()})
    inner = nn.Sequential([nn.Constrained(chain(1), {"layers[0].weight": nn.Symmetric()})])
    with pytest.raises(ValueError, match=message.format(r"layers\[0\]\.model\.layers\[0\]\.weight", r"Symmetric\(\)")):
        nn.Constrained(inner, {"layers[0].model.layers[0].weight": nn.Orthogonal()})
    assert nn.Constrained(adapted, {"**.bias": nn.Symmetric()})(draw(2, 2, 2)).shape == (2, 2, 2)


def test_a_constrained_leaf_that_is_taken_out_is_missed():
    constrained = nn.Constrained(chain(2), {"layers[1].weight": nn.Orthogonal()})
    shorter = eqx.tree_at(lambda c: c.model.layers[1], constrained, nn.Tanh())
    with pytest.raises(ValueError, match=r"names 'layers\[1\]\.weight', no longer in the model: constrain the new one"):
        shorter(draw(2, 2, 2))
