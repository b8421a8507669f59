"""A report as formulas of the axes that were given by a name, from what is found at a few sizes of them."""

import dataclasses
import itertools
from collections.abc import Callable, Mapping, Sequence

from matrinox.inspect.polynomial import Sample, Size, fitted
from matrinox.inspect.report import Report, sizes_of, with_sizes

# Steps between the sizes that are tried: most strides and heads divide the first, the last suits a model of few
# positions.
_STEPS = (48, 8, 2, 1)
# Enough for squares, as of attention.
_POINTS = 3

Trace = Callable[[Mapping[str, int]], Report]


def report_by_names(names: tuple[str, ...], trace: Trace) -> Report:
    """The report as formulas of the names, found by interpolation and tried at another size.

    **Arguments:** `names`: of axes; `trace`: gives the report where the names have given sizes.
    **Returns:** a report with a `Polynomial` where a figure is one, and a `Sample` where it is none.
    **Raises:** what `trace` raises, if it does so at all sizes; `ValueError` if other layers are called at other sizes.
    """
    known: dict[tuple[int, ...], Report] = {}

    def at(*sizes: int) -> Report:
        if sizes not in known:
            known[sizes] = trace(dict(zip(names, sizes, strict=True)))
            _require_alike(dict(zip(names, sizes, strict=True)), known[sizes], next(iter(known.values())))
        return known[sizes]

    step = _first_step(names, at)
    points = [step * factor for factor in range(1, _POINTS + 1)]
    figures = {sizes: sizes_of(at(*sizes)) for sizes in itertools.product(points, repeat=len(names))}
    last = step * (_POINTS + 1)
    formulas = [
        fitted(names, points, {sizes: values[index] for sizes, values in figures.items()})
        for index in range(len(figures[(points[0],) * len(names)]))
    ]
    told = _evaluated(formulas, dict.fromkeys(names, last))
    found: list[Size] = [
        formula if value == right else Sample(right, tuple((name, last) for name in names))
        for formula, value, right in zip(formulas, told, sizes_of(at(*(last,) * len(names))), strict=True)
    ]
    report = with_sizes(at(*(last,) * len(names)), found)
    divisors = {name: _divisor(name, dict.fromkeys(names, last), step, found, at) for name in names}
    return dataclasses.replace(
        report, multiples=tuple((name, divisor) for name, divisor in divisors.items() if divisor > 1)
    )


def _first_step(names: tuple[str, ...], at: Callable[..., Report]) -> int:
    """The first step at whose sizes the model can be called."""
    refusals: list[Exception] = []
    for step in _STEPS:
        try:
            for factor in (1, _POINTS + 1):
                at(*(step * factor,) * len(names))
        except Exception as error:
            refusals.append(error)
        else:
            return step
    refusals[0].add_note(f"Tried with {_sizes_text(dict.fromkeys(names, _STEPS[0]))}; other sizes did no better.")
    raise refusals[0]


def _divisor(name: str, last: Mapping[str, int], step: int, found: list[Size], at: Callable[..., Report]) -> int:
    """By what a size must be divisible for the formulas to hold: pools and strides divide with a rest."""
    for divisor in (1, 2, 4, 8):
        if divisor < step:
            sizes = {**last, name: last[name] + divisor}
            try:
                right = sizes_of(at(*sizes.values()))
            except Exception:
                # What cannot be called there tells of no formula.
                continue
            told = zip(found, _evaluated(found, sizes), right, strict=True)
            if all(isinstance(figure, Sample) or one == other for figure, one, other in told):
                return divisor
    return step


def _evaluated(formulas: Sequence[Size], sizes: Mapping[str, int]) -> list[int]:
    return [
        size if isinstance(size, int) else size.value if isinstance(size, Sample) else size.at(sizes)
        for size in formulas
    ]


def _require_alike(sizes: Mapping[str, int], report: Report, first: Report) -> None:
    places = [[(row.path, row.kind, row.depth) for row in each.rows] for each in (report, first)]
    if places[0] != places[1] or len(sizes_of(report)) != len(sizes_of(first)):
        raise ValueError(f"`shapes` name {', '.join(sizes)}, on which it depends what layers are called: give numbers.")


def _sizes_text(sizes: Mapping[str, int]) -> str:
    return ", ".join(f"{name}={size}" for name, size in sizes.items())
