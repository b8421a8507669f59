"""A chain of matrix layers as one of scalar layers of any widths: which of them can be chosen, and the layers anew."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
import numpy as np
from jax import Array
from jaxtyping import PRNGKeyArray

from matrinox import nn
from matrinox.bridge.chain import IN_TURN
from matrinox.bridge.entrywise import is_entrywise
from matrinox.bridge.places import RavelPlaces
from matrinox.bridge.sides import ENCODERS, EntriesEncoder, MeansReadOut, SpreadEncoder
from matrinox.bridge.walk import Unfit, Walk
from matrinox.initializers import Initializer, variance_scaling
from matrinox.rand import KeyStream

_CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_ENCODERS = (*ENCODERS, EntriesEncoder, SpreadEncoder)
_HEADS = (nn.ClassificationHead, nn.RegressionHead, nn.FlattenLinear)
_MAPS = (nn.Dense, *_CONVS, nn.Embedding)
_NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.InstanceNorm, nn.BatchNorm)
_ONE_NUMBER = (nn.Trace, nn.Mean, nn.FrobeniusNorm)
_READ_OUTS = (*_ONE_NUMBER, nn.Flatten, nn.FlattenBatch, MeansReadOut)
_OF_BATCHES = ("axis_name", "momentum", "per", "inference")
# All of whose layers have neither weights nor sizes.
_WITHOUT_SIZES = ("activation", "determinant_activation", "pool", "determinant_pool", "global_pool", "adaptive_pool")


class Step(NamedTuple):
    """A layer of the chain, at its path; and, if it gives neurons, how many the model and its twins give.

    `fixed`: so many, as the task has it; `None` for a width that can be chosen, a multiple of `multiple`; `places`: how
    many of them it puts in a row.
    """

    path: str
    layer: Any
    neurons: int | None = None
    fixed: int | None = None
    multiple: int = 1
    places: int = 1


class Plan(NamedTuple):
    """The layers in turn; what flows into them, as for a `Step`."""

    steps: tuple[Step, ...]
    start: Step
    n: int

    def widths(self, factor: float) -> tuple[int, ...]:
        """Neurons that flow in and that each map gives: those that can be chosen are so many times the model's."""
        return tuple(_width(step, factor) for step in (self.start, *self.steps) if step.neurons is not None)

    def chosen(self, widths: Sequence[int]) -> tuple[int, ...]:
        """Of widths, those of the model's own layers that can be chosen."""
        kinds = [step for step in self.steps if step.neurons is not None]
        return tuple(width for step, width in zip(kinds, widths[1:], strict=True) if step.fixed is None)

    @property
    def widened(self) -> tuple[str, ...]:
        """Which of inputs and outputs have a width that can be chosen."""
        last = [step for step in self.steps if step.neurons is not None][-1]
        ends = {"inputs": self.start, "outputs": last}
        return tuple(name for name, step in ends.items() if step.fixed is None)

    def build(self, widths: Sequence[int], key: PRNGKeyArray) -> nn.Sequential:
        """The chain of scalar layers of these widths."""
        stream, flows, layers = KeyStream(key), list(widths), []
        before = flows.pop(0)
        for step in self.steps:
            behind = flows.pop(0) if step.neurons is not None else before
            layers.append(_rebuilt(step, before, behind, stream))
            before = behind * step.places
        return nn.Sequential(layers)


def _width(step: Step, factor: float) -> int:
    if step.fixed is not None:
        return step.fixed
    assert step.neurons is not None
    return max(1, round(factor * step.neurons / step.multiple)) * step.multiple


def plan_of(chain: nn.Sequential, shapes: Callable[[nn.Sequential], Sequence[Any]]) -> Plan:
    """How a chain becomes one of scalar layers.

    **Arguments:** `chain`: the model; `shapes`: what tells the shape of its input and that behind every layer.
    **Raises:** `ValueError`, naming every layer that has no scalar twin.
    """
    walk = Walk({}, lambda walk, path, layer: _require_twin(layer), argument="model")
    flat = _flat("", chain)
    for path, layer in flat:
        walk.convert(path, layer)
    walk.require_all("twinned with scalar layers")
    sizes = shapes(nn.Sequential([layer for _, layer in flat]))
    _require_known_shapes(walk, flat, sizes)
    sides = [layer.n for _, layer in flat if isinstance(getattr(layer, "n", None), int)]
    if not sides:
        raise ValueError("`model` must hold a layer of matrices: its twins are of the numbers that these are.")
    multiples = [getattr(layer, "groups", 1) for _, layer in flat]
    steps = []
    for index, (path, layer) in enumerate(flat):
        is_last = not any(isinstance(later, (*_MAPS, *_HEADS)) for _, later in flat[index + 1 :])
        ends = [later for _, later in flat[index + 1 :] if isinstance(later, _READ_OUTS)] if is_last else []
        neurons, fixed = None, None
        if isinstance(layer, _ENCODERS):
            neurons = sizes[index + 1][-3]
            own = _unspread(layer)
            fixed = sizes[index][-1] if isinstance(own, nn.Fold | nn.Tile) else neurons * own.n**2
        elif isinstance(layer, _HEADS):
            neurons = fixed = sizes[index + 1][-1]
        elif isinstance(layer, _MAPS):
            neurons = sizes[index + 1][-3]
            if ends:
                side = layer.n // getattr(ends[0], "k", 1)
                fixed = neurons * (1 if isinstance(ends[0], _ONE_NUMBER) else side**2)
        places = sizes[index + 1][-3] // sizes[index][-3] if isinstance(layer, RavelPlaces) else 1
        steps.append(Step(path, layer, neurons, fixed, _multiple(flat, multiples, index), places))
    first = next((layer for _, layer in flat if isinstance(layer, (*_MAPS, *_HEADS, *_ENCODERS))), None)
    starts = None if first is None or isinstance(first, (*_ENCODERS, nn.Embedding)) else sizes[0][-3]
    start = Step("", None, starts or 1, None if starts else 1, _multiple(flat, multiples, -1))
    return Plan(tuple(steps), start, sides[0])


def _unspread(layer: Any) -> Any:
    """The encoder, or the read-out, that a lifted model has had."""
    return layer.layer if isinstance(layer, SpreadEncoder | MeansReadOut) else layer


def _require_known_shapes(walk: Walk, flat: Sequence[Any], sizes: Sequence[Any]) -> None:
    for (path, layer), taken, given in zip(flat, sizes[:-1], sizes[1:], strict=True):
        if isinstance(layer, (*_HEADS, *_READ_OUTS)):
            break
        is_function = isinstance(layer, nn.Lambda) or not isinstance(layer, eqx.Module)
        if is_function and given != taken:
            reason = f"its function gives {given} for {taken}, and what it gives for other widths is not known"
            walk.note(path, layer, Unfit(f"{reason}: use a read-out"))
            break
    walk.require_all("twinned with scalar layers")


def _multiple(flat: Sequence[Any], multiples: Sequence[int], index: int) -> int:
    """What the groups of a layer, and of those up to the next map, must divide."""
    until = index + 1
    while until < len(flat) - 1 and not isinstance(flat[until][1], _MAPS):
        until += 1
    return math.lcm(*multiples[max(index, 0) : until + 1])


def _flat(path: str, chain: Any) -> list[tuple[str, Any]]:
    layers: list[tuple[str, Any]] = []
    for index, layer in enumerate(chain.layers):
        where = f"{path}.layers[{index}]"
        # Its statistics may be in a state that is not here: a fresh one has its sizes.
        part = _norm(layer, layer.p, layer.n) if isinstance(layer, nn.BatchNorm) else layer
        layers += _flat(where, layer) if type(layer) in IN_TURN else [(where, part)]
    return layers


def _require_twin(layer: Any) -> Any:
    kind = type(layer)
    if kind in _CONVS and layer.layout != "channel_last":
        raise Unfit(f"its `layout` (={layer.layout!r}) is not that of its twin, 'channel_last'")
    if kind in (*_MAPS, *_NORMS, *_HEADS, *_ENCODERS, *_READ_OUTS, nn.Dropout, nn.Lambda, nn.Softmax, RavelPlaces):
        return layer
    if kind.__module__.removeprefix("matrinox.nn.") in _WITHOUT_SIZES:
        return layer
    if callable(layer) and not isinstance(layer, eqx.Module) and is_entrywise(layer):
        return layer
    if kind.__module__.startswith("equinox."):
        raise Unfit("it is no layer of matrices: take it over with `from_equinox` first")
    raise Unfit("it has no scalar twin: twins are of chains of dense layers, convolutions and what has no weights")


def _rebuilt(step: Step, p: int, q: int, stream: KeyStream) -> Any:
    layer = _unspread(step.layer)
    key = stream.key(step.path)
    if isinstance(layer, _MAPS):
        return _map(layer, p, q, key)
    if isinstance(layer, _HEADS):
        return _head(layer, p, key)
    if isinstance(layer, nn.Fold | nn.Tile):
        return nn.Fold(1)
    if isinstance(layer, _ENCODERS) and not isinstance(layer, EntriesEncoder):
        return EntriesEncoder(layer)
    if isinstance(layer, _NORMS):
        return _norm(layer, p)
    return layer


def _map(layer: Any, p: int, q: int, key: PRNGKeyArray) -> Any:
    dtype = layer.weight.dtype
    if isinstance(layer, nn.Embedding):
        initializer = jax.nn.initializers.normal(_size(layer.weight))
        return nn.Embedding(layer.vocabulary, q, 1, initializer=initializer, dtype=dtype, key=key)
    options = {"precision": layer.precision, "accumulation_dtype": layer.accumulation_dtype, "dtype": dtype}
    options |= {"use_bias": layer.bias is not None, "initializer": _own(layer), "key": key}
    if isinstance(layer, nn.Dense):
        return nn.Dense(p, q, 1, **options)
    names = ["stride", "padding", "dilation", "groups"]
    names += [name for name in ("input_dilation", "batch_groups", "output_padding") if hasattr(layer, name)]
    return type(layer)(p, q, 1, layer.kernel, **{name: getattr(layer, name) for name in names}, **options)


def _size(W: Array) -> float:
    """The root mean square, which is known while a model is traced."""
    return math.sqrt(np.mean(np.square(np.asarray(W, np.float64))))


def _like(W: Array, inputs: int) -> Initializer:
    """An initializer of the gain that a weight has, of which so many entries meet an output."""
    gain = _size(W) * math.sqrt(inputs)
    return variance_scaling(gain) if gain > 0 else jax.nn.initializers.zeros


def _own(layer: Any) -> Initializer:
    return _like(layer.weight, layer.weight.size // (layer.q * layer.n))


def _head(layer: Any, p: int, key: PRNGKeyArray) -> Any:
    if isinstance(layer, nn.FlattenLinear):
        inputs = layer.weight.size // layer.features
        options = {"use_bias": layer.bias is not None, "initializer": _like(layer.weight, inputs)}
        return nn.FlattenLinear(p, layer.features, 1, **options, dtype=layer.weight.dtype, key=key)
    dense = layer.dense
    options = {"use_bias": dense.bias is not None, "initializer": _own(dense), "dtype": dense.weight.dtype}
    return type(layer)(p, dense.q, 1, read=layer.read, **options, key=key)


def _norm(layer: Any, p: int, n: int = 1) -> Any:
    options: dict[str, Any] = {"eps": layer.eps}
    options |= {f"use_{name}": getattr(layer, name) is not None for name in ("weight", "bias")}
    names = {nn.GroupNorm: ("groups", "axes"), nn.InstanceNorm: ("axes",), nn.BatchNorm: _OF_BATCHES}
    options |= {name: getattr(layer, name) for name in names.get(type(layer), ())}
    return type(layer)(p=p, n=n, **options)
