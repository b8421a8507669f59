"""A chain of matrix layers as one of scalar layers: which widths can be chosen, which are the task's."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import equinox as eqx
import jax
from jaxtyping import PRNGKeyArray

from matrinox import nn
from matrinox.bridge.chain import IN_TURN
from matrinox.bridge.entrywise import is_entrywise
from matrinox.bridge.places import RavelPlaces
from matrinox.bridge.twin_layers import (
    CONVS,
    ENCODERS,
    HEADS,
    MAPS,
    NORMS,
    READ_OUTS,
    RECURRENT,
    multiple_given,
    norm_like,
    numbers_of,
    numbers_read,
    rebuilt,
    require_scalar_cells,
)
from matrinox.bridge.walk import Unfit, Walk
from matrinox.rand import KeyStream

_ENTRANCES = (*ENCODERS, nn.Embedding)
_SUMS = (nn.Residual, nn.BranchSum)
# All of whose layers have neither weights nor sizes.
_WITHOUT_SIZES = ("activation", "determinant_activation", "pool", "determinant_pool", "global_pool", "adaptive_pool")
_WITHOUT_WEIGHTS = (nn.Dropout, nn.Lambda, nn.LastStep, nn.Softmax, nn.Transpose, RavelPlaces)
_GIVING = (*ENCODERS, *HEADS, *MAPS)
_BEHIND = (*HEADS, *MAPS, *_SUMS)
_Shapes = Callable[[nn.Sequential, tuple[int, ...]], Sequence[Any]]
# What flows: neurons of the model, how many are the task's, and how often they come in a row.
_Flow = tuple[int | None, int | None, int]


class Step(NamedTuple):
    """A layer of the chain, at its path; and, if it gives neurons, how many the model and its twins give.

    `fixed`: so many, as the task has it; `None` for a width that can be chosen, a multiple of `multiple`; `places`: how
    many of them it puts in a row; `parts`: of a sum, the steps of each summand.
    """

    path: str
    layer: Any
    neurons: int | None = None
    fixed: int | None = None
    multiple: int = 1
    places: int = 1
    parts: tuple[tuple["Step", ...], ...] = ()


class Plan(NamedTuple):
    """The layers in turn; what flows into them, as for a `Step`."""

    steps: tuple[Step, ...]
    start: Step
    n: int

    @property
    def flows(self) -> tuple[Step, ...]:
        """What flows in, and every map, those within sums among them."""
        return (self.start, *(step for step in each_of(self.steps) if step.neurons is not None))

    @property
    def own(self) -> tuple[int, ...]:
        """Neurons of the model that flow in and that each map gives."""
        return tuple(step.neurons or 1 for step in self.flows)

    def widths(self, factor: float) -> tuple[int, ...]:
        """Neurons that flow in and that each map gives: those that can be chosen are so many times the model's."""
        return tuple(_width(step, factor) for step in self.flows)

    def chosen(self, widths: Sequence[int]) -> tuple[int, ...]:
        """Of widths, those of the model's own layers that can be chosen."""
        pairs = zip(self.flows[1:], widths[1:], strict=True)
        return tuple(width for step, width in pairs if step.fixed is None)

    @property
    def widened(self) -> tuple[str, ...]:
        """Which of inputs and outputs have a width that can be chosen."""
        ends = {"inputs": self.start, "outputs": self.flows[-1]}
        return tuple(name for name, step in ends.items() if step.fixed is None)

    def build(self, widths: Sequence[int], key: PRNGKeyArray) -> nn.Sequential:
        """The chain of scalar layers of these widths."""
        by_path = {step.path: width for step, width in zip(self.flows, widths, strict=True)}
        return nn.Sequential(_built(self.steps, widths[0], by_path, KeyStream(key))[0])


def each_of(steps: Sequence[Step]) -> Iterator[Step]:
    """Every step, and behind a sum those of its summands."""
    for step in steps:
        yield step
        for part in step.parts:
            yield from each_of(part)


def _width(step: Step, factor: float) -> int:
    if step.fixed is not None:
        return step.fixed
    assert step.neurons is not None
    return max(1, round(factor * step.neurons / step.multiple)) * step.multiple


def _built(steps: Sequence[Step], before: int, widths: Mapping[str, int], stream: KeyStream) -> tuple[list[Any], int]:
    """The layers anew, and the neurons that the last one gives."""
    layers = []
    for step in steps:
        behind = widths.get(step.path, before)
        if step.parts:
            parts = [_built(part, before, widths, stream) for part in step.parts]
            layers.append(_sum_of(step.layer, [part for part, _ in parts]))
            behind = parts[0][1]
        else:
            layers.append(rebuilt(step.layer, before, behind, stream.key(step.path)))
        before = behind * step.places
    return layers, before


def _sum_of(layer: Any, parts: Sequence[Sequence[Any]]) -> Any:
    summands = [nn.Sequential(part) for part in parts]
    return nn.Residual(*summands) if isinstance(layer, nn.Residual) else nn.BranchSum(summands)


def plan_of(chain: nn.Sequential, shape: tuple[int, ...], shapes: _Shapes) -> Plan:
    """How a chain becomes one of scalar layers.

    **Arguments:** `chain`: the model; `shape`: of one example; `shapes`: what tells, of a chain and a shape that it is
    given, this and the shapes of what its layers give.
    **Raises:** `ValueError`, naming every layer that has no scalar twin.
    """
    walk, steps = Walk({}, _require_twin, argument="model"), _steps_of_chain("", chain)
    _require_twins(walk, steps)
    first = next((step.layer for step in steps if isinstance(step.layer, (*_GIVING, *_SUMS))), None)
    starts = None if first is None or isinstance(first, _ENTRANCES) else shape[-3]
    sizing = _Sizing(walk, shapes, {})
    sized, _ = sizing.sized(steps, shape, None if starts is None else (starts, None, 1), is_top=True)
    walk.require_all("twinned with scalar layers")
    sides = [step.layer.n for step in each_of(sized) if isinstance(getattr(step.layer, "n", None), int)]
    if not sides:
        raise ValueError("`model` must hold a layer of matrices: its twins are of the numbers that these are.")
    (start,) = sizing.in_multiples([Step("", None, starts or 1, None if starts else 1)])
    return Plan(sizing.in_multiples(sized), start, sides[0])


def _steps_of_chain(path: str, chain: Any) -> tuple[Step, ...]:
    each = (_steps_of(f"{path}.layers[{index}]", layer) for index, layer in enumerate(chain.layers))
    return tuple(step for steps in each for step in steps)


def _steps_of(path: str, layer: Any) -> tuple[Step, ...]:
    if type(layer) in IN_TURN:
        return _steps_of_chain(path, layer)
    if type(layer) is nn.StackedRecurrent:
        between = (Step(f"{path}.dropout", layer.dropout),) if layer.dropout.rate else ()
        first, *others = (_steps_of(f"{path}.layers[{index}]", part) for index, part in enumerate(layer.layers))
        return first + tuple(step for steps in others for step in (*between, *steps))
    if isinstance(layer, _SUMS):
        parts = tuple(_steps_of(f"{path}.{name}", child) for name, child in layer.children().items())
        return (Step(path, _sum_of(layer, [[step.layer for step in part] for part in parts]), parts=parts),)
    # Its statistics may be in a state that is not here: a fresh one has its sizes.
    return (Step(path, norm_like(layer, layer.p, layer.n) if isinstance(layer, nn.BatchNorm) else layer),)


def _require_twins(walk: Walk, steps: Sequence[Step]) -> None:
    entrances = [index for index, step in enumerate(steps) if isinstance(step.layer, _ENTRANCES)]
    exits = [index for index, step in enumerate(steps) if isinstance(step.layer, (*HEADS, *READ_OUTS))]
    first, last = min(entrances, default=0), max(exits, default=len(steps))
    for index, step in enumerate(steps):
        # Outside of these, numbers are the task's: what learns nothing there can stay.
        if first <= index <= last or jax.tree.leaves(eqx.filter(step.layer, eqx.is_inexact_array)):
            for each in each_of([step]):
                walk.convert(each.path, each.layer)
    walk.require_all("twinned with scalar layers")


def _require_twin(walk: Walk, path: str, layer: Any) -> Any:
    kind = type(layer)
    if kind in CONVS and layer.layout != "channel_last":
        raise Unfit(f"its `layout` (={layer.layout!r}) is not that of its twin, 'channel_last'")
    if kind in RECURRENT:
        require_scalar_cells(layer)
    if kind in (*MAPS, *NORMS, *HEADS, *ENCODERS, *READ_OUTS, *_WITHOUT_WEIGHTS, *_SUMS):
        return layer
    if kind.__module__.removeprefix("matrinox.nn.") in _WITHOUT_SIZES:
        return layer
    if callable(layer) and not isinstance(layer, eqx.Module) and is_entrywise(layer):
        return layer
    if kind.__module__.startswith("equinox."):
        raise Unfit("it is no layer of matrices: take it over with `from_equinox` first")
    known = "dense, convolutional and recurrent layers, sums of them and what has no weights"
    raise Unfit(f"it has no scalar twin: twins are of chains of {known}")


class _Sizing(NamedTuple):
    """Tells steps their neurons; `groups`: by a count of neurons, what must divide it: equal counts stay equal."""

    walk: Walk
    shapes: _Shapes
    groups: dict[int, int]

    def sized(
        self, steps: Sequence[Step], shape: tuple[int, ...], flow: _Flow | None, *, is_top: bool
    ) -> tuple[tuple[Step, ...], _Flow | None]:
        """The steps with their neurons, and what flows behind the last, of what flows into the first."""
        sizes = self.shapes(nn.Sequential([step.layer for step in steps]), shape)
        self._divide(steps, sizes)
        done, is_inside = [], True
        for index, (step, taken, given) in enumerate(zip(steps, sizes[:-1], sizes[1:], strict=True)):
            layer, later = step.layer, [each.layer for each in steps[index + 1 :]]
            is_inside = is_inside and not isinstance(layer, (*HEADS, *READ_OUTS))
            is_last = is_top and not any(isinstance(each, _BEHIND) for each in later)
            read_out = next((each for each in later if is_last and isinstance(each, READ_OUTS)), None)
            if isinstance(layer, _GIVING):
                step = self._told(step, taken, given, read_out)
                flow = step.neurons, step.fixed, 1
            elif step.parts:
                step, flow = self._summed(step, taken, flow, read_out)
            elif isinstance(layer, RavelPlaces) and flow is not None:
                step = step._replace(places=given[-3] // taken[-3])
                flow = (*flow[:2], flow[2] * step.places)
            elif is_inside and flow is not None and _is_function(layer) and given != taken:
                reason = f"its function gives {given} for {taken}, and what it gives for other widths is not known"
                self.walk.note(step.path, layer, Unfit(f"{reason}: use a read-out"))
                is_inside = False
            done.append(step)
        return tuple(done), flow

    def in_multiples(self, steps: Sequence[Step]) -> tuple[Step, ...]:
        """The steps with what must divide their neurons, as all layers have it."""
        told = (step._replace(parts=tuple(map(self.in_multiples, step.parts))) for step in steps)
        return tuple(step._replace(multiple=self.groups.get(step.neurons or 0, 1)) for step in told)

    def _divide(self, steps: Sequence[Step], sizes: Sequence[Any]) -> None:
        # From the last, as what divides neurons of many places in a row divides those of each.
        for step, taken, given in reversed(list(zip(steps, sizes[:-1], sizes[1:], strict=True))):
            divisors = []
            if isinstance(step.layer, RavelPlaces):
                divisors = [(taken, self.groups.get(given[-3], 1))]
            elif isinstance(step.layer, (*MAPS, *NORMS)):
                divisors = [(taken, getattr(step.layer, "groups", 1)), (given, multiple_given(step.layer))]
            for shape, divisor in divisors:
                if divisor > 1:
                    self.groups[shape[-3]] = math.lcm(self.groups.get(shape[-3], 1), divisor)

    def _told(self, step: Step, taken: Any, given: Any, read_out: Any) -> Step:
        if isinstance(step.layer, HEADS):
            return step._replace(neurons=given[-1], fixed=given[-1])
        neurons, fixed = given[-3], None
        if isinstance(step.layer, ENCODERS):
            fixed = numbers_of(step.layer, taken, given)
        elif read_out is not None:
            fixed = numbers_read(read_out, neurons, step.layer.n)
        return step._replace(neurons=neurons, fixed=fixed)

    def _summed(self, step: Step, taken: Any, flow: _Flow | None, read_out: Any) -> tuple[Step, _Flow | None]:
        parts, flows = zip(*(self.sized(part, taken, flow, is_top=False) for part in step.parts), strict=True)
        adds_input = isinstance(step.layer, nn.Residual) and step.layer.shortcut is None
        if len({*flows, *([flow] if adds_input else [])}) > 1:
            reason = "some summands have a width that the task sets, and others one that can be chosen"
            self.walk.note(step.path, step.layer, Unfit(f"{reason}: put a map of neurons before it"))
        elif read_out is not None:
            reason = "its width is the task's, as what it gives is read out, and that of its input is not"
            self.walk.note(step.path, step.layer, Unfit(f"{reason}: put a map of neurons behind it"))
        return step._replace(parts=parts), flows[0]


def _is_function(layer: Any) -> bool:
    return isinstance(layer, nn.Lambda) or not isinstance(layer, eqx.Module)
