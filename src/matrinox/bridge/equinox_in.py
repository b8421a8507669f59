"""`from_equinox`: layers of scalar neurons as layers of 1×1 matrices, with the same weights."""

import inspect
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import PyTree

from matrinox import nn
from matrinox.bridge.build import built, with_arrays
from matrinox.bridge.entrywise import is_entrywise
from matrinox.bridge.gates import first_two_exchanged
from matrinox.bridge.places import ByEntries, EachPlace, RavelPlaces
from matrinox.bridge.running_statistics import as_running, share_of_batches, statistics_of
from matrinox.bridge.walk import Convert, Unfit, Walk, refuse
from matrinox.contract import contract
from matrinox.functional import identity
from matrinox.functional.window import spread_size


@contract
def from_equinox(layer: PyTree, state: eqx.nn.State | None = None, *, axes: int = 0) -> Any:
    """The layer of matrix neurons with n = 1 that computes what a layer of `eqx.nn` does, with its weights.

    Where Equinox takes one example, `(features)` or `(features, *space)`, the layer takes `(*batch, p, 1, 1)` or
    `(*batch, *space, p, 1, 1)`, and gives as much: `jnp.moveaxis(x, 0, -1)[..., None, None]` of each example. What
    Equinox calls `"scalar"` is one neuron. How layers are called is that of matrix neurons: a cell as
    `cell(carry, x) -> (carry, y)`, attention as `layer(x, memory)`, tokens of a whole batch at once.

    Taken are Linear, Identity, MLP, Sequential, Conv and ConvTranspose in one to three dimensions, LSTMCell, GRUCell,
    MultiheadAttention, Embedding, RotaryPositionalEmbedding, LayerNorm, RMSNorm, GroupNorm, BatchNorm of mode
    `"batch"`, Dropout, max, average and adaptive pools, Lambda of a function of each entry, of `jnp.ravel` or of a
    softmax, and lists, tuples and dicts of such, each by itself. BatchNorm is called on the batch, of which it takes
    the statistics, with no map around it. A module of your own is refused, as its `__call__` would hand `(p)` to
    layers that take `(p, 1, 1)`: convert the layers that it holds, and write its call for these.

    **Arguments:** `layer`: the layer, or a list, a tuple or a dict of layers; `state`: of a model with BatchNorm that
    has one, for its running statistics; `axes`: space axes of what a layer takes that works with any, such as GroupNorm
    or `jnp.ravel`, where no convolution or pool before it tells.
    **Returns:** the layer, with a new state, `(layer, state)`, if `state` was given.
    **Raises:** `ValueError`, naming every layer that has no counterpart, by path and type, and why.

    >>> import jax, jax.numpy as jnp
    >>> theirs = eqx.nn.MLP(in_size=2, out_size=3, width_size=8, depth=1, key=jax.random.key(0))
    >>> ours = from_equinox(theirs)
    >>> x = jnp.array([0.5, -2.0])
    >>> bool(jnp.allclose(ours(x[:, None, None])[:, 0, 0], theirs(x), atol=1e-6))
    True
    >>> from_equinox(eqx.nn.Sequential([theirs, eqx.nn.PReLU()]))
    Traceback (most recent call last):
    ValueError: `layer` cannot be taken over from Equinox, for what is in it:
      layers[1]: PReLU: no matrix layer learns a slope: use LeakyReLU with a fixed one.
    """
    walk = Walk(_TABLE, _otherwise, axes=axes, n=1, state=state)
    taken = walk.convert("", layer)
    walk.require_all("taken over from Equinox")
    return taken if state is None else eqx.nn.make_with_state(lambda: taken)()


def _otherwise(walk: Walk, path: str, layer: Any) -> Any:
    if isinstance(layer, eqx.Module):
        if type(layer).__module__.startswith("matrinox."):
            raise Unfit("it is no layer of Equinox")
        if type(layer).__module__.startswith("equinox."):
            raise Unfit("it has no counterpart among matrix layers")
        raise Unfit(
            "its `__call__` is not known to work for neurons (p, 1, 1): convert the layers that it holds, and write a "
            "module that calls these"
        )
    if callable(layer):
        return _function(walk, layer)
    raise Unfit("it is no layer")


def _matrices(layer: Any, name: str, axes: int) -> Array | None:
    """An array of so many axes as one of 1×1 matrices; `None` for none."""
    array = getattr(layer, name)
    if array is None:
        return None
    if array.ndim != axes:
        raise Unfit(f"its {name} has the axes {array.shape}, {axes} are due: take layers that were stacked one by one")
    if not jnp.issubdtype(array.dtype, jnp.floating):
        raise Unfit(f"its {name} is of {array.dtype}, and matrix neurons are of floats")
    return jnp.asarray(array)[..., None, None]


def _linear(walk: Walk, path: str, layer: Any) -> nn.Dense:
    weight, bias = _weight_and_bias(layer, 2)
    q, p = weight.shape[:2]
    return built(nn.Dense, {"weight": weight, "bias": bias}, p=p, q=q, n=1, use_bias=bias is not None)


def _weight_and_bias(layer: Any, axes: int) -> tuple[Any, Array | None]:
    return _matrices(layer, "weight", axes), _matrices(layer, "bias", 1)


def _conv(walk: Walk, path: str, layer: Any) -> Any:
    axes = walk.axes = layer.num_spatial_dims
    if axes not in _CONVS:
        raise Unfit(f"matrix convolutions have 1 to 3 space axes, not {axes}")
    if layer.padding_mode != "ZEROS":
        raise Unfit(f"its `padding_mode` (={layer.padding_mode!r}) has no counterpart: matrix layers pad with zeros")
    transposed = isinstance(layer, eqx.nn.ConvTranspose)
    weight = _matrices(layer, "weight", axes + 2)
    bias = None if layer.bias is None else layer.bias.reshape(-1, 1, 1)
    return built(
        (_ADJOINTS if transposed else _CONVS)[axes],
        {"weight": weight, "bias": bias},
        p=layer.in_channels,
        q=layer.out_channels,
        n=1,
        kernel=tuple(layer.kernel_size),
        stride=tuple(layer.stride),
        padding=_padding(layer),
        dilation=tuple(layer.dilation),
        groups=layer.groups,
        use_bias=bias is not None,
        **({"output_padding": tuple(layer.output_padding)} if transposed else {}),
    )


def _padding(layer: Any) -> Any:
    padding = layer.padding
    if not isinstance(padding, str):
        return tuple(tuple(pair) for pair in padding)
    if padding != "VALID" and max(layer.stride) > 1:
        raise Unfit(
            f"its `padding` (={padding!r}) depends on the size of the input at a stride above 1: give it as pairs"
        )
    if padding != "SAME_LOWER":
        return padding
    extents = map(spread_size, layer.kernel_size, layer.dilation)
    return tuple((extent // 2, extent - 1 - extent // 2) for extent in extents)


_CONVS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
_ADJOINTS = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def _lstm(walk: Walk, path: str, layer: Any) -> nn.LSTMCell:
    weight, bias = _gates(layer)
    sizes = {"p": layer.input_size, "q": layer.hidden_size, "n": 1}
    return built(nn.LSTMCell, {"weight": weight, "bias": bias}, **sizes, use_bias=bias is not None)


def _gru(walk: Walk, path: str, layer: Any) -> nn.GRUCell:
    weight, bias = map(first_two_exchanged, _gates(layer))
    arrays = {"weight": weight, "bias": bias, "hidden_bias": _matrices(layer, "bias_n", 1)}
    sizes = {"p": layer.input_size, "q": layer.hidden_size, "n": 1}
    return built(nn.GRUCell, arrays, **sizes, use_bias=bias is not None, reset_after=True)


def _gates(layer: Any) -> tuple[Array, Array | None]:
    of_hidden, of_input = _matrices(layer, "weight_hh", 2), _matrices(layer, "weight_ih", 2)
    return jnp.concatenate([jnp.asarray(of_hidden), jnp.asarray(of_input)], 1), _matrices(layer, "bias", 1)


def _attention(walk: Walk, path: str, layer: Any) -> nn.MultiheadAttention:
    if layer.vo_size != layer.qk_size:
        raise Unfit(
            f"its heads compare {layer.qk_size} features (qk_size) and give {layer.vo_size} (vo_size), where those of "
            "matrix attention have as many of both"
        )
    if layer.key_size != layer.value_size:
        raise Unfit(
            f"its keys are made of {layer.key_size} features and its values of {layer.value_size}, where those of "
            "matrix attention are made of the same memory"
        )
    memory = None if layer.key_size == layer.query_size else layer.key_size
    sizes = {"p": layer.query_size, "q": layer.output_size, "memory": memory, "n": 1}
    heads = {"heads": layer.num_heads, "head_size": layer.qk_size}
    maps = {name: _linear(walk, path, getattr(layer, name)) for name in _MAPS}
    switches = {"dropout": layer.dropout.p, "inference": layer.dropout.inference}
    return with_arrays(built(nn.MultiheadAttention, {}, **sizes, **heads), maps | switches)


_MAPS = ("query_proj", "key_proj", "value_proj", "output_proj")


def _embedding(walk: Walk, path: str, layer: Any) -> nn.Embedding:
    weight = jnp.asarray(_matrices(layer, "weight", 2))
    return built(nn.Embedding, {"weight": weight}, vocabulary=weight.shape[0], p=weight.shape[1], n=1)


def _norm(kind: Callable[..., Any]) -> Convert:
    def convert(walk: Walk, path: str, layer: Any) -> Any:
        if len(layer.shape) != 1:
            raise Unfit(f"its `shape` (={layer.shape}) must be of features alone, with which matrix layers normalise")
        return _normalising(kind, layer, layer.shape[0])

    return convert


def _normalising(kind: Callable[..., Any], layer: Any, p: int, **options: Any) -> Any:
    arrays = {"weight": _matrices(layer, "weight", 1), "bias": _matrices(layer, "bias", 1)}
    has = {f"use_{name}": array is not None for name, array in arrays.items()}
    return with_arrays(kind(p=p, n=1, eps=layer.eps, **has, **options), arrays)


def _group_norm(walk: Walk, path: str, layer: Any) -> nn.GroupNorm:
    if layer.channels is None:
        raise Unfit("its `channels` (=None) are not known: build it with their number")
    return _normalising(nn.GroupNorm, layer, layer.channels, groups=layer.groups, axes=walk.axes)


def _batch_norm(walk: Walk, path: str, layer: Any) -> nn.BatchNorm:
    if layer.mode != "batch":
        raise Unfit(f"its `mode` (={layer.mode!r}) trains by running statistics: only 'batch' has a counterpart")
    count = statistics_of(walk, layer.batch_counter)
    scale = share_of_batches(count, layer.momentum)
    mean, variance = (array[:, None, None] / scale for array in statistics_of(walk, layer.batch_state_index))
    options = {"momentum": layer.momentum, "inference": layer.inference}
    return as_running(_normalising(nn.BatchNorm, layer, layer.input_size, **options), count, mean, variance)


def _dropout(walk: Walk, path: str, layer: Any) -> nn.Dropout:
    return with_arrays(nn.Dropout(0.0), {"rate": layer.p, "inference": layer.inference})


def _pool(kind: Callable[..., Any]) -> Convert:
    def convert(walk: Walk, path: str, layer: Any) -> Any:
        walk.axes = len(layer.kernel_size)
        if layer.use_ceil:
            raise Unfit("its `use_ceil` (=True) pads by the size of the input: give the padding as pairs")
        return kind(layer.kernel_size, layer.stride, tuple(tuple(pair) for pair in layer.padding))

    return convert


def _adaptive(kind: Callable[..., Any]) -> Convert:
    def convert(walk: Walk, path: str, layer: Any) -> Any:
        walk.axes = len(layer.target_shape)
        return kind(tuple(layer.target_shape))

    return convert


def _lambda(walk: Walk, path: str, layer: Any) -> Any:
    return layer.fn.layer if isinstance(layer.fn, ByEntries) else _function(walk, layer.fn)


def _function(walk: Walk, function: Callable[..., Any]) -> Any:
    known = _activation(function)
    if known is not None:
        return known
    if function is jnp.ravel:
        axes, walk.axes = walk.axes, 0
        return RavelPlaces(axes) if axes else nn.Lambda(identity)
    if function is jax.nn.softmax and not walk.axes:
        return nn.Softmax(-3)
    if is_entrywise(function):
        return nn.Lambda(function)
    raise Unfit(
        "its function is not known to treat each entry by itself, and matrix neurons have other axes: convert the "
        "layers before and behind it, and write a function of (*batch, p, 1, 1) between them"
    )


_ACTIVATIONS: tuple[tuple[Callable[..., Any], Callable[[], Any]], ...] = (
    (jax.nn.relu, nn.ReLU),
    (jax.nn.leaky_relu, nn.LeakyReLU),
    (jax.nn.elu, nn.ELU),
    (jax.nn.gelu, nn.GELU),
    (jax.nn.silu, nn.SiLU),
    (jax.nn.sigmoid, nn.Sigmoid),
    (jax.nn.softplus, nn.Softplus),
    (jnp.tanh, nn.Tanh),
    (jax.nn.tanh, nn.Tanh),
)


def _activation(function: Callable[..., Any]) -> Any:
    return next((layer() for known, layer in _ACTIVATIONS if known is function), None)


def _mlp(walk: Walk, path: str, layer: Any) -> nn.MLP:
    linears = _unstacked(layer)
    denses = [_linear(walk, path, linear) for linear in linears]
    mlp = nn.MLP(
        p=denses[0].p,
        q=denses[-1].q,
        n=1,
        hidden=tuple(dense.q for dense in denses[:-1]),
        activation=_of_each_number(layer.activation, "activation") or identity,
        # Without hidden layers Equinox leaves out the last activation too.
        final_activation=_of_each_number(layer.final_activation, "final_activation") if layer.depth else None,
        initializer=lambda key, shape, dtype: jnp.zeros(shape, dtype),
        key=jax.random.key(0),
    )
    places = [index for index, part in enumerate(mlp.layers) if isinstance(part, nn.Dense)]
    return eqx.tree_at(lambda mlp: [mlp.layers[index] for index in places], mlp, denses)


def _unstacked(layer: Any) -> list[Any]:
    if not layer.scan or layer.depth == 0:
        return list(layer.layers)
    first, stacked, last = layer.layers
    hidden = [jax.tree.map(lambda leaf, index=index: leaf[index], stacked) for index in range(layer.depth - 1)]
    return [first, *hidden, last]


_IDENTITY = inspect.signature(eqx.nn.MLP).parameters["final_activation"].default


def _of_each_number(function: Callable[..., Any], name: str) -> Any:
    """An MLP of Equinox hands each number to its activation by itself, whatever this would do to an array."""
    if any(map(eqx.is_array, jax.tree.leaves(function))):
        raise Unfit(f"its `{name}` has parameters, a copy for each neuron, and no matrix layer has")
    if function is _IDENTITY:
        return None
    return _activation(function) or nn.Lambda(function if is_entrywise(function) else jnp.vectorize(function))


def _sequential(walk: Walk, path: str, layer: Any) -> nn.Sequential | None:
    layers = walk.each(f"{path}.layers", layer.layers)
    return None if any(part is None for part in layers) else nn.Sequential(layers)


def _rotary(walk: Walk, path: str, layer: Any) -> nn.RotaryPosition:
    return nn.RotaryPosition(base=layer.theta)


def _identity(walk: Walk, path: str, layer: Any) -> nn.Lambda:
    return nn.Lambda(identity)


def _each_place(walk: Walk, path: str, layer: EachPlace) -> Any:
    return walk.convert(f"{path}.layer", layer.layer)


_TABLE: dict[type, Convert] = {
    eqx.nn.Linear: _linear,
    eqx.nn.Identity: _identity,
    eqx.nn.MLP: _mlp,
    eqx.nn.Sequential: _sequential,
    eqx.nn.Conv: _conv,
    eqx.nn.Conv1d: _conv,
    eqx.nn.Conv2d: _conv,
    eqx.nn.Conv3d: _conv,
    eqx.nn.ConvTranspose: _conv,
    eqx.nn.ConvTranspose1d: _conv,
    eqx.nn.ConvTranspose2d: _conv,
    eqx.nn.ConvTranspose3d: _conv,
    eqx.nn.LSTMCell: _lstm,
    eqx.nn.GRUCell: _gru,
    eqx.nn.MultiheadAttention: _attention,
    eqx.nn.Embedding: _embedding,
    eqx.nn.LayerNorm: _norm(nn.LayerNorm),
    eqx.nn.RMSNorm: _norm(nn.RMSNorm),
    eqx.nn.GroupNorm: _group_norm,
    eqx.nn.BatchNorm: _batch_norm,
    eqx.nn.Dropout: _dropout,
    eqx.nn.Lambda: _lambda,
    eqx.nn.MaxPool1d: _pool(nn.MaxPool1d),
    eqx.nn.MaxPool2d: _pool(nn.MaxPool2d),
    eqx.nn.MaxPool3d: _pool(nn.MaxPool3d),
    eqx.nn.AvgPool1d: _pool(nn.AvgPool1d),
    eqx.nn.AvgPool2d: _pool(nn.AvgPool2d),
    eqx.nn.AvgPool3d: _pool(nn.AvgPool3d),
    eqx.nn.AdaptiveAvgPool1d: _adaptive(nn.AdaptiveAvgPool1d),
    eqx.nn.AdaptiveAvgPool2d: _adaptive(nn.AdaptiveAvgPool2d),
    eqx.nn.AdaptiveAvgPool3d: _adaptive(nn.AdaptiveAvgPool3d),
    eqx.nn.AdaptiveMaxPool1d: _adaptive(nn.AdaptiveMaxPool1d),
    eqx.nn.AdaptiveMaxPool2d: _adaptive(nn.AdaptiveMaxPool2d),
    eqx.nn.AdaptiveMaxPool3d: _adaptive(nn.AdaptiveMaxPool3d),
    EachPlace: _each_place,
    list: Walk.tree,
    tuple: Walk.tree,
    dict: Walk.tree,
    eqx.nn.PReLU: refuse("no matrix layer learns a slope: use LeakyReLU with a fixed one"),
    eqx.nn.RotaryPositionalEmbedding: _rotary,
    eqx.nn.Pool: refuse("its operation is not known: use a max, average or adaptive pool"),
}
