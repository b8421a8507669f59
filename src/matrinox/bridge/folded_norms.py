"""Normalising layers as scalar ones, of as many features as there are entries."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array

from matrinox import nn
from matrinox.bridge.build import built, with_arrays
from matrinox.bridge.folded_maps import placed
from matrinox.bridge.running_statistics import share_of_batches, statistics_of, with_statistics
from matrinox.bridge.walk import Convert, Unfit, Walk


def _norm(kind: Callable[..., Any]) -> Convert:
    def convert(walk: Walk, path: str, layer: Any) -> Any:
        walk.tell_side(layer.n)
        arrays = _raveled(layer)
        has = {f"use_{name}": array is not None for name, array in arrays.items()}
        return placed(walk, built(kind, arrays, shape=layer.p * layer.n**2, eps=layer.eps, **has))

    return convert


def _raveled(layer: Any) -> dict[str, Array | None]:
    arrays = {"weight": layer.weight, "bias": layer.bias}
    return {name: None if array is None else array.ravel() for name, array in arrays.items()}


def _group_norm(walk: Walk, path: str, layer: Any) -> eqx.nn.GroupNorm:
    if layer.axes != walk.axes:
        raise Unfit(
            f"its statistics run over {layer.axes} space axes, and those of eqx.nn.GroupNorm over all that there are: "
            f"give `axes` (={walk.axes}), or build it so"
        )
    walk.tell_side(layer.n)
    groups = layer.p if isinstance(layer, nn.InstanceNorm) else layer.groups
    options = {"groups": groups, "channels": layer.p * layer.n**2, "eps": layer.eps}
    arrays = _both_or_none(layer)
    return built(eqx.nn.GroupNorm, arrays, **options, channelwise_affine=arrays["weight"] is not None)


def _both_or_none(layer: Any) -> dict[str, Array | None]:
    """Weight and bias in a row, where Equinox has both or neither."""
    arrays = _raveled(layer)
    if all(array is None for array in arrays.values()):
        return arrays
    size = layer.p * layer.n**2
    neutral = {"weight": jnp.ones, "bias": jnp.zeros}
    return {name: neutral[name](size) if array is None else array for name, array in arrays.items()}


def _batch_norm(walk: Walk, path: str, layer: nn.BatchNorm) -> eqx.nn.BatchNorm:
    if layer.per == "neuron" and layer.n > 1:
        raise Unfit("its statistics are of whole neurons (per='neuron'): eqx.nn.BatchNorm has them for each feature")
    walk.tell_side(layer.n)
    count, mean, variance = statistics_of(walk, layer.statistics)
    scale = share_of_batches(count, layer.momentum)
    arrays = _both_or_none(layer)
    norm = eqx.nn.BatchNorm(
        layer.p * layer.n**2,
        "batch" if layer.axis_name is None else layer.axis_name,
        eps=layer.eps,
        channelwise_affine=arrays["weight"] is not None,
        momentum=layer.momentum,
        inference=layer.inference,
        mode="batch",
    )
    norm = with_statistics(with_arrays(norm, arrays), "batch_counter", count)
    return with_statistics(norm, "batch_state_index", (mean.ravel() * scale, variance.ravel() * scale))


NORMS: dict[type, Convert] = {
    nn.LayerNorm: _norm(eqx.nn.LayerNorm),
    nn.RMSNorm: _norm(eqx.nn.RMSNorm),
    nn.GroupNorm: _group_norm,
    nn.InstanceNorm: _group_norm,
    nn.BatchNorm: _batch_norm,
}
