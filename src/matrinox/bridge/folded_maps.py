"""Layers with weights as scalar ones: maps of neurons as maps of their entries, `W ⊗ I`."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array

from matrinox import nn
from matrinox.bridge.build import built, with_arrays
from matrinox.bridge.gates import first_two_exchanged
from matrinox.bridge.kronecker import written_out
from matrinox.bridge.places import EachPlace
from matrinox.bridge.walk import Convert, Unfit, Walk
from matrinox.functional import sigmoid, tanh
from matrinox.functional.window import pad_pairs, spread_size


def placed(walk: Walk, layer: Any) -> Any:
    return EachPlace(layer) if walk.axes else layer


def _linear(weight: Array, bias: Array | None) -> eqx.nn.Linear:
    q, p = weight.shape
    arrays = {"weight": weight, "bias": bias}
    return built(eqx.nn.Linear, arrays, in_features=p, out_features=q, use_bias=bias is not None)


def _unfolded(layer: nn.Dense) -> eqx.nn.Linear:
    weight, bias = layer.params.W, layer.params.B
    return _linear(written_out(weight), None if bias is None else bias.ravel())


def _dense(walk: Walk, path: str, layer: nn.Dense) -> Any:
    walk.tell_side(layer.n)
    return placed(walk, _unfolded(layer))


def _affine(walk: Walk, path: str, layer: Any) -> Any:
    """A layer that is known to be an affine map of entries: its weight is its derivative."""
    walk.tell_side(layer.n)
    dtype = next(leaf.dtype for leaf in jax.tree.leaves(layer) if eqx.is_inexact_array(leaf))
    zero = jnp.zeros((layer.p, layer.n, layer.n), dtype)
    bias = layer(zero)
    if bias.ndim < 3:
        walk.n = None
    weight = jax.jacfwd(layer)(zero).reshape(bias.size, zero.size)
    has_bias = any(getattr(part, "bias", None) is not None for part in (layer, getattr(layer, "dense", None)))
    return placed(walk, _linear(weight, bias.ravel() if has_bias else None))


def _head(walk: Walk, path: str, layer: Any) -> Any:
    if layer.read == "frobenius_norm":
        raise Unfit("its read-out 'frobenius_norm' is no linear map: fold its `dense` by itself")
    return _affine(walk, path, layer)


def _flatten_linear(walk: Walk, path: str, layer: nn.FlattenLinear) -> Any:
    walk.tell_side(layer.n)
    walk.n = None
    return placed(walk, _linear(layer.weight.reshape(layer.features, -1), layer.bias))


def _conv(kind: Callable[..., Any]) -> Convert:
    def convert(walk: Walk, path: str, layer: Any) -> Any:
        kernel = layer.kernel
        walk.axes = len(kernel)
        walk.tell_side(layer.n)
        transposed = isinstance(layer, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d)
        if not transposed:
            for name in ("input_dilation", "batch_groups"):
                if set(jax.tree.leaves(getattr(layer, name))) != {1}:
                    raise Unfit(f"its `{name}` (={getattr(layer, name)}) has no counterpart in eqx.nn.Conv")
        entries = layer.n**2
        bias = None if layer.bias is None else layer.bias.reshape(-1, *(1,) * len(kernel))
        extents = list(map(spread_size, kernel, layer.dilation))
        return built(
            kind,
            {"weight": written_out(layer.weight), "bias": bias},
            in_channels=layer.p * entries,
            out_channels=layer.q * entries,
            kernel_size=kernel,
            stride=layer.stride,
            padding=pad_pairs(layer.padding, extents),
            dilation=layer.dilation,
            groups=layer.groups,
            use_bias=bias is not None,
            **({"output_padding": layer.output_padding} if transposed else {}),
        )

    return convert


def _lstm(walk: Walk, path: str, layer: nn.LSTMCell) -> eqx.nn.LSTMCell:
    if layer.gating != "hadamard" and layer.n > 1:
        raise Unfit(f"its gates multiply as matrices (gating={layer.gating!r}): only Hadamard gates act by entries")
    gate, activation = layer.activations
    if gate not in (sigmoid, jax.nn.sigmoid) or activation not in (tanh, jnp.tanh):
        raise Unfit("its `activations` are not sigmoid and tanh, which those of eqx.nn.LSTMCell are")
    return _cell(walk, eqx.nn.LSTMCell, layer, layer.weight, layer.bias, {})


def _gru(walk: Walk, path: str, layer: nn.GRUCell) -> eqx.nn.GRUCell:
    if not layer.reset_after:
        raise Unfit(
            "its reset gate acts before the product with h, and that of eqx.nn.GRUCell behind it: build with "
            "reset_after=True"
        )
    weight, bias = map(first_two_exchanged, (layer.weight, layer.bias))
    hidden_bias = layer.hidden_bias
    if bias is not None and hidden_bias is None:
        hidden_bias = jnp.zeros((layer.q, layer.n, layer.n), bias.dtype)
    return _cell(walk, eqx.nn.GRUCell, layer, weight, bias, {"bias_n": hidden_bias})


def _cell(walk: Walk, kind: Any, layer: Any, weight: Any, bias: Array | None, more: dict[str, Any]) -> Any:
    walk.tell_side(layer.n)
    entries = layer.n**2
    arrays = {
        "weight_hh": written_out(weight[:, : layer.q]),
        "weight_ih": written_out(weight[:, layer.q :]),
        "bias": bias,
    } | more
    arrays = {
        name: array.ravel() if name.startswith("bias") and array is not None else array
        for name, array in arrays.items()
    }
    sizes = {"input_size": layer.p * entries, "hidden_size": layer.q * entries}
    return built(kind, arrays, **sizes, use_bias=bias is not None)


def _attention(walk: Walk, path: str, layer: nn.MultiheadAttention) -> eqx.nn.MultiheadAttention:
    if layer.causal:
        raise Unfit("it is causal, and eqx.nn.MultiheadAttention is told so at each call: build with causal=False")
    if layer.rotary is not None:
        raise Unfit("it turns queries and keys, and eqx.nn.MultiheadAttention is told so at each call")
    walk.tell_side(layer.n)
    entries = layer.n**2
    shared = layer.heads // layer.kv_heads
    maps = {
        "query_proj": layer.query_proj,
        "key_proj": _repeated(layer.key_proj, layer.kv_heads, shared),
        "value_proj": _repeated(layer.value_proj, layer.kv_heads, shared),
        "output_proj": layer.output_proj,
    }
    skeleton = built(
        eqx.nn.MultiheadAttention,
        {},
        num_heads=layer.heads,
        query_size=layer.p * entries,
        key_size=layer.memory * entries,
        value_size=layer.memory * entries,
        output_size=layer.q * entries,
        qk_size=layer.head_size * entries,
        vo_size=layer.head_size * entries,
        **{f"use_{name.removesuffix('_proj')}_bias": dense.bias is not None for name, dense in maps.items()},
    )
    dropout = eqx.nn.Dropout(layer.dropout, layer.inference)
    return with_arrays(skeleton, {name: _unfolded(dense) for name, dense in maps.items()} | {"dropout": dropout})


def _repeated(dense: nn.Dense, heads: int, times: int) -> nn.Dense:
    """The map to keys or values with each head as often as heads of queries share it."""

    def repeat(array: Array | None) -> Array | None:
        if array is None or times == 1:
            return array
        by_heads = array.reshape(heads, -1, *array.shape[1:])
        return jnp.repeat(by_heads, times, axis=0).reshape(-1, *array.shape[1:])

    return with_arrays(dense, {"weight": repeat(dense.weight), "bias": repeat(dense.bias)})


def _embedding(walk: Walk, path: str, layer: nn.Embedding) -> eqx.nn.Embedding:
    walk.tell_side(layer.n)
    weight = layer.weight.reshape(layer.vocabulary, -1)
    sizes = {"num_embeddings": layer.vocabulary, "embedding_size": weight.shape[1]}
    return built(eqx.nn.Embedding, {"weight": weight}, **sizes)


MAPS: dict[type, Convert] = {
    nn.Dense: _dense,
    nn.BilinearDense: _affine,
    nn.ConjugationDense: _affine,
    nn.Bias: _affine,
    nn.Scaler: _affine,
    nn.ClassificationHead: _head,
    nn.RegressionHead: _head,
    nn.FlattenLinear: _flatten_linear,
    nn.Conv1d: _conv(eqx.nn.Conv1d),
    nn.Conv2d: _conv(eqx.nn.Conv2d),
    nn.Conv3d: _conv(eqx.nn.Conv3d),
    nn.ConvTranspose1d: _conv(eqx.nn.ConvTranspose1d),
    nn.ConvTranspose2d: _conv(eqx.nn.ConvTranspose2d),
    nn.ConvTranspose3d: _conv(eqx.nn.ConvTranspose3d),
    nn.LSTMCell: _lstm,
    nn.GRUCell: _gru,
    nn.MultiheadAttention: _attention,
    nn.Embedding: _embedding,
}
