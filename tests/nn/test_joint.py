import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import AnyArray, ContractError, contract
from matrinox.contract.axes import read_axes
from matrinox.nn.joint import Several, Told, demands, layer_name, pass_through, refined, show_axes, unequal

KEY = jax.random.key(0)


def dense(p, q, n=4):
    return nn.Dense(p=p, q=q, n=n, initializer=drawn, key=KEY)


def axes(text):
    return read_axes(text, {}, {})


def behind(*layers, came=None):
    """What the last of the layers gives, as text."""
    given = pass_through("", eqx.nn.Sequential(layers), Told("x", axes(came)) if came else None)
    return show_axes(given.axes) if isinstance(given, Told) else given


def test_axes_flow_as_data_would():
    assert behind(dense(2, 3), nn.ReLU()) == "(*batch, p=3, n=4, n=4)"
    assert behind(dense(2, 3), nn.Trace()) == "(*batch, p=3)"
    assert behind(dense(2, 3), came="7 h 2 4 4") == "(7, h, q=3, n=4, n=4)"
    assert behind(nn.GlobalAvgPool2d(), dense(2, 3), came="5 h w 2 4 4") == "(5, q=3, n=4, n=4)"


def test_what_has_no_annotations_is_unknown():
    assert behind(dense(2, 3), lambda x: x) is None
    assert behind(np.tanh) is None
    assert behind(max) is None
    assert behind(lambda x: x, dense(2, 3)) == "(*batch, q=3, n=4, n=4)"


def test_an_axis_is_carried_from_far_before():
    with pytest.raises(ContractError, match=r"layers\[2\]: Step takes \(\*batch, 6, p, n, n\).*axis -4 is 7, not 6"):
        behind(dense(2, 3), nn.ReLU(), Step(), came="7 2 4 4")


@contract
class Step(eqx.Module):
    def __call__(self, x: Float[AnyArray, "*batch 6 p n n"], *, key: None = None) -> Float[Array, "*batch p n n"]:
        return jnp.asarray(x)[..., 0, :, :, :]


def test_what_a_chain_takes_is_read_through_layers_that_keep_sizes():
    assert show_axes(demands(dense(2, 3))) == "(*batch, p=2, n=4, n=4)"
    assert show_axes(demands(nn.Sequential([nn.ReLU(), nn.Tanh(), dense(2, 3)]))) == "(*batch, p=2, n=4, n=4)"
    assert show_axes(demands(nn.Sequential([nn.Sequential([nn.ReLU()]), dense(2, 3)]))) == "(*batch, p=2, n=4, n=4)"
    assert show_axes(demands(nn.Sequential([nn.Residual(dense(2, 2)), dense(2, 3)]))) == "(*batch, p=2, n=4, n=4)"
    assert show_axes(demands(nn.Sequential([nn.Trace(), dense(2, 3)]))) == "(*batch, p=4, n, n)"
    assert demands(nn.Sequential([lambda x: x, dense(2, 3)])) is None
    assert demands(nn.Parallel([dense(2, 3)])) is None
    assert demands(nn.Sequential([])) is None


def test_sizes_that_are_unknown_in_one_are_filled_from_the_other():
    assert show_axes(refined(axes("*batch p 4"), axes("7 2 5"))) == "(*batch, p=2, 4)"
    assert show_axes(refined(axes("p n"), axes("*batch 3"))) == "(p, n=3)"


def test_axes_differ_where_two_known_sizes_do():
    assert unequal(axes("*batch 2 n"), axes("*batch 3 4")) == "axis -2 is 3, not 2"
    assert unequal(axes("2 3 4"), axes("5 3 6")) == "axis -3 is 5, not 2"
    assert unequal(axes("*batch p n"), axes("*batch 3 4")) is None


def test_counts_of_axes_differ_only_where_the_batch_is_the_same():
    both = axes("*batch 2 4 4")
    assert unequal(both, both[:2]) == "it has 1 axis behind the batch, not 3"
    assert unequal(both, axes("*batch 4 4")) is None
    assert unequal(axes("2 4 4"), axes("4 4")) == "it has 2 axes, not 3"


@contract
class Upscale(eqx.Module):
    """Takes a neuron or three, and any two sizes of places."""

    def __call__(self, x: Float[AnyArray, "_ _ #3 n n"], *, key: None = None) -> Float[Array, "_ _ #3 n n"]:
        return jnp.asarray(x)


def test_of_anonymous_and_of_broadcast_axes_nothing_is_known():
    assert behind(Upscale(), came="5 7 1 4 4") == "(_, _, _, n=4, n=4)"
    assert behind(Upscale(), dense(1, 2), came="5 7 3 4 4") == "(_, _, q=2, n=4, n=4)"
    assert show_axes(demands(Upscale())) == "(_, _, _, n, n)"


@contract
class Split(eqx.Module):
    """Two outputs, of which one is known."""

    def __call__(
        self, x: Float[AnyArray, "*batch p n n"], *, key: None = None
    ) -> tuple[Float[Array, "*batch p"], tuple[Array, Array]]:
        return jnp.asarray(x)[..., 0, 0], (jnp.asarray(x), jnp.asarray(x))


@contract
class Statistics(eqx.nn.StatefulLayer):
    def __call__(
        self, x: Float[AnyArray, "*batch p n n"], state: eqx.nn.State, *, key: None = None
    ) -> tuple[Float[Array, "*batch p"], eqx.nn.State]:
        return jnp.asarray(x)[..., 0, 0], state


def test_a_tuple_of_arrays_is_several_outputs_and_a_state_is_none():
    given = behind(dense(2, 3), Split())
    assert isinstance(given, Several)
    assert isinstance(given.parts[0], Told)
    assert (show_axes(given.parts[0].axes), given.parts[1]) == ("(*batch, p=3)", None)
    assert behind(dense(2, 3), Statistics()) == "(*batch, p=3)"
    nn.Sequential([Split(), nn.Parallel([lambda x: x, lambda pair: pair[0]])])
    with pytest.raises(ContractError, match=r"layers\[1\]: ReLU takes .*Split gives 2 outputs: one is due"):
        nn.Sequential([Split(), nn.ReLU()])


def test_a_chain_of_any_length_can_be_a_body():
    chain = nn.Sequential([nn.ReLU()] * 1500 + [dense(2, 2)])
    assert show_axes(demands(chain)) == "(*batch, p=2, n=4, n=4)"


def test_several_outputs_are_counted():
    assert str(Several("layers[0]: Parallel", (None,))) == "layers[0]: Parallel gives 1 output"
    assert str(Several("Parallel", (None, None))) == "Parallel gives 2 outputs"


def test_a_layer_is_named_by_path_and_sizes():
    assert layer_name("layers[0]", dense(2, 3)) == "layers[0]: Dense(p=2, q=3, n=4)"
    assert layer_name("", nn.ReLU()) == "ReLU"
    assert layer_name("body", jnp.tanh) == "body: tanh"
    assert layer_name("body", jax.tree_util.Partial(jnp.tanh)) == "body: Partial"
