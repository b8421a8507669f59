"""Costs as formulas of the sizes that have a name, found from their values at a few sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction

Powers = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Polynomial:
    """A polynomial of named sizes, such as `3·t^2 + 5·t`.

    **Arguments:** `terms`: the powers of the names in each term, and its factor, which is not 0.
    """

    terms: tuple[tuple[Powers, Fraction], ...]

    def at(self, sizes: Mapping[str, int]) -> int:
        """The value where the names have these sizes, rounded down."""
        total = Fraction(0)
        for powers, factor in self.terms:
            for name, power in powers:
                factor *= sizes[name] ** power
            total += factor
        return total.__floor__()

    def __str__(self) -> str:
        return " + ".join(_term(powers, factor) for powers, factor in self.terms).replace("+ -", "- ") or "0"


@dataclass(frozen=True)
class Sample:
    """A cost that is no polynomial of the named sizes: its value at one of them, `sizes`."""

    value: int
    sizes: tuple[tuple[str, int], ...]

    def at(self, sizes: Mapping[str, int]) -> int:
        """The value, where it is known.

        **Raises:** `ValueError` for other sizes than those of the sample.
        """
        if any(sizes[name] != size for name, size in self.sizes):
            raise ValueError(
                f"`sizes` (={dict(sizes)}) must be {dict(self.sizes)} for a cost that is no polynomial: "
                "give `check` the sizes as numbers."
            )
        return self.value

    def __str__(self) -> str:
        return f"{self.value:,} at " + ", ".join(f"{name}={size}" for name, size in self.sizes)


Size = int | Polynomial | Sample
"""A number, a formula of the named sizes, or what it is at one of them."""


def evaluated(size: Size, sizes: Mapping[str, int]) -> int:
    """The number where the names have these sizes."""
    return size if isinstance(size, int) else size.at(sizes)


def fitted(names: Sequence[str], points: Sequence[int], values: Mapping[tuple[int, ...], int]) -> int | Polynomial:
    """The polynomial of a degree below the number of points, in each name, that has the values at all points.

    **Arguments:** `names`; `points`: the sizes at which every name was tried; `values`: at all combinations of
    the points, by the sizes of all names.
    **Returns:** the polynomial; a number where it is constant.
    """
    grid = {sizes: Fraction(value) for sizes, value in values.items()}
    bases = _bases(points)
    degrees = range(len(points))
    for axis in range(len(names)):
        # From values at the points to factors of the powers, one name after the other.
        lines = {sizes[:axis] + sizes[axis + 1 :] for sizes in grid}
        grid = {
            (*line[:axis], degree, *line[axis:]): sum(
                (grid[(*line[:axis], point, *line[axis:])] * base[degree] for point, base in bases.items()),
                Fraction(0),
            )
            for line in lines
            for degree in degrees
        }
    terms = sorted(((powers, factor) for powers, factor in grid.items() if factor), key=_order, reverse=True)
    if all(not any(powers) for powers, _ in terms):
        return int(sum(factor for _, factor in terms))
    return Polynomial(
        tuple(
            (tuple((name, power) for name, power in zip(names, powers, strict=True) if power), factor)
            for powers, factor in terms
        )
    )


def _order(term: tuple[tuple[int, ...], Fraction]) -> tuple[int, tuple[int, ...]]:
    return sum(term[0]), term[0]


def _bases(points: Sequence[int]) -> dict[int, list[Fraction]]:
    """For each point, the factors of the powers of the polynomial that is 1 there and 0 at the others."""
    bases = {}
    for point in points:
        base = [Fraction(1)]
        for other in points:
            if other != point:
                shifted = [Fraction(0), *base]
                base = [high - other * low for high, low in zip(shifted, [*base, Fraction(0)], strict=True)]
                base = [factor / (point - other) for factor in base]
        bases[point] = base
    return bases


def _term(powers: Powers, factor: Fraction) -> str:
    names = "·".join(name + ("" if power == 1 else f"^{power}") for name, power in powers)
    number, over = f"{factor.numerator:,}", "" if factor.denominator == 1 else f"/{factor.denominator}"
    if not names:
        return number + over
    return {"1": "", "-1": "-"}.get(number, number + "·") + names + over
