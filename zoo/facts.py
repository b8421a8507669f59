"""What a log tells of data and of models, measured rather than claimed."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from matrinox.data.examples import Examples
from matrinox.inspect.flops import count_flops as count_flops_of_program
from matrinox.zoo.data import EntryData, Parts

_AT_ONCE = 4096


def count_flops(model: Any, example: jax.ShapeDtypeStruct) -> int:
    """The floating-point operations of a model in inference mode on one example, without a batch axis: see `check`."""
    program, _, _ = eqx.filter_make_jaxpr(eqx.nn.inference_mode(model))(example)
    return count_flops_of_program(program)


def one_example(part: Examples) -> jax.ShapeDtypeStruct:
    """Shape and dtype of one input."""
    inputs, _ = part.gather(jnp.arange(1))
    return jax.ShapeDtypeStruct(inputs.shape[1:], inputs.dtype)


def of_data(data: EntryData, parts: Parts) -> dict[str, Any]:
    """What is the same for all seeds: name, split in words, sizes of the parts, shape and dtype of an input."""
    example = one_example(parts.train)
    return {
        "name": data.name,
        "split": data.split,
        "examples": {name: len(part) for name, part in parts._asdict().items()},
        "input": {"shape": list(example.shape), "dtype": example.dtype.name},
    }


def of_split(parts: Parts) -> dict[str, Any]:
    """What is the seed's own: the hash of each part, and the least and the largest input of the train part."""
    least, most = extent(parts.train)
    return {
        "sha256": {name: part.fingerprint() for name, part in parts._asdict().items()},
        "least": least,
        "most": most,
    }


def extent(part: Examples) -> tuple[float, float]:
    """The least and the largest input of a part."""
    found = [
        (np.min(inputs), np.max(inputs))
        for at in range(0, len(part), _AT_ONCE)
        for inputs in [np.asarray(part.gather(jnp.arange(at, min(at + _AT_ONCE, len(part))))[0])]
    ]
    least, most = min(pair[0] for pair in found), max(pair[1] for pair in found)
    return least.item(), most.item()


def targets_of(part: Examples) -> np.ndarray:
    """The targets of all examples of a part."""
    every = range(0, len(part), _AT_ONCE)
    return np.concatenate([np.asarray(part.gather(jnp.arange(at, min(at + _AT_ONCE, len(part))))[1]) for at in every])
