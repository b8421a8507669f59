"""A cost as a formula of the sizes that have a name."""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction

Powers = tuple[tuple[str, int], ...]


@dataclass(frozen=True)
class Polynomial:
    """A polynomial of named sizes, such as `3·t² + 5·t`.

    **Arguments:** `terms`: the powers of the names in each term, and its factor; no factor is 0.
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


def _term(powers: Powers, factor: Fraction) -> str:
    names = "·".join(name + ("" if power == 1 else f"^{power}") for name, power in powers)
    number = f"{factor.numerator:,}"
    over = "" if factor.denominator == 1 else f"/{factor.denominator}"
    if not names:
        return number + over
    return {"1": "", "-1": "-"}.get(number, number + "·") + names + over
