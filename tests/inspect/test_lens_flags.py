"""Flags: each kind raised where it is due, with neurons, share and remedy, and nowhere else."""

import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.inspect.lens import lens
from matrinox.inspect.lens_flags import Flag, flags_of
from matrinox.inspect.measured import Measured

RANDOM = np.random.default_rng(0)


def of_gate(values):
    return flags_of({}, {}, {"act": Measured("act", np.asarray(values, np.float32))})


def of_layer(values):
    return flags_of({}, {"layer": Measured("layer", np.asarray(values, np.float32))}, {})


def with_determinants(signs):
    """Matrices `(examples, neurons, 2, 2)` whose determinants have these signs."""
    return np.array(signs, float)[..., None, None] ** np.array([[1, 0], [0, 0]]) * np.eye(2)


def test_gates_that_never_open_or_never_close_are_flagged_by_neuron():
    signs = np.array([[1, -1, 1, -1]] * 5 + [[1, -1, -1, -1]] * 5)
    dead, opened = of_gate(with_determinants(signs))
    assert (dead.kind, dead.path, dead.neurons, dead.share) == ("dead det-gate", "act", ((1,), (3,)), 0.5)
    assert dead.message == str(dead)
    assert dead.message.startswith(
        "act: dead det-gate: 2 of 4 neurons never have a positive determinant, on 10 matrices each: start these neurons"
    )
    assert "Only" not in dead.message
    assert (opened.kind, opened.neurons, opened.share) == ("open det-gate", ((0,),), 0.25)
    assert "the layer is the identity for them" in opened.message


def test_a_determinant_of_zero_does_not_open_a_gate():
    (flag,) = of_gate(np.zeros((12, 1, 2, 2)))
    assert flag.kind == "dead det-gate"


def test_few_examples_are_said_to_be_few():
    (flag,) = of_gate(with_determinants([[1]]))
    assert flag.message.endswith("Only 1 matrix of each were seen: give more examples to be sure.")


def test_columns_that_are_equal_on_every_example_are_flagged():
    values = RANDOM.normal(size=(6, 3, 2, 2))
    values[:, 1] = values[:, 1, :, :1]
    values[2, 1] = 0
    values[0, 2] = values[0, 2, :, :1]
    (flag,) = of_layer(values)
    assert (flag.kind, flag.neurons) == ("identical columns", ((1,),))
    assert "encode by `Fold`, `Patches` or `EmbedPixels` rather than `Tile`" in flag.message


def test_a_determinant_that_is_zero_throughout_is_flagged_once():
    values = RANDOM.normal(size=(6, 4, 3, 3))
    values[:, 0, :, 2] = values[:, 0, :, 0] - values[:, 0, :, 1]
    values[:, 2] = 0
    (flag,) = of_layer(values)
    assert (flag.kind, flag.neurons) == ("zero determinant", ((0,), (2,)))
    assert "2 of 4 neurons are singular (1 of them are zero)" in flag.message


def test_what_is_not_finite_is_flagged_and_nothing_else_is_said_of_it():
    values = RANDOM.normal(size=(2, 3, 2, 2))
    values[1, 0, 0, 0] = np.nan
    (flag,) = of_layer(values)
    assert (flag.kind, flag.neurons) == ("not finite", ((0,),))
    assert of_gate(np.full((12, 1, 2, 2), np.nan)) == ()


def test_in_a_weight_each_matrix_is_flagged_by_itself():
    table = RANDOM.normal(size=(5, 2, 3, 3)).astype(np.float32)
    table[4, 1] = table[4, 1, :, :1]
    (flag,) = lens({"table": jnp.asarray(table)}).flags
    assert (flag.kind, flag.path, flag.neurons, flag.share) == ("identical columns", "['table']", ((4, 1),), 0.1)
    assert "1 of 10 matrices have n equal columns" in flag.message


def test_neurons_of_one_number_have_no_columns_to_be_equal():
    assert of_layer(np.ones((3, 2, 1, 1))) == ()


def drawn(key, shape, dtype=None):
    return jnp.asarray(np.random.default_rng(1).normal(size=shape), jnp.float32)


def test_a_tiled_scalar_is_seen_through_a_network_and_folding_is_not():
    """Tiling keeps all columns the same behind linear layers, and the determinant zero: so no gate ever opens."""
    layers = [nn.Dense(p=2, q=4, n=2, initializer=drawn, key=jnp.zeros(2, jnp.uint32)), nn.ReLUd()]
    x = jnp.asarray(RANDOM.normal(size=(16, 2)), jnp.float32)
    found = {(flag.kind, flag.path): flag for flag in lens(nn.Sequential([nn.Tile(2), *layers]), x=x).flags}
    assert found["identical columns", "layers[0]"].share == 1
    assert found["identical columns", "layers[1]"].share == 1
    assert found["dead det-gate", "layers[2]"].share == 1
    folded = jnp.asarray(RANDOM.normal(size=(16, 8)), jnp.float32)
    assert lens(nn.Sequential([nn.Fold(2), *layers]), x=folded).flags == ()


def test_a_flag_is_frozen():
    flag = Flag("not finite", "w", ((0,),), 1.0, "text")
    with pytest.raises(AttributeError):
        flag.share = 0.0  # pyright: ignore[reportAttributeAccessIssue]
