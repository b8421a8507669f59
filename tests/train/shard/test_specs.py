"""How the axes of a model's arrays are cut."""

import jax
import jax.numpy as jnp
import pytest
from jax.sharding import PartitionSpec as P

from matrinox import nn
from matrinox.train import partition_specs
from matrinox.train.shard.specs import array_specs, read_rules, table_rows

KEY = jax.random.key(0)
MESH = {"data": 4, "model": 2}


@pytest.fixture(scope="module")
def model():
    layers = [nn.Dense(p=3, q=4, n=2, key=KEY), nn.Tanh(), nn.Dense(p=4, q=5, n=2, use_bias=False, key=KEY)]
    return nn.Sequential(layers)


def test_the_neurons_out_are_cut_over_the_axis_called_model(model):
    specs = partition_specs(model, MESH)
    assert specs.layers[0].weight == P("model", None, None, None)
    assert specs.layers[0].bias == P("model", None, None)
    assert jax.tree.structure(specs.layers[1]) == jax.tree.structure(partition_specs(nn.Tanh(), MESH))


def test_an_axis_that_the_mesh_does_not_divide_is_whole(model):
    assert partition_specs(model, MESH).layers[2].weight == P(None, None, None, None)


def test_fused_gates_are_cut_by_the_rule_of_their_neurons_and_the_sum_of_their_columns_is_not():
    cell = nn.LSTMCell(p=2, q=3, n=2, key=KEY)
    assert partition_specs(cell, {"model": 4}).weight == P("model", None, None, None)
    assert partition_specs(cell, {"model": 5}, {"p": "model"}).weight == P(None, None, None, None)


def test_rules_of_ones_own_may_take_other_letters_and_several_axes_of_the_mesh(model):
    layer = model.layers[0]
    specs = partition_specs(layer, {"x": 2, "y": 2, "z": 3}, {"q": ("x", "y"), "p": "z"})
    assert specs.weight == P(("x", "y"), "z", None, None)


def test_an_axis_of_the_mesh_cuts_one_axis_of_an_array_at_most():
    layer = nn.Dense(p=4, q=4, n=2, use_bias=False, key=KEY)
    (row,) = array_specs(layer, {"x": 2}, read_rules(layer, {"x": 2}, {"q": "x", "p": "x"}))
    assert row.spec == P("x", None, None, None)
    assert row.remark == "p is whole: x cuts another axis"


def test_arrays_without_letters_and_what_is_no_array_have_their_places_in_the_tree():
    specs = partition_specs({"a": jnp.ones((2, 2)), "f": jnp.tanh, "n": 3}, {"data": 2})
    assert specs == {"a": P(None, None), "f": None, "n": None}
    assert partition_specs(jnp.ones(2), {"data": 2}) == P()


def test_the_table_says_what_is_whole_and_why(model):
    rows = list(table_rows(array_specs(model, MESH, read_rules(model, MESH, None))))
    assert rows == [
        ("layers[0].weight", "4 3 2 2", "q p n n", "model – – –", ""),
        ("layers[0].bias", "4 2 2", "q n n", "model – –", ""),
        ("layers[2].weight", "5 4 2 2", "q p n n", "– – – –", "q is whole: 5 is not divisible by 2"),
    ]


REFUSED = {
    "an axis that the mesh lacks": (
        MESH,
        {"batch": "data", "q": "modle"},
        r"`rules\['q'\]` names the axis 'modle', .* choose from data, model: did you mean 'model'\?",
    ),
    "a letter that the model lacks": (
        {"data": 2},
        {"batch": "data", "rows": "data"},
        r"`rules` names the letter 'rows', which no axis of the model has: choose from batch, n, p, q\.",
    ),
    "a misspelt letter": ({"data": 2}, {"btch": "data"}, r"did you mean 'batch'\?"),
    "an axis without a rule": (
        {"dat": 2},
        None,
        r"`mesh` has the axis 'dat', which no rule names: give it one in `rules`, .*: did you mean 'data'\?",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_rules_that_cannot_be_meant_are_refused(model, name):
    mesh, rules, message = REFUSED[name]
    with pytest.raises(ValueError, match=message):
        partition_specs(model, mesh, rules)


def test_a_letter_of_the_defaults_need_not_be_in_the_model():
    assert partition_specs({"a": jnp.ones(2)}, MESH) == {"a": P(None)}
