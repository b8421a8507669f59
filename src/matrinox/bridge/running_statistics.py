"""Running statistics on their way from one layer to another: out of a state, and into the new layer's own."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from matrinox.bridge.walk import Unfit, Walk


def statistics_of(walk: Walk, index: eqx.nn.StateIndex) -> Any:
    """What a layer keeps in the state of its model or, if it has none yet, what it starts from."""
    try:
        return (eqx.nn.State(index) if walk.state is None else walk.state).get(index)
    except ValueError:
        raise Unfit("its running statistics are in the state of the model: give `state`") from None
    except KeyError:
        raise Unfit("`state` holds no running statistics of it: give the state of this model") from None


def with_statistics(layer: Any, field: str, kept: Any) -> Any:
    """The layer with a field that starts from other statistics."""
    return eqx.tree_at(lambda layer: getattr(layer, field), layer, eqx.nn.StateIndex(kept))


def share_of_batches(count: Array, momentum: float) -> Array:
    """How much of Equinox's running statistics comes of batches: it divides by this when they are used."""
    return jnp.where(count == 0, 1, 1 - momentum**count)


def as_running(layer: Any, count: Array, mean: Array, variance: Array) -> Any:
    """A `BatchNorm` of matrix neurons that has seen so many batches."""
    kept = layer.statistics.init
    arrays = (jnp.asarray(new, old.dtype) for new, old in zip((count, mean, variance), kept, strict=True))
    return with_statistics(layer, "statistics", tuple(arrays))
