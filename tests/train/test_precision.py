"""Computing in bfloat16."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.data import Normalize
from matrinox.train.precision import cast, in_bfloat16

YEARS = np.array([[1999.0], [2001.0], [2003.0], [2004.0]], np.float32)


def test_every_array_of_floats_is_rounded_and_nothing_else():
    key = jax.random.key(0)
    tree = {"jax": jnp.ones(2), "numpy": np.ones(2), "integers": jnp.ones(2, int), "key": key, "number": 1.5}
    model, inputs = in_bfloat16(tree, (jnp.array([1 / 3]), np.arange(3)))
    assert [model[name].dtype for name in ("jax", "numpy", "integers")] == [jnp.bfloat16, jnp.bfloat16, jnp.int32]
    assert (model["key"], model["number"]) == (key, 1.5)
    assert float(inputs[0][0]) == 0.333984375
    assert inputs[1].dtype == int
    assert cast(model, jnp.float32)["jax"].dtype == jnp.float32


@pytest.mark.parametrize("dtype", [np.float32, np.uint16])
def test_what_a_model_normalises_itself_is_rounded_behind_it(dtype):
    """In bfloat16 the four years are one number, and integers normalised in float32 would leave all else in it."""
    normalize = Normalize(np.array([2000.0], np.float32), np.array([5.0], np.float32))
    model, inputs = in_bfloat16(nn.Sequential([nn.Lambda(jnp.asarray), normalize]), YEARS.astype(dtype))
    outputs = model(inputs)
    assert outputs.dtype == jnp.bfloat16
    assert np.asarray(outputs, np.float32)[:, 0] == pytest.approx([-0.2, 0.2, 0.6, 0.8], rel=2**-8)
    assert model.layers[1].inverse(outputs).dtype == jnp.bfloat16
    rounded = cast(jnp.asarray(YEARS), jnp.bfloat16)
    assert len(set(np.asarray(normalize(rounded), np.float32)[:, 0].tolist())) < 3
