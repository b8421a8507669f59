"""Finite groups by number: elements, and the table of their products."""

import functools
import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from matrinox.contract import contract
from matrinox.contract.nearest import nearest


@dataclass(frozen=True, eq=False)
class Group:
    """A finite group, whose elements are numbered from 0: `table[a, b]` is `a · b`, first `b` and then `a`.

    **Arguments:** `name`: such as `"A5"`; `elements`: what each is called; `table`: products, `(order, order)` int32,
    read-only; `identity`: the number of the element that changes nothing.
    """

    name: str
    elements: tuple[str, ...]
    table: np.ndarray
    identity: int

    @property
    def order(self) -> int:
        """How many elements there are."""
        return len(self.elements)

    def number(self, element: str) -> int:
        """The number of the element of that name.

        **Raises:** `ValueError` for another name, naming the nearest.
        """
        if element not in self.elements:
            raise ValueError(
                f"`element` (={element!r}) must be one of the {self.order} elements of {self.name}: "
                f"did you mean {nearest(element, self.elements)!r}?"
            )
        return self.elements.index(element)


@contract
def group_table(name: str) -> Group:
    """A group with the table of its products.

    - `"S3"`, `"S5"`: all permutations of 3 and of 5 points, 6 and 120 elements;
    - `"A5"`: the even permutations of 5 points, 60 elements, the smallest group that is not solvable;
    - `"Z60"`: the whole numbers modulo 60 under addition, 60 elements, `"0"` to `"59"`.

    A permutation takes point `i` to `σ(i)`, and `(a · b)(i) = a(b(i))`. It is called by its cycles, each from its least
    point, such as `"(1 2)(3 4 5)"`, and `"()"` is the identity; permutations are numbered in the dictionary order of
    `σ(1) σ(2) …`. The identity is number 0 in each group.

    **Arguments:** `name`: one of those.
    **Returns:** the `Group`.
    **Raises:** `ValueError` for another name, naming the nearest; `ContractError` if it is no text.

    >>> group = group_table("S3")
    >>> group.elements
    ('()', '(2 3)', '(1 2)', '(1 2 3)', '(1 3 2)', '(1 3)')
    >>> group.elements[group.table[group.number("(1 2)"), group.number("(2 3)")]]
    '(1 2 3)'
    """
    if name not in _GROUPS:
        raise ValueError(
            f"`name` (={name!r}) must be one of {', '.join(_GROUPS)}: did you mean {nearest(name, _GROUPS)!r}?"
        )
    return _build(name)


@functools.cache
def _build(name: str) -> Group:
    elements, table = _GROUPS[name]()
    table = table.astype(np.int32)
    table.setflags(write=False)
    return Group(name, elements, table, identity=0)


def _permutations(points: int, *, even: bool) -> tuple[tuple[str, ...], np.ndarray]:
    maps = np.array(list(itertools.permutations(range(points))))
    if even:
        maps = maps[[_is_even(map_.tolist()) for map_ in maps]]
    # composed[a, b, i] = a(b(i)); read as digits, permutations are in the order of numbers.
    composed, digits = maps[:, maps], points ** np.arange(points)[::-1]
    return tuple(_cycles(map_.tolist()) for map_ in maps), np.searchsorted(maps @ digits, composed @ digits)


def _is_even(map_: list[int]) -> bool:
    return sum(earlier > later for earlier, later in itertools.combinations(map_, 2)) % 2 == 0


def _cycles(map_: list[int]) -> str:
    text, seen = "", set()
    for start in range(len(map_)):
        cycle, point = [], start
        while point not in seen:
            seen.add(point)
            cycle.append(str(point + 1))
            point = map_[point]
        if len(cycle) > 1:
            text += f"({' '.join(cycle)})"
    return text or "()"


def _cyclic(order: int) -> tuple[tuple[str, ...], np.ndarray]:
    numbers = np.arange(order)
    return tuple(map(str, range(order))), (numbers[:, None] + numbers) % order


_GROUPS: dict[str, Callable[[], tuple[tuple[str, ...], np.ndarray]]] = {
    "S3": lambda: _permutations(3, even=False),
    "A5": lambda: _permutations(5, even=True),
    "S5": lambda: _permutations(5, even=False),
    "Z60": lambda: _cyclic(60),
}
