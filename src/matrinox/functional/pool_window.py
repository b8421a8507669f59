"""The windows of a pool: where they lie, what each of their entries meets, and what their options mean."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import reduce
from math import prod
from typing import Any, TypeVar

import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from matrinox.contract import AnyArray
from matrinox.functional.precision import widen
from matrinox.functional.window import LETTERS, Padding, Pairs, Sizes, pad_pairs, per_axis, require_fit, spread_size

_Pool = TypeVar("_Pool", bound=Callable[..., Array])
_Choice = tuple[Any, ...]

MOST_SLICES = 4
"""A window longer than this is not met entry by entry, which would take long to compile."""

_OPTIONS = """\
**Arguments:** {before}`x`: `(*batch, {space}, p, n, n)`;
- `window`, `stride`: an int, or one for each axis; a `None` stride is the window;
- `padding`: `"VALID"`; `"SAME"`, which puts (e − 1) // 2 before and the rest of e − 1 after, for a window of extent
  e = dilation · (window − 1) + 1; an int for all sides; or an int or a pair `(before, after)` for each axis; it comes
  around the dilated input;
- `dilation`, `input_dilation`: an int, or one for each axis: the steps from entry to entry of a window, and from entry
  to entry of `x`, between which they leave holes{behind}.
**Returns:** `(*batch, {space_out}, p, n, n)`: along an axis of length l = input_dilation · (t − 1) + 1, padding
counted, (l − e) // stride + 1 windows.
**Raises:** `ContractError` if the trailing axes of `x` are not `({space}, p, n, n)` with square matrices;
`ValueError` for a size below 1 or of another count of axes, for padding that is negative, as long as the window, or of
a wrong name or count, for a window longer than a padded axis{refused}.
"""

NOT_EMPTY = ", and for windows\nthat meet nothing but padding and holes"
"""What a pool that picks an entry refuses besides."""


def explains_windows(axes: int, *, before: str = "", behind: str = "", refused: str = "") -> Callable[[_Pool], _Pool]:
    """Puts into a pool's docstring, before its source, what all pools take, give and refuse alike.

    So it is said once, and is in the `help` of each pool all the same.

    **Arguments:** `axes`: over which the pool goes; `before`, `behind`, `refused`: what it takes before `x` and after
    the options of windows, and what else it refuses.
    **Returns:** the decorator, which gives back the function it got.
    """
    letters = LETTERS[axes]
    options = _OPTIONS.format(
        space=", ".join(letters),
        space_out=", ".join(f"{letter}'" for letter in letters),
        **{"before": before, "behind": behind, "refused": refused},
    )

    def explain(pool: _Pool) -> _Pool:
        law, mark, source = inspect.cleandoc(pool.__doc__ or "").partition("**Source:**")
        pool.__doc__ = law + options + mark + source
        return pool

    return explain


@dataclass(frozen=True)
class Windows:
    """Windows over the space axes of `(*batch, *space, p, n, n)`; every field has an entry for each axis.

    `spreads` are the steps between the entries of the input: `spread - 1` holes stand between each two.
    """

    sizes: tuple[int, ...]
    strides: tuple[int, ...]
    pairs: Pairs
    dilations: tuple[int, ...]
    spreads: tuple[int, ...]

    @property
    def extents(self) -> list[int]:
        """How many places a window spans."""
        return [spread_size(size, step) for size, step in zip(self.sizes, self.dilations, strict=True)]

    @property
    def meet_only_entries(self) -> bool:
        """Whether there is neither padding nor a hole."""
        return max(max(pair) for pair in self.pairs) == 0 and max(self.spreads) == 1

    def along(self, x: Array, axis: int, fill: float) -> list[Array]:
        """What each entry of the windows meets along one space axis: an array for each, with a place for each stop.

        Padding and holes hold `fill`.
        """
        place, x = self._padded(x, axis, fill)
        stride, step, extent = self.strides[axis], self.dilations[axis], self.extents[axis]
        span = (x.shape[place] - extent) // stride * stride + 1
        return [lax.slice_in_dim(x, first, first + span, stride, place) for first in range(0, extent, step)]

    def gathered(self, x: Array, fill: float) -> Array:
        """What each window meets: `(*batch, *space, p, n, n)` to `(window, *batch, *space', p, n, n)`."""
        axes = len(self.sizes)
        for axis in reversed(range(axes)):
            if self.sizes[axis] <= MOST_SLICES:
                x = jnp.stack(self.along(x, axis, fill))
            else:
                place, x = self._padded(x, axis, fill)
                stops = np.arange(0, x.shape[place] - self.extents[axis] + 1, self.strides[axis])
                met = self.dilations[axis] * np.arange(self.sizes[axis])[:, None] + stops
                x = jnp.moveaxis(jnp.take(x, met, axis=place, mode="clip"), place, 0)
        return x.reshape(prod(self.sizes), *x.shape[axes:])

    def best(self, better: Callable[[_Choice, _Choice], _Choice], x: _Choice, fill: _Choice) -> _Choice:
        """The best of what each window meets, as `better` of a choice and a later one tells: arrays alike in shape.

        `better` of a choice and itself must be that choice.
        """
        for axis in reversed(range(len(self.sizes))):
            if self.sizes[axis] <= MOST_SLICES:
                met = zip(*(self.along(a, axis, hole) for a, hole in zip(x, fill, strict=True)), strict=True)
                x = reduce(better, met)
            else:
                x = self._best_by_doubling(better, x, fill, axis)
        return x

    def _best_by_doubling(
        self, better: Callable[[_Choice, _Choice], _Choice], x: _Choice, fill: _Choice, axis: int
    ) -> _Choice:
        # The best of the first 2, 4, 8, … entries from every place on: few steps to compile, however long the window.
        padded = [self._padded(a, axis, hole) for a, hole in zip(x, fill, strict=True)]
        place, x = padded[0][0], tuple(a for _, a in padded)
        known, size, step = 1, self.sizes[axis], self.dilations[axis]
        while known < size:
            more = min(known, size - known)
            end = x[0].shape[place]
            first = tuple(lax.slice_in_dim(a, 0, end - more * step, axis=place) for a in x)
            x = better(first, tuple(lax.slice_in_dim(a, more * step, end, axis=place) for a in x))
            known += more
        return tuple(lax.slice_in_dim(a, 0, a.shape[place], self.strides[axis], place) for a in x)

    def _padded(self, x: Array, axis: int, fill: float) -> tuple[int, Array]:
        """Where a space axis stands, and `x` with padding and holes along it."""
        place = axis - len(self.sizes) - 3 + x.ndim
        edges = [(0, 0, 0)] * x.ndim
        edges[place] = (*self.pairs[axis], self.spreads[axis] - 1)
        return place, lax.pad(x, jnp.array(fill, x.dtype), edges)

    def of_rank(self, rank: int) -> dict[str, Any]:
        """What `lax.reduce_window` takes for an array of `rank` axes."""
        batch = rank - len(self.sizes) - 3

        def whole(entries: tuple[Any, ...], elsewhere: Any) -> tuple[Any, ...]:
            return (*(elsewhere,) * batch, *entries, *(elsewhere,) * 3)

        return {
            "window_dimensions": whole(self.sizes, 1),
            "window_strides": whole(self.strides, 1),
            "padding": whole(self.pairs, (0, 0)),
            "window_dilation": whole(self.dilations, 1),
            "base_dilation": whole(self.spreads, 1),
        }


def window_sums(x: AnyArray, windows: Windows) -> Array:
    """The sum of each window's entries, half precision in float32: padding and holes hold zeros."""
    x = widen(x)
    return lax.reduce_window(x, 0.0, lax.add, **windows.of_rank(x.ndim))


def windows_over(shape: Sequence[int], axes: int, *options: Any) -> Windows:
    """The windows of these options, as `windows_of` takes them, if they fit into `(*batch, *space, p, n, n)`.

    **Raises:** `ValueError` as `windows_of`, and for a window longer than a padded axis.
    """
    windows, space = windows_of(axes, *options), shape[-3 - axes : -3]
    lengths = [spread_size(size, spread) for size, spread in zip(space, windows.spreads, strict=True)]
    require_fit("window", windows.extents, lengths, windows.pairs)
    return windows


def windows_of(
    axes: int, window: Sizes, stride: Sizes | None, padding: Padding, dilation: Sizes, input_dilation: Sizes
) -> Windows:
    """The windows that the options of a pool stand for.

    **Raises:** `ValueError` for options without a meaning.
    """
    sizes = per_axis("window", window, axes)
    strides = sizes if stride is None else per_axis("stride", stride, axes)
    dilations = per_axis("dilation", dilation, axes)
    spreads = per_axis("input_dilation", input_dilation, axes)
    extents = [spread_size(size, step) for size, step in zip(sizes, dilations, strict=True)]
    pairs = pad_pairs(padding, extents)
    for extent, pair in zip(extents, pairs, strict=True):
        if max(pair) >= extent:
            spans = "" if max(dilations) == 1 else f", which spans {extent}"
            raise ValueError(
                f"`padding` (={padding}) must be shorter than `window` (={window}){spans}, or a window would see "
                f"nothing else: choose at most {min(extents) - 1}."
            )
    return Windows(sizes, strides, pairs, dilations, spreads)


def require_entries(windows: Windows, space: Sequence[int]) -> None:
    """Refuses windows that meet nothing but padding and holes somewhere over axes of these lengths."""
    for axis, (letter, places) in enumerate(zip(LETTERS[len(space)], space, strict=True)):
        size, step, spread = windows.sizes[axis], windows.dilations[axis], windows.spreads[axis]
        before, after = windows.pairs[axis]
        length = spread_size(places, spread)
        stops = np.arange(-before, length + after - windows.extents[axis] + 1, windows.strides[axis])
        met = stops[:, None] + step * np.arange(size)
        empty = ~((met >= 0) & (met < length) & (met % spread == 0)).any(axis=1)
        if empty.any():
            raise ValueError(
                f"`window` (={size} along {letter}, in steps of {step}) must meet an entry of `x` wherever it stops, "
                f"and at place {stops[empty][0]} it meets only padding and the holes of `input_dilation` (={spread}): "
                f"choose a longer `window`, or a `stride` that passes over such places."
            )
