"""In which order the axes of an array stand at the door of a convolution: `layout`.

Inside, arrays are always channel-last, `(*batch, *space, p, n, n)`. The contract's annotations follow the layout by
`axes_taken` and `axes_given`, so that a wrong shape is refused in the layout it came in.
"""

from functools import cache
from typing import TypeAlias

import jax.numpy as jnp
from jax import Array

from matrinox.contract import AnyArray
from matrinox.contract.nearest import guess
from matrinox.functional.window import LETTERS

Layout: TypeAlias = str | tuple[str, str]
"""`"channel_last"`, `"channel_first"` or axis letters such as `"p n n h w"`; in a pair, of the input and the output."""

_NAMES = ("channel_first", "channel_last")


@cache
def layouts_of(layout: Layout, axes: int) -> tuple[str, str]:
    """The axis letters of the input, such as `"h w p n n"`, and of the output, such as `"h w q n n"`.

    **Raises:** `ValueError` for an unknown name, and for letters that do not name each axis.
    """
    if isinstance(layout, str):
        taken = _letters_of("layout", layout, axes, "p")
        return taken, taken.replace("p", "q")
    return _letters_of("layout[0]", layout[0], axes, "p"), _letters_of("layout[1]", layout[1], axes, "q")


def _letters_of(what: str, layout: str, axes: int, neurons: str) -> str:
    space = LETTERS[axes]
    if layout in _NAMES:
        return " ".join((neurons, *space, "n", "n") if layout == "channel_first" else (*space, neurons, "n", "n"))
    last = " ".join((*space, neurons, "n", "n"))
    if " " not in layout:
        raise ValueError(
            f"`{what}` (={layout!r}) must be 'channel_last', 'channel_first' or axis letters such as {last!r}"
            f"{guess(layout, _NAMES) or '.'}"
        )
    if sorted(layout.split()) != sorted(last.split()):
        raise ValueError(
            f"`{what}` (={layout!r}) must name each of {', '.join((*space, neurons))} once and n twice: "
            f"reorder {last!r}."
        )
    return " ".join(layout.split())


@cache
def axes_taken(axes: int, layout: Layout, p: int, n: int, batch_groups: int = 1) -> str:
    """The axes of the input behind `*batch`, as an annotation spells them: `"h w p=2 n=4 n=4"`.

    With batch groups, the last batch axis is `examples`. Of a layout at fault they are free: it is refused by itself.
    """
    sizes = {"p": f"p={p}", "n": f"n={n}"}
    return _spelt(axes, layout, 0, sizes, "examples", batch_groups)


@cache
def axes_given(axes: int, layout: Layout, q: int, n: int, batch_groups: int = 1) -> str:
    """The axes of the output behind `*batch`, as an annotation spells them: `"_h_out _w_out q=3 n=4 n=4"`."""
    sizes = {letter: f"_{letter}_out" for letter in LETTERS[axes]} | {"q": f"q={q}", "n": f"n={n}"}
    return _spelt(axes, layout, 1, sizes, f"examples//{batch_groups}", batch_groups)


def _spelt(axes: int, layout: Layout, side: int, sizes: dict[str, str], examples: str, batch_groups: int) -> str:
    try:
        letters = layouts_of(layout, axes)[side].split()
    except ValueError:
        letters = ["_"] * (axes + 3)
    return " ".join([examples] * (batch_groups > 1) + [sizes.get(letter, letter) for letter in letters])


def to_channel_last(x: AnyArray, letters: str) -> Array:
    """`x`, whose trailing axes are `letters`, with the space axes first, then the neurons, then the matrices."""
    order = letters.split()
    return _permuted(x, sorted(range(len(order)), key=lambda place: _rank(order[place])))


def from_channel_last(y: Array, letters: str) -> Array:
    """Undoes `to_channel_last`."""
    order = letters.split()
    places = sorted(range(len(order)), key=lambda place: _rank(order[place]))
    return _permuted(y, [places.index(place) for place in range(len(order))])


def _rank(letter: str) -> int:
    return ("d", "h", "t", "w", "p", "q", "n").index(letter)


def _permuted(array: AnyArray, places: list[int]) -> Array:
    array = jnp.asarray(array)
    if places == sorted(places):
        return array
    lead = array.ndim - len(places)
    return jnp.transpose(array, (*range(lead), *(lead + place for place in places)))
