import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.transforms.selection import argnames_of, argnums_of, take_out


class Layer(eqx.Module):
    weight: jax.Array
    rate: float
    activation: object

    def loss(self, x, y=0.0):
        return jnp.sum(self.activation(self.weight * x)) - y


LAYER = Layer(jnp.array([1.0, 2.0]), 0.5, jnp.tanh)
X = jnp.array([0.3, 0.7])


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, X),
        ({"argnames": []}, X),
        ({"argnums": 0}, X),
        ({"argnums": np.int32(0)}, X),
        ({"argnums": [0]}, (X,)),
        ({"argnames": "y"}, (None, {"y": 1.5})),
        ({"argnums": 0, "argnames": ["y"]}, (X, {"y": 1.5})),
        ({"grad_states": "weight"}, {"weight": LAYER.weight}),
        ({"grad_states": "weight", "argnums": 0}, ({"weight": LAYER.weight}, X)),
        ({"grad_states": "weight", "argnums": (0,), "argnames": "y"}, ({"weight": LAYER.weight}, ((X,), {"y": 1.5}))),
        ({"grad_states": "weight", "argnames": "y"}, ({"weight": LAYER.weight}, (None, {"y": 1.5}))),
    ],
)
def test_what_is_taken_out_has_the_structure_of_the_result(options, expected):
    inputs, call = take_out(LAYER.loss, (X,), {"y": 1.5}, **options)
    assert eqx.tree_equal(inputs, expected)
    assert call(inputs) == LAYER.loss(X, y=1.5)


def test_what_is_put_back_is_what_the_function_sees():
    inputs, call = take_out(LAYER.loss, (X,), {"y": 1.5}, grad_states="weight", argnums=0, argnames="y")
    doubled = jax.tree.map(lambda leaf: 2 * leaf, inputs)
    assert call(doubled) == Layer(2 * LAYER.weight, 0.5, jnp.tanh).loss(2 * X, y=3.0)


def test_of_an_argument_what_has_no_floats_is_carried_along():
    argument = {"layer": LAYER, "names": ["left", 3, jnp.arange(2), None], "scale": 2.0, "bias": np.ones(2)}
    inputs, call = take_out(lambda tree: tree, (argument,), {})
    expected = Layer(LAYER.weight, None, None)  # pyright: ignore[reportArgumentType]
    assert eqx.tree_equal(inputs, {"layer": expected, "names": [None] * 4, "scale": 2.0, "bias": np.ones(2)})
    assert eqx.tree_equal(call(inputs), argument)


def test_an_argument_without_floats_is_refused_with_its_dtype():
    with pytest.raises(TypeError, match=r"by its argument 0 \(`x`\), which holds int32\[2\]: pass floats, or select"):
        take_out(lambda x: x, (jnp.arange(2),), {})
    with pytest.raises(TypeError, match=r"by its argument `y`, which holds \[0\] str, \[1\]\['a'\] bool: pass floats"):
        take_out(lambda x, y: x, (X,), {"y": ["text", {"a": True}]}, argnames="y")


@pytest.mark.parametrize(
    ("argnums", "message"),
    [
        (-1, r"`argnums` \(=-1\) must not be negative: count the arguments from the front"),
        ((0, True), r"`argnums` \(=\(0, True\)\) must be positions, not truth values: write 0 or 1"),
        ((0, 0), r"`argnums` \(=\(0, 0\)\) names an argument twice: name each once"),
        ((), r"`argnums` \(=\(\)\) names no argument: name some, or leave it out"),
        (1, r"`argnums` has 1, but Layer.loss was called with 1 positional argument: choose a smaller one"),
    ],
)
def test_positions_that_fit_no_call_are_refused(argnums, message):
    with pytest.raises(ValueError, match=message):
        take_out(LAYER.loss, (X,), {}, argnums=argnums)


def test_what_is_no_position_or_name_is_refused():
    with pytest.raises(
        TypeError, match=r"`argnums` \(=\(0, 'y'\)\) must be an int or a sequence of ints: .* `argnames`"
    ):
        argnums_of((0, "y"))  # pyright: ignore[reportArgumentType]
    with pytest.raises(
        TypeError, match=r"`argnames` \(=\('y', 0\)\) must be a name or a sequence of names: .*`argnums`"
    ):
        argnames_of(("y", 0))  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("argnames", "message"),
    [
        ("z", r"`argnames` has 'z', which Layer.loss was not passed by name: pass it by name, or use `argnums`"),
        ("yy", r"which Layer.loss was not passed by name: did you mean 'y'\?"),
        (("y", "y"), "names an argument twice"),
    ],
)
def test_names_that_fit_no_call_are_refused(argnames, message):
    with pytest.raises(ValueError, match=message):
        take_out(LAYER.loss, (X,), {"y": 1.0}, argnames=argnames)


@pytest.mark.parametrize(("key", "told"), [({"argnums": 0}, r"0 \(`layer`\)"), ({"argnames": "layer"}, "`layer`")])
def test_a_leaf_that_is_selected_by_state_and_by_argument_is_refused(key, told):
    args, kwargs = ((LAYER,), {}) if "argnums" in key else ((), {"layer": LAYER})
    with pytest.raises(ValueError, match=f"leaves of the argument {told} of <lambda>, which is selected itself"):
        take_out(lambda layer: layer.loss(X), args, kwargs, grad_states="weight", **key)
