"""Joints: what one layer gives against what the next one takes, from their annotations, before any data exist.

Axes are passed from layer to layer as data would be: `*batch 2 4 4 -> *batch 3 4 4`. A layer that holds others, a
`Composite`, passes them on to these.
"""

import abc
import inspect
import itertools
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NoReturn

import equinox as eqx

from matrinox.contract import ContractError, contract
from matrinox.contract.axes import Axis, array_annotations, difference, read_axes
from matrinox.contract.checked import evaluated_signature
from matrinox.contract.message import callable_name
from matrinox.nn.child import Layer, is_stateful

Axes = tuple[Axis, ...]
_EACH_MATRIX = re.compile(r"\*\w+ p n n")


@dataclass(frozen=True)
class Told:
    """The axes of one array, and who says so: `layers[0]: Dense(p=2, q=3, n=4)` gives them, or takes them."""

    name: str
    axes: Axes
    verb: str = "gives"

    def __str__(self) -> str:
        return f"{self.name} {self.verb} {show_axes(self.axes)}"


@dataclass(frozen=True)
class Several:
    """Several arrays that a layer gives at once, and what is known of each."""

    name: str
    parts: "tuple[Flow, ...]"

    def __str__(self) -> str:
        return f"{self.name} gives {counted(len(self.parts), 'output')}"


Flow = Told | Several | None
"""What is known of what flows from one layer to the next; `None` where nothing is."""


@contract
class Composite(eqx.nn.StatefulLayer):
    """A layer that holds others, and is stateful if one of them is."""

    @abc.abstractmethod
    def children(self) -> Mapping[str, Layer]:
        """The layers, by their path from here, such as `branches[0]`."""

    @abc.abstractmethod
    def passes(self, path: str, came: Flow) -> Flow:
        """What it gives of what came, `path` being its own; raises `ContractError` where they do not fit."""

    @abc.abstractmethod
    def demands(self) -> Axes | None:
        """The axes of the one array that it takes, where the annotations tell."""

    def is_stateful(self) -> bool:
        return any(map(is_stateful, self.children().values()))


def pass_through(path: str, layer: Layer, came: Flow) -> Flow:
    """What a layer gives of what came.

    **Arguments:** `path`: of the layer; `came`: what the layer before it gives.
    **Raises:** `ContractError`, naming both, where it does not take that.
    """
    if isinstance(layer, eqx.nn.Sequential):
        for index, child in enumerate(layer.layers):
            came = pass_through(f"{path}.layers[{index}]".removeprefix("."), child, came)
        return came
    if isinstance(layer, Composite):
        return layer.passes(path, came)
    return _pass_through_leaf(layer_name(path, layer), layer, came)


def demands(layer: Layer) -> Axes | None:
    """The axes of what a layer takes, where its annotations, or those of layers behind it, tell; else `None`."""
    if isinstance(layer, Composite):
        return layer.demands()
    return _demands_in_turn(layer.layers if isinstance(layer, eqx.nn.Sequential) else (layer,))


def layer_name(path: str, layer: Layer) -> str:
    """`layers[0]: Dense(p=2, q=3, n=4)`."""
    qualname = getattr(layer, "__qualname__", type(layer).__name__)
    name = callable_name("__call__" if isinstance(layer, eqx.Module) else qualname, layer)
    return f"{path}: {name}" if path else name


def refined(told: Axes, other: Axes) -> Axes:
    """`told` with the sizes that are unknown in it and known in `other`, which is of the same array."""
    axes = list(told)
    for place, (mine, theirs) in enumerate(_from_the_end(told, other), start=1):
        if mine.size is None and isinstance(theirs.size, int):
            axes[-place] = replace(mine, size=theirs.size)
    return tuple(axes)


def unequal(first: Axes, other: Axes) -> str | None:
    """How the axes `other` are known to differ from those of `first`, or `None`."""
    variadic = [[axis for axis in axes if axis.variadic] for axes in (first, other)]
    # Of one origin, they stand for the same axes.
    comparable = variadic == [[], []] or (all(variadic) and variadic[0][0] is variadic[1][0])
    if comparable and len(first) != len(other):
        due, came = (len(axes) - len(run) for axes, run in zip((first, other), variadic, strict=True))
        behind = " behind the batch" if variadic[0] else ""
        return f"it has {counted(came, 'axis', 'axes')}{behind}, not {due}"
    pairs = list(enumerate(_from_the_end(first, other), start=1))
    for place, (due, came) in reversed(pairs):
        if isinstance(due.size, int) and isinstance(came.size, int) and due.size != came.size:
            return f"axis {-place} is {came.size}, not {due.size}"
    return None


def show_axes(axes: Axes) -> str:
    return f"({', '.join(map(str, axes))})"


def counted(number: int, one: str, many: str | None = None) -> str:
    """`1 output`, `2 outputs`."""
    return f"{number} {one if number == 1 else many or one + 's'}"


def _pass_through_leaf(name: str, layer: Layer, came: Flow) -> Flow:
    taken, given = annotations(layer)
    options = [_read(option, layer, {}) for option in taken]
    bound: list[dict[str, int]] = [{} for _ in options]
    if options and isinstance(came, Several):
        _refuse(name, options, came, "one is due")
    if options and isinstance(came, Told):
        if taken == [given] and _EACH_MATRIX.fullmatch(taken[0]) and _other_order(came.axes, options[0]):
            # What treats each matrix by itself does so in any layout.
            return Told(name, came.axes)
        facts = [_first_misfit(came.axes, *option) for option in zip(options, bound, strict=True)]
        if all(facts):
            _refuse(name, options, came, str(facts[0]))
    if given is None or len(options) != 1:
        return None
    variadic, run = _run(options[0], came.axes if isinstance(came, Told) else options[0])

    def told(dim_str: str | None) -> Told | None:
        if dim_str is None:
            return None
        axes = _read(dim_str, layer, bound[0])
        spread = (run if axis.variadic and axis.label == variadic else (axis,) for axis in axes)
        return Told(name, tuple(itertools.chain.from_iterable(spread)))

    return Several(name, tuple(map(told, given))) if isinstance(given, tuple) else told(given)


def _refuse(name: str, options: Sequence[Axes], came: Told | Several, fact: str) -> NoReturn:
    raise ContractError(f"{name} takes {' or '.join(map(show_axes, options))}, but {came}: {fact}.")


def _demands_in_turn(layers: Sequence[Layer], needed: Axes | None = None) -> Axes | None:
    """What the first takes, `needed` being what is taken of the last."""
    for layer in reversed(layers):
        if isinstance(layer, eqx.nn.Sequential):
            needed = _demands_in_turn(layer.layers, needed)
        elif isinstance(layer, Composite):
            needed = layer.demands()
        else:
            needed = _demands_of_leaf(layer, needed)
    return needed


def _demands_of_leaf(layer: Layer, needed: Axes | None) -> Axes | None:
    taken, given = annotations(layer)
    if len(taken) != 1:
        return None
    bindings: dict[str, int] = {}
    out = _read(given, layer, {}) if isinstance(given, str) else ()
    for mine, theirs in _from_the_end(out, needed or ()):
        if mine.size is None and isinstance(theirs.size, int):
            bindings.setdefault(mine.label, theirs.size)
    return _read(taken[0], layer, bindings)


def _read(dim_str: str, layer: Layer, bindings: Mapping[str, int]) -> Axes:
    # A broadcast axis, such as `#3`, may also be 1, so that nothing is known of it.
    axes = read_axes(dim_str, {"self": layer}, bindings)
    return tuple(Axis("_", None, axis.variadic) if axis.broadcastable else axis for axis in axes)


def annotations(layer: Layer) -> tuple[list[str], str | tuple[str | None, ...] | None]:
    """The shape strings that `layer` takes first, one for each option, and that, or those, of what it gives."""
    called = type(layer).__call__ if isinstance(layer, eqx.Module) else layer
    try:
        signature = evaluated_signature(inspect.unwrap(called), {type(layer).__name__: type(layer)})
    except (TypeError, ValueError):
        return [], None
    parameters = [parameter for parameter in signature.parameters.values() if parameter.name != "self"]
    taken = array_annotations(parameters[0].annotation) if parameters else ()
    return list(dict.fromkeys(array.dim_str for array in taken)), _given(signature.return_annotation)


def _given(hint: Any) -> str | tuple[str | None, ...] | None:
    if typing.get_origin(hint) is not tuple:
        return _dim_str(hint)
    parts = typing.get_args(hint)
    if parts[-1] is eqx.nn.State:
        return _given(parts[0]) if len(parts) == 2 else None
    return None if Ellipsis in parts else tuple(map(_dim_str, parts))


def _dim_str(hint: Any) -> str | None:
    arrays = list(dict.fromkeys(array.dim_str for array in array_annotations(hint)))
    return arrays[0] if len(arrays) == 1 else None


def _from_the_end(first: Axes, other: Axes) -> list[tuple[Axis, Axis]]:
    """The axes of both that stand at the same place, counted from the end, up to a variadic one."""
    pairs: list[tuple[Axis, Axis]] = []
    for pair in zip(reversed(first), reversed(other), strict=False):
        if any(axis.variadic for axis in pair):
            break
        pairs.append(pair)
    return pairs


def _run(taken: Axes, came: Axes) -> tuple[str | None, Axes]:
    """The name of the variadic axis that `taken` begins with, and the axes of `came` for which it stands."""
    if not taken or not taken[0].variadic or not taken[0].label.isidentifier() or taken[0].label == "_":
        return None, ()
    behind = len(taken) - 1
    front, tail = came[: len(came) - behind], came[len(came) - behind :]
    if len(came) < behind or any(axis.variadic for axis in tail):
        return None, ()
    return taken[0].label, front


def _first_misfit(given: Axes, taken: Axes, bindings: dict[str, int]) -> str | None:
    order = _other_order(given, taken)
    if order:
        return order
    for place, (out, into) in enumerate(_from_the_end(given, taken), start=1):
        expected = into.size if into.size is not None else bindings.get(into.label)
        if isinstance(out.size, int):
            if expected is not None and out.size != expected:
                return difference(into.label, -place, out.size, expected)
            if into.label != "_":
                bindings.setdefault(into.label, out.size)
    # A variadic axis may be empty; without one, the axes that are there must be those that are due.
    least, most = (sum(not axis.variadic for axis in axes) for axes in (given, taken))
    open_given, open_taken = least < len(given), most < len(taken)
    if (least > most and not open_taken) or (least < most and not open_given):
        return f"it has {least} axes, {most} are due"
    return None


def _other_order(given: Axes, taken: Axes) -> str | None:
    """How arrays of matrices differ in the order of their axes, as those of two layouts do; or `None`."""
    pairs = _from_the_end(given, taken)
    if [into.label for _, into in pairs[:2]] != ["n", "n"]:
        return None
    for place, (out, into) in enumerate(pairs, start=1):
        came, due = _kind(out), _kind(into)
        if came and due and came != due:
            return f"axis {-place} holds {came}, and {due} are due"
    return None


def _kind(axis: Axis) -> str | None:
    """What an axis holds, by its letter."""
    letter = axis.label.removesuffix("_out")
    return "neurons" if letter in ("p", "q") else "places" if letter in ("t", "d", "h", "w") else None
