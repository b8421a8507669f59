import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from matrinox.transforms.opened import Options, open_call

PLAIN = Options(None, None, None, has_aux=False, holomorphic=False, unit_aware=False, check_states=True)


def f(x, y):
    return {"value": x["a"] * y, "name": "f", "count": 3}, (jnp.sin, x["a"], 2.0)


def test_arrays_go_through_and_all_else_around():
    x = {"a": jnp.array(2.0), "kind": "left"}
    opened = open_call("vjp", f, (x, 5.0), {}, PLAIN._replace(has_aux=True))
    assert eqx.tree_equal(opened.inputs, {"a": x["a"], "kind": None})
    numbers, arrays = opened.of_inputs(opened.inputs)
    assert numbers == {"value": 10.0, "name": None, "count": 3}
    assert arrays == (None, x["a"], None)
    assert opened.whole(numbers, arrays) == f(x, 5.0)


def test_what_was_returned_is_whole_outside_of_the_transform():
    opened = open_call("jvp", f, ({"a": jnp.array(2.0)}, 5.0), {}, PLAIN._replace(has_aux=True))
    numbers, _, arrays = jax.jvp(opened.of_inputs, (opened.inputs,), (opened.inputs,), has_aux=True)
    value, aux = opened.whole(numbers, arrays)
    assert value == {"value": 10.0, "name": "f", "count": 3}
    assert aux == (jnp.sin, 2.0, 2.0)


def test_a_real_value_of_a_holomorphic_function_is_refused():
    opened = open_call("vjp", jnp.abs, (1.0j,), {}, PLAIN._replace(holomorphic=True))
    with pytest.raises(
        TypeError, match=r"`vjp` with `holomorphic=True` takes a function to complex values, and .* flo"
    ):
        opened.of_inputs(opened.inputs)
