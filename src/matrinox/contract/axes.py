"""Axis letters, array aliases, and jaxtyping shape strings read against real sizes.

A shape string such as `"*batch {self.p} {self.n} {self.n}"` comes in with the arguments that its expressions name;
a tuple of `Axis` comes out, sizes filled in, ready to be printed or compared with the shape of an array.
"""

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

import jaxtyping
import numpy as np
from beartype import BeartypeConf
from jax import Array

from matrinox.contract.sizes import is_array_annotation, label_of, spell_out

AnyArray = Array | np.ndarray
"""What public functions accept: a JAX array or a NumPy array, never a list."""

RULES = BeartypeConf(is_pep484_tower=True)
"""How beartype checks: an int passes for a float, as it does for type checkers."""

UNIONS = (Union, types.UnionType)

NEURONS = ("p", "q")
TIMES = ("t", "s")
SPACES = ("d", "h", "w")
EXAMPLES = ("examples",)


@dataclass(frozen=True)
class Axis:
    """One axis of a shape string. `size` is `None` while free, a tuple for a bound variadic axis."""

    label: str
    size: int | tuple[int, ...] | None
    variadic: bool = False
    broadcastable: bool = False

    def __str__(self) -> str:
        star = "*" if self.variadic else ""
        if self.size is None:
            return star + self.label
        return self.label if self.label.isdigit() else f"{star}{self.label}={self.size}"


def array_annotations(hint: Any) -> tuple[type[jaxtyping.AbstractArray], ...]:
    """The jaxtyping arrays that `hint` offers: the hint itself, or those in its union."""
    options = get_args(hint) if get_origin(hint) in UNIONS else (hint,)
    return tuple(option for option in options if is_array_annotation(option))


def read_axes(dim_str: str, arguments: Mapping[str, Any], bindings: Mapping[str, Any]) -> tuple[Axis, ...]:
    """Reads a jaxtyping shape string.

    **Arguments:** `dim_str`: as written in the annotation; `arguments`: what `{…}` expressions may name;
    `bindings`: sizes of the axis names bound so far (a tuple for a variadic one).
    **Returns:** one `Axis` a token, or those it stands for; a name not yet bound, or an expression that cannot be
    evaluated, has size `None`.
    """
    return tuple(_read_axis(token, arguments, bindings) for token in spell_out(dim_str, arguments).split())


def _read_axis(token: str, arguments: Mapping[str, Any], bindings: Mapping[str, Any]) -> Axis:
    if token == "...":
        return Axis("...", None, variadic=True)
    name = token.lstrip("#*_?")
    flags = token[: len(token) - len(name)]
    if "_" in flags:
        return Axis(name or "_", None, variadic="*" in flags)
    label, name = label_of(name), name.rpartition("=")[2]
    size = bindings.get(name) if name.isidentifier() else _evaluate(name, arguments, bindings)
    return Axis(label, size, variadic="*" in flags, broadcastable="#" in flags)


def _evaluate(expression: str, arguments: Mapping[str, Any], bindings: Mapping[str, Any]) -> int | None:
    # The same two steps as jaxtyping's own: the f-string over the arguments, then arithmetic over the axis names.
    try:
        return int(eval(eval(f"f'{expression}'", dict(arguments)), dict(bindings)))
    except Exception:
        return None


def first_difference(axes: tuple[Axis, ...], shape: tuple[int, ...]) -> str | None:
    """Says how `shape` first departs from `axes`, or `None` where it fits.

    **Arguments:** `axes`: as `read_axes` gives them; `shape`: of the array.
    **Returns:** such as `"axis -1 is 5, n is 4"`. Axes behind a variadic one are counted from the end.
    """
    due = [axis for axis in axes if not axis.variadic]
    open_ended = len(due) < len(axes)
    if len(shape) < len(due) or (not open_ended and len(shape) > len(due)):
        count = "1 axis" if len(shape) == 1 else f"{len(shape)} axes"
        return f"it has {count}, {'at least ' if open_ended else ''}{len(due)} are due"
    bound: dict[str, int] = {}
    for axis, position in align(axes, len(shape)):
        if isinstance(position, slice):
            if axis.size is not None and shape[position] != axis.size:
                return f"the axes of *{axis.label} are {shape[position]}, *{axis.label} is {axis.size}"
            continue
        size = shape[position]
        expected = axis.size if axis.size is not None else bound.get(axis.label)
        if axis.label.isidentifier() and axis.label != "_":
            bound.setdefault(axis.label, size)
        if expected is not None and size != expected and not (axis.broadcastable and size == 1):
            return difference(axis.label, position, size, expected)
    return None


def difference(label: str, position: int, size: int, expected: int | tuple[int, ...]) -> str:
    """`"axis -1 is 5, n is 4"`; for an axis that is written as a number, `"axis -1 is 5, not 4"`."""
    return f"axis {position} is {size}, " + (f"not {expected}" if label.isdigit() else f"{label} is {expected}")


def align(axes: tuple[Axis, ...], rank: int) -> Iterator[tuple[Axis, int | slice]]:
    """Pairs each axis with its place in a shape of `rank` axes: an index, or a slice for the variadic one (last)."""
    variadic = next((i for i, axis in enumerate(axes) if axis.variadic), None)
    if variadic is None:
        yield from zip(axes, range(rank), strict=False)
        return
    behind = len(axes) - variadic - 1
    yield from zip(axes[:variadic], range(variadic), strict=True)
    yield from zip(axes[variadic + 1 :], range(-behind, 0), strict=True)
    yield axes[variadic], slice(variadic, rank - behind)


def bind(axes: tuple[Axis, ...], shape: tuple[int, ...], bindings: dict[str, Any]) -> None:
    """Adds to `bindings` the sizes that a fitting `shape` gives to the names in `axes`."""
    for axis, position in align(axes, len(shape)):
        if axis.label.isidentifier() and axis.label != "_":
            bindings.setdefault(axis.label, shape[position])
