import equinox as eqx
import jax.numpy as jnp
import numpy as np
import saiunit

from matrinox import nn
from matrinox.transforms.leaf import describe, is_float, is_float_array, is_model, is_quantity, listed, magnitude


def test_floats_and_complex_numbers_are_told_from_the_rest():
    arrays = [jnp.ones(2), np.ones(2), np.float32(1.0), jnp.array(1j), jnp.ones(2) * saiunit.mV]
    numbers = [1.0, 1j, 2.0 * saiunit.mV]
    rest = [1, True, "text", None, jnp.tanh, jnp.arange(2), np.arange(2), jnp.arange(2) * saiunit.mV]
    assert all(is_float_array(leaf) and is_float(leaf) for leaf in arrays)
    assert all(is_float(leaf) for leaf in numbers)
    assert not any(is_float_array(leaf) for leaf in [1.0, 1j, *rest])
    assert not any(is_float(leaf) for leaf in rest)


def test_a_model_is_a_module_and_no_wrapper_of_equinox():
    relu = nn.ReLU()
    assert is_model(relu)
    assert is_model(eqx.nn.Identity())
    for other in (relu.__call__, eqx.filter_jit(relu), eqx.Partial(relu), jnp.tanh, nn.ReLU, {"model": relu}):
        assert not is_model(other)


def test_a_quantity_is_one_leaf_with_a_magnitude():
    quantity = 2.0 * saiunit.mV
    assert is_quantity(quantity)
    assert magnitude(quantity) == 2.0
    assert not is_quantity(saiunit.mV)
    assert magnitude("text") == "text"


def test_leaves_and_paths_in_messages():
    assert [describe(leaf) for leaf in (jnp.ones((2, 3)), np.ones((), int), "a")] == ["float32[2, 3]", "int64[]", "str"]
    assert listed(["a", "b"]) == "a, b"
    assert listed([str(i) for i in range(10)]) == "0, 1, 2, 3, 4, 5, 6, 7 and 2 more"
