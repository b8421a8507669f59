"""Axes counted from the end, where they mean the same whatever the batch axes in front."""

from typing import TypeAlias

# Of a tuple of any length beartype checks one entry, picked at random; of these, every entry.
AxisTuple: TypeAlias = (
    tuple[int]
    | tuple[int, int]
    | tuple[int, int, int]
    | tuple[int, int, int, int]
    | tuple[int, int, int, int, int]
    | tuple[int, int, int, int, int, int]
)
AxesFromEnd: TypeAlias = int | AxisTuple


def from_the_end(axis: int | tuple[int, ...], rank: int | None = None, *, name: str = "axis") -> tuple[int, ...]:
    """The axes that `axis` names, as a tuple; `name` is that of the argument.

    **Arguments:** `axis`: one, or several; `rank`: how many axes there are, where that is known.
    **Raises:** `ValueError` for one that is not below 0 or beyond the rank, and for one that is named twice.
    """
    axes = (axis,) if isinstance(axis, int) else axis
    if max(axes, default=-1) >= 0:
        raise ValueError(f"`{name}` (={axis}) must be below 0: count from the end, as leading axes are batch.")
    if len(set(axes)) < len(axes):
        raise ValueError(f"`{name}` (={axis}) must name each axis once: leave out what is there twice.")
    if rank is not None and min(axes, default=-1) < -rank:
        raise ValueError(f"`{name}` (={axis}) must be of the {rank} axes of x: choose from {-rank} to -1.")
    return axes
