"""What a log tells of data and of models, measured rather than claimed."""

from collections.abc import Iterator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from matrinox.data.examples import DataSet, Examples
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
    found = [(np.min(inputs), np.max(inputs)) for inputs, _ in _pieces(part)]
    return min(least for least, _ in found).item(), max(most for _, most in found).item()


def targets_of(part: Examples) -> np.ndarray:
    """The targets of all examples of a part."""
    return np.concatenate([targets for _, targets in _pieces(part)])


def _pieces(part: Examples) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """All inputs and targets, in pieces where they are made when they are asked for."""
    if isinstance(part, DataSet):
        yield np.asarray(part.inputs), np.asarray(part.targets)
        return
    for at in range(0, len(part), _AT_ONCE):
        inputs, targets = _gathered(part, jnp.arange(at, min(at + _AT_ONCE, len(part))))
        yield np.asarray(inputs), np.asarray(targets)


@eqx.filter_jit
def _gathered(part: Examples, rows: Array) -> tuple[Array, Array]:
    return part.gather(rows)
