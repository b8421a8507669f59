"""Windows that slide over space axes, as convolutions and pools share them: sizes for each axis, and padding."""

from collections.abc import Sequence
from typing import TypeAlias, cast

from matrinox.contract import contract
from matrinox.contract.nearest import guess

# Of a tuple of any length beartype checks one entry, picked at random; of these, every entry.
Sizes: TypeAlias = int | tuple[int] | tuple[int, int] | tuple[int, int, int]
Sides: TypeAlias = int | tuple[int, int]
Padding: TypeAlias = str | int | tuple[Sides] | tuple[Sides, Sides] | tuple[Sides, Sides, Sides]
Pairs: TypeAlias = tuple[tuple[int, int], ...]

# By count of axes: the letters under which the space axes are known.
LETTERS = {1: ("t",), 2: ("h", "w"), 3: ("d", "h", "w")}


def per_axis(name: str, value: Sizes, axes: int, least: int = 1) -> tuple[int, ...]:
    """One size for each axis, `least` or more, from an int that holds for all of them or a tuple."""
    sizes = (value,) * axes if isinstance(value, int) else value
    if len(sizes) != axes:
        raise ValueError(
            f"`{name}` (={value}) must have {_count(axes, 'size')}: give an int, or one size for each axis."
        )
    if min(sizes) < least:
        remedy = "choose a positive size" if least else "choose 0 for none"
        raise ValueError(f"`{name}` (={value}) must be at least {least}: {remedy}.")
    return sizes


@contract
def down2(size: Sizes) -> Sizes:
    """The space that a convolution of stride 2 leaves: `(size − 1) // 2 + 1 = ceil(size / 2)`.

    So it is for a kernel of 3 with a padding of 1, and for a kernel of 1 with none: the two paths of a residual block
    that halves an image agree.

    **Arguments:** `size`: an int, or one for each axis.
    **Returns:** as many sizes.
    **Raises:** `ValueError` for a size below 1.
    """
    if isinstance(size, int):
        return (per_axis("size", size, 1)[0] - 1) // 2 + 1
    halves = tuple((one - 1) // 2 + 1 for one in per_axis("size", size, len(size)))
    return cast(Sizes, halves)


def spread_size(size: int, step: int) -> int:
    """How long an axis is, if `step - 1` more entries stand between each two."""
    return (size - 1) * step + 1 if size else 0


def pad_pairs(padding: Padding, extents: Sequence[int]) -> Pairs:
    """`(before, after)` for each axis; `extents` are the windows' sizes, dilation counted.

    `"SAME"` puts (extent - 1) // 2 before and the rest after, whatever the stride, as MATNETS does.
    """
    if isinstance(padding, str):
        return _named_pairs(padding, extents)
    entries = (padding,) * len(extents) if isinstance(padding, int) else padding
    if len(entries) != len(extents):
        raise ValueError(
            f"`padding` (={padding}) must have {_count(len(extents), 'entry')}: "
            f"give {tuple((1, 1) for _ in extents)} for 1 before and 1 after."
        )
    pairs = tuple((entry, entry) if isinstance(entry, int) else entry for entry in entries)
    if any(side < 0 for pair in pairs for side in pair):
        raise ValueError(f"`padding` (={padding}) must not be negative: cut the array instead.")
    return pairs


def _named_pairs(padding: str, extents: Sequence[int]) -> Pairs:
    if padding == "VALID":
        return tuple((0, 0) for _ in extents)
    if padding == "SAME":
        return tuple(((extent - 1) // 2, extent - 1 - (extent - 1) // 2) for extent in extents)
    raise ValueError(
        f"`padding` (={padding!r}) must be 'SAME', which keeps the size at a stride of 1, 'VALID', an int or pairs of "
        f"ints{guess(padding, ('SAME', 'VALID')) or '.'}"
    )


def require_fit(name: str, extents: Sequence[int], space: Sequence[int], pairs: Pairs) -> None:
    """Refuses a window that is longer than a padded axis, for which the result would have no entries."""
    for letter, extent, size, pair in zip(LETTERS[len(space)], extents, space, pairs, strict=True):
        if extent > size + sum(pair):
            raise ValueError(
                f"`{name}` spans {extent} along {letter}, which is {size} long (padded: {size + sum(pair)}): "
                f"choose a smaller `{name}`, or pad more."
            )


def _count(number: int, noun: str) -> str:
    plural = noun[:-1] + "ies" if noun.endswith("y") else noun + "s"
    return f"{number} {noun if number == 1 else plural}"
