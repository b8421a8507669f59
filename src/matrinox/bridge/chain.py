"""What a model is that calls a Sequential: that Sequential, if it does nothing else."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from matrinox import nn
from matrinox.bridge.entrywise import text_of

# What calls its layers in turn, and adds nothing of its own.
IN_TURN = (nn.Sequential, nn.MLP, nn.ConvAct, nn.ConvNormAct, nn.ConvNormActPool, nn.BasicBlock)


def chain_of(model: Any) -> tuple[str, nn.Sequential] | None:
    """Under what name, `layers` or `chain`, a model holds all that it does, and that Sequential; `None` for any other.

    Both are traced, in inference, on one input of the model's `input_shape`: they must be the same program.
    """
    shape = getattr(model, "input_shape", None)
    found = ((name, getattr(model, name, None)) for name in ("layers", "chain"))
    named = next(((name, chain) for name, chain in found if isinstance(chain, nn.Sequential)), None)
    if isinstance(model, nn.Sequential) or named is None or shape is None:
        return None
    chain = named[1]
    x = jax.ShapeDtypeStruct(shape, input_dtype(chain))
    ours, theirs = (jax.make_jaxpr(eqx.nn.inference_mode(part))(x) for part in (model, chain))
    same_weights = len(ours.consts) == len(theirs.consts) and all(
        a is b or _are_equal(a, b) for a, b in zip(ours.consts, theirs.consts, strict=True)
    )
    return named if same_weights and text_of(ours) == text_of(theirs) else None


def input_dtype(chain: nn.Sequential) -> Any:
    """What a chain takes: integers where its first layer looks up tokens, and floats elsewhere."""
    first = chain.layers[0]
    while isinstance(first, nn.Sequential):
        first = first.layers[0]
    return jnp.int32 if isinstance(first, nn.Embedding) else jnp.float32


def _are_equal(a: Any, b: Any) -> bool:
    # Such as an index that an encoder makes anew for each call; weights are the same arrays.
    return not isinstance(a, jax.Array) and not isinstance(b, jax.Array) and np.array_equal(a, b)
