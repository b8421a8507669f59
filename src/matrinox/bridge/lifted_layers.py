"""Layers with weights on larger matrices: `W ⊗ I` for what multiplies, `B ⊗ J` for what is added."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import PRNGKeyArray

from matrinox import nn
from matrinox.bridge.build import with_arrays
from matrinox.bridge.entrywise import is_entrywise
from matrinox.bridge.kronecker import with_identity, with_ones
from matrinox.bridge.running_statistics import statistics_of, with_statistics
from matrinox.bridge.walk import Convert, Unfit, Walk
from matrinox.rand import KeyStream


class Lifting(Walk):
    """A walk that makes the matrices of a model k times as large, with noise on what is new where that is wanted."""

    def __init__(
        self,
        table: Mapping[type, Convert],
        otherwise: Convert,
        model: Any,
        n: int,
        scale: float,
        key: PRNGKeyArray | None,
        state: eqx.nn.State | None,
    ):
        side = _side(model, table)
        if n < 1:
            raise ValueError(f"`n` (={n}) must be positive: choose a multiple of the side of the matrices (={side}).")
        if n % side:
            rule = f"a multiple of the side of the model's matrices (={side})"
            raise ValueError(f"`n` (={n}) must be {rule}: choose such as {2 * side}.")
        super().__init__(table, otherwise, n=n, state=state, argument="model")
        self.side = n
        self.k = n // side
        self.scale = scale
        self.stream = None if key is None else KeyStream(key)

    def multiplies(self, name: str, W: Array) -> Array:
        """`W ⊗ I`, with noise off the diagonals of the blocks; `name` is the path, by which the noise is drawn."""
        return self._noisy(name, with_identity(W, self.k), with_identity(jnp.ones_like(W), self.k), _size(W))

    def adds(self, name: str, B: Array, unit: Array) -> Array:
        """`B ⊗ J`, with noise of so large a unit on all but the first entry of each block."""
        first = jnp.zeros((self.k, self.k), B.dtype).at[0, 0].set(1)
        n = B.shape[-1]
        old = jnp.broadcast_to(jnp.tile(first, (n, n)), (*B.shape[:-2], n * self.k, n * self.k))
        return self._noisy(name, with_ones(B, self.k), old, unit)

    def _noisy(self, name: str, array: Array, old: Array, unit: Array) -> Array:
        if self.stream is None or self.scale == 0:
            return array
        noise = jax.random.normal(self.stream.key(name), array.shape, array.dtype)
        return array + (self.scale * unit * noise * (1 - old)).astype(array.dtype)


def _side(model: Any, table: Mapping[type, Convert]) -> int:
    """The side of the matrices of a model, which its layers tell; 1 where none does."""

    def tells(node: Any) -> bool:
        return isinstance(getattr(node, "n", None), int) and type(node) in table

    for node in jax.tree.leaves(model, is_leaf=tells):
        if tells(node):
            return node.n
    return 1


def _size(W: Array) -> Array:
    """The root mean square."""
    return jnp.sqrt(jnp.mean(jnp.square(W)))


def _dense(walk: Lifting, path: str, layer: Any, gain: float = 1.0) -> Any:
    """A layer with a weight and a bias, multiplied by a number."""
    walk.n = layer.n * walk.k
    arrays: dict[str, Any] = {"weight": gain * walk.multiplies(f"{path}.weight", layer.weight)}
    if layer.bias is not None:
        arrays["bias"] = gain * walk.adds(f"{path}.bias", layer.bias, _size(layer.weight))
    return with_arrays(layer, arrays)


def _bilinear(walk: Lifting, path: str, layer: nn.BilinearDense) -> nn.BilinearDense:
    walk.n = layer.n * walk.k
    arrays: dict[str, Any] = {
        "left": walk.multiplies(f"{path}.left", layer.left),
        "right": walk.multiplies(f"{path}.right", layer.right),
    }
    if layer.bias is not None:
        arrays["bias"] = walk.adds(f"{path}.bias", layer.bias, _size(layer.left))
    return with_arrays(layer, arrays)


def _head(walk: Lifting, path: str, layer: Any) -> Any:
    # The trace and the norm of X ⊗ J are k times those of X.
    gain = 1 if layer.read == "mean" else 1 / walk.k
    lifted = with_arrays(layer, {"dense": _dense(walk, f"{path}.dense", layer.dense, gain)})
    walk.n = None
    return lifted


def _flatten_linear(walk: Lifting, path: str, layer: nn.FlattenLinear) -> nn.FlattenLinear:
    walk.n = None
    weight = walk.adds(f"{path}.weight", layer.weight, _size(layer.weight)) / walk.k**2
    return with_arrays(layer, {"weight": weight})


def _table_of_rows(walk: Lifting, path: str, layer: Any) -> Any:
    walk.n = layer.n * walk.k
    return with_arrays(layer, {"weight": walk.adds(f"{path}.weight", layer.weight, _size(layer.weight))})


def _cell(walk: Lifting, path: str, layer: Any) -> Any:
    if getattr(layer, "gating", "hadamard") != "hadamard":
        raise Unfit(f"its gates multiply as matrices (gating={layer.gating!r}): only Hadamard gates act by entries")
    functions = getattr(layer, "activations", (getattr(layer, "activation", jnp.tanh),))
    if not all(map(is_entrywise, functions)):
        raise Unfit("its activation is not known to treat each entry by itself")
    lifted = _dense(walk, path, layer)
    if getattr(layer, "hidden_bias", None) is None:
        return lifted
    hidden_bias = walk.adds(f"{path}.hidden_bias", layer.hidden_bias, _size(layer.weight))
    return with_arrays(lifted, {"hidden_bias": hidden_bias})


def _attention(walk: Lifting, path: str, layer: nn.MultiheadAttention) -> nn.MultiheadAttention:
    if layer.rotary is not None:
        raise Unfit("it turns pairs of entries by their place in a head, which has other places in X ⊗ J")
    # Each product of entries comes k² times, and is divided by the root of k² times as many.
    gains = {"query_proj": 1 / walk.k, "key_proj": 1, "value_proj": 1, "output_proj": 1}
    maps = {name: _dense(walk, f"{path}.{name}", getattr(layer, name), gain) for name, gain in gains.items()}
    return with_arrays(layer, maps)


def _norm(walk: Lifting, path: str, layer: Any) -> Any:
    return _affine(walk, path, layer, type(layer))


def _over_space(walk: Lifting, path: str, layer: Any) -> Any:
    groups = {"groups": layer.groups} if isinstance(layer, nn.GroupNorm) else {}
    return _affine(walk, path, layer, type(layer), axes=layer.axes, **groups)


def _batch_norm(walk: Lifting, path: str, layer: nn.BatchNorm) -> nn.BatchNorm:
    count, *moments = statistics_of(walk, layer.statistics)
    names = ("axis_name", "momentum", "per", "inference")
    lifted = _affine(walk, path, layer, nn.BatchNorm, **{name: getattr(layer, name) for name in names})
    if layer.per == "entry":
        moments = [with_ones(array, walk.k) for array in moments]
    return with_statistics(lifted, "statistics", (count, *moments))


def _affine(walk: Lifting, path: str, layer: Any, kind: Callable[..., Any], **options: Any) -> Any:
    walk.n = layer.n * walk.k
    arrays = {
        name: None if array is None else with_ones(array, walk.k)
        for name, array in (("weight", layer.weight), ("bias", layer.bias))
    }
    has = {f"use_{name}": array is not None for name, array in arrays.items()}
    return with_arrays(kind(p=layer.p, n=walk.n, eps=layer.eps, **has, **options), arrays)


def _per_entry(walk: Lifting, path: str, layer: Any) -> Any:
    walk.n = layer.n * walk.k
    name = "bias" if isinstance(layer, nn.Bias) else "weight"
    lifted = type(layer)(p=layer.p, n=walk.n, per=layer.per)
    numbers = getattr(layer, name)
    for axis in (-2, -1):
        if getattr(lifted, name).shape[axis] > 1:
            numbers = jnp.repeat(numbers, walk.k, axis)
    return with_arrays(lifted, {name: numbers})


LAYERS: dict[type, Convert] = {
    **dict.fromkeys((nn.Dense, nn.Conv1d, nn.Conv2d, nn.Conv3d), _dense),
    **dict.fromkeys((nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d), _dense),
    nn.BilinearDense: _bilinear,
    **dict.fromkeys((nn.ClassificationHead, nn.RegressionHead), _head),
    nn.FlattenLinear: _flatten_linear,
    **dict.fromkeys((nn.Embedding, nn.LearnedPosition), _table_of_rows),
    **dict.fromkeys((nn.RNNCell, nn.LSTMCell, nn.GRUCell), _cell),
    nn.MultiheadAttention: _attention,
    **dict.fromkeys((nn.LayerNorm, nn.RMSNorm), _norm),
    **dict.fromkeys((nn.GroupNorm, nn.InstanceNorm), _over_space),
    nn.BatchNorm: _batch_norm,
    **dict.fromkeys((nn.Bias, nn.Scaler), _per_entry),
}
