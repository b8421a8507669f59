"""Layers without weights as scalar ones: pools, encoders, read-outs, activations, dropout."""

from collections.abc import Callable
from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from matrinox import nn
from matrinox.bridge.kronecker import block_means
from matrinox.bridge.places import RavelPlaces, Rearranged, over_places, ravel_channels_last
from matrinox.bridge.sides import EntriesEncoder, MeansReadOut, SpreadEncoder
from matrinox.bridge.walk import Convert, Unfit, Walk
from matrinox.functional.window import pad_pairs, per_axis


def _dropout(walk: Walk, path: str, layer: nn.Dropout) -> eqx.nn.Dropout:
    if layer.shared:
        raise Unfit(f"its draws are shared over the axes {layer.shared}: those of eqx.nn.Dropout are of single entries")
    return eqx.nn.Dropout(layer.rate, layer.inference)


def _pool(kind: Callable[..., Any], **options: Any) -> Convert:
    def convert(walk: Walk, path: str, layer: Any) -> Any:
        walk.axes = layer._axes
        for name in ("dilation", "input_dilation"):
            if set(jax.tree.leaves(getattr(layer, name))) != {1}:
                raise Unfit(f"its `{name}` (={getattr(layer, name)}) has no counterpart in the pools of eqx.nn")
        window = per_axis("window", layer.window, layer._axes)
        stride = window if layer.stride is None else per_axis("stride", layer.stride, layer._axes)
        return kind(kernel_size=window, stride=stride, padding=pad_pairs(layer.padding, window), **options)

    return convert


def _sum_pool(axes: int) -> Convert:
    return _pool(eqx.nn.Pool, init=0, operation=jax.lax.add, num_spatial_dims=axes)


def _adaptive(kind: Callable[..., Any]) -> Convert:
    def convert(walk: Walk, path: str, layer: Any) -> Any:
        walk.axes = layer._axes
        return kind(per_axis("size", layer.size, layer._axes))

    return convert


def _global_pool(reduce: Callable[..., Array]) -> Convert:
    def convert(walk: Walk, path: str, layer: Any) -> Any:
        walk.axes = 0
        return eqx.nn.Lambda(partial(over_places, reduce=reduce))

    return convert


def _encoder(walk: Walk, path: str, layer: Any) -> eqx.nn.Lambda:
    walk.tell_side(layer.n)
    return eqx.nn.Lambda(Rearranged(layer, None, True))


def _encoder_of_another_side(walk: Walk, path: str, layer: Any) -> eqx.nn.Lambda:
    # For the space axes that it gives, or to refuse it.
    n, walk.n = walk.n, None
    walk.convert(f"{path}.layer", layer.layer)
    walk.n = n
    return _encoder(walk, path, layer)


def _fold(walk: Walk, path: str, layer: nn.Fold) -> Any:
    if walk.axes:
        raise Unfit(f"it folds features, and here are {walk.axes} space axes too")
    return _encoder(walk, path, layer)


def _images(axes: int) -> Convert:
    def convert(walk: Walk, path: str, layer: Any) -> Any:
        walk.axes = axes
        return _encoder(walk, path, layer)

    return convert


def _side(walk: Walk) -> int:
    if walk.n is None:
        raise Unfit("the side of the matrices that it takes is not known: give `n`")
    return walk.n


def _read_out(walk: Walk, path: str, layer: Any) -> eqx.nn.Lambda:
    n, walk.n = _side(walk), None
    return eqx.nn.Lambda(Rearranged(layer, n, False))


def _flatten(walk: Walk, path: str, layer: nn.Flatten) -> eqx.nn.Identity:
    walk.n = None
    return eqx.nn.Identity()


def _flatten_batch(walk: Walk, path: str, layer: nn.FlattenBatch) -> eqx.nn.Lambda:
    walk.axes, walk.n = 0, None
    return eqx.nn.Lambda(ravel_channels_last)


def _means(walk: Walk, path: str, layer: MeansReadOut) -> eqx.nn.Sequential:
    n = _side(walk)
    walk.n = n // layer.k
    means = eqx.nn.Lambda(Rearranged(partial(block_means, k=layer.k), n, True))
    return eqx.nn.Sequential([means, walk.convert(f"{path}.layer", layer.layer)])


def _ravel_places(walk: Walk, path: str, layer: RavelPlaces) -> eqx.nn.Lambda:
    n, walk.axes = _side(walk), 0
    return eqx.nn.Lambda(jnp.ravel if n == 1 else Rearranged(layer, n, True))


def _softmax(walk: Walk, path: str, layer: nn.Softmax) -> eqx.nn.Lambda:
    over_all = {None: (-1, (-1,)), 1: (-3, (-3,))}.get(walk.n, ())
    if layer.axis not in over_all:
        raise Unfit(f"its sum runs along the axis {layer.axis} of matrices: only one over all features can be folded")
    return eqx.nn.Lambda(jax.nn.softmax if not walk.axes else partial(jax.nn.softmax, axis=0))


def _transpose(walk: Walk, path: str, layer: nn.Transpose | nn.Lambda) -> eqx.nn.Lambda:
    return eqx.nn.Lambda(Rearranged(jnp.matrix_transpose, _side(walk), True))


def _lambda(walk: Walk, path: str, layer: nn.Lambda) -> Any:
    if layer.train is jnp.matrix_transpose:
        return _transpose(walk, path, layer)
    if layer.inference_fn is not None:
        raise Unfit("it computes another function in inference: fold the one that is wanted")
    return walk.convert(f"{path}.train", layer.train)


_ACTIVATIONS: dict[type, Callable[[Any], Callable[..., Any]]] = {
    nn.ReLU: lambda layer: jax.nn.relu,
    nn.LeakyReLU: lambda layer: partial(jax.nn.leaky_relu, negative_slope=layer.negative_slope),
    nn.ELU: lambda layer: partial(jax.nn.elu, alpha=layer.alpha),
    nn.GELU: lambda layer: partial(jax.nn.gelu, approximate=layer.approximate),
    nn.SiLU: lambda layer: jax.nn.silu,
    nn.Sigmoid: lambda layer: jax.nn.sigmoid,
    nn.Softplus: lambda layer: jax.nn.softplus,
    nn.Tanh: lambda layer: jnp.tanh,
}


def _activation(walk: Walk, path: str, layer: Any) -> eqx.nn.Lambda:
    return eqx.nn.Lambda(_ACTIVATIONS[type(layer)](layer))


def _by_axes(convert: Callable[[int], Convert], name: str) -> dict[type, Convert]:
    return {getattr(nn, f"{name}{axes}d"): convert(axes) for axes in (1, 2, 3)}


def _theirs(maker: Callable[[Any], Convert], name: str) -> dict[type, Convert]:
    return _by_axes(lambda axes: maker(getattr(eqx.nn, f"{name}{axes}d")), name)


PLACES: dict[type, Convert] = {
    nn.Dropout: _dropout,
    **_theirs(_pool, "MaxPool"),
    **_theirs(_pool, "AvgPool"),
    **_by_axes(_sum_pool, "SumPool"),
    **_theirs(_adaptive, "AdaptiveAvgPool"),
    **_theirs(_adaptive, "AdaptiveMaxPool"),
    **_by_axes(lambda axes: _global_pool(jnp.mean), "GlobalAvgPool"),
    **_by_axes(lambda axes: _global_pool(jnp.max), "GlobalMaxPool"),
    **_by_axes(lambda axes: _global_pool(jnp.sum), "GlobalSumPool"),
    nn.Fold: _fold,
    nn.Tile: _encoder,
    nn.Patches: _images(2),
    nn.EmbedPixels: _images(2),
    nn.EmbedSequence: _images(1),
    nn.Trace: _read_out,
    nn.Mean: _read_out,
    nn.Flatten: _flatten,
    nn.FlattenBatch: _flatten_batch,
    SpreadEncoder: _encoder_of_another_side,
    EntriesEncoder: _encoder_of_another_side,
    MeansReadOut: _means,
    RavelPlaces: _ravel_places,
    nn.Softmax: _softmax,
    nn.Transpose: _transpose,
    nn.Lambda: _lambda,
    **dict.fromkeys(_ACTIVATIONS, _activation),
}
