"""What a model is that holds a Sequential and calls it: that Sequential, if it does nothing else."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from matrinox import nn
from matrinox.bridge.entrywise import text_of

# What calls its layers in turn, and adds nothing of its own.
IN_TURN = (nn.Sequential, nn.MLP, nn.ConvAct, nn.ConvNormAct, nn.ConvNormActPool, nn.BasicBlock)


def chain_of(model: Any) -> nn.Sequential | None:
    """The `layers` of a model that gives what they give, such as those of the zoo; `None` for any other.

    Both are traced, in inference, on one input of the model's `input_shape`: they must be the same program.
    """
    layers, shape = getattr(model, "layers", None), getattr(model, "input_shape", None)
    if isinstance(model, nn.Sequential) or not isinstance(layers, nn.Sequential) or shape is None:
        return None
    whole = eqx.nn.inference_mode(model)
    x = jax.ShapeDtypeStruct(shape, jnp.float32)
    ours, theirs = (jax.make_jaxpr(lambda x, part=part: part(x))(x) for part in (whole, whole.layers))
    same_weights = len(ours.consts) == len(theirs.consts) and all(
        a is b or _are_equal(a, b) for a, b in zip(ours.consts, theirs.consts, strict=True)
    )
    return layers if same_weights and text_of(ours) == text_of(theirs) else None


def _are_equal(a: Any, b: Any) -> bool:
    # Such as an index that an encoder makes anew for each call; weights are the same arrays.
    return not isinstance(a, jax.Array) and not isinstance(b, jax.Array) and np.array_equal(a, b)
