"""What `check` found: a `Report` of `Row`s, which prints as a plain table of a fixed layout.

To show it otherwise: `report.HEADER` has the titles of the columns and `report.cells()` the text of every row, in which
each path is indented by its depth; the columns from `report.NUMBERS` on are numbers; `report.total()` is the text of
the last line. The figures themselves are in `report.rows` and in the totals `report.parameters`, `report.bytes`,
`report.flops_forward`, `report.flops_backward`. Each is an `int`, or, where an axis was given by a name, it may be a
formula of that name, whose text is `str(figure)`; `report.at(t=128)` is the report in numbers.
"""

import dataclasses
from dataclasses import dataclass
from typing import Any, ClassVar

from matrinox.inspect.polynomial import Polynomial, Sample, Size, evaluated
from matrinox.nn.tracing import table

Shape = tuple[Size, ...]


@dataclass(frozen=True)
class Row:
    """One call of a layer, in one place of the program.

    **Arguments:** `path`: of the layer in the model, `""` for the model itself; `layers[*]` stands for all layers of a
    scan over stacked ones; `kind`: its class, and the method if it is another than the call; `inputs`, `outputs`: the
    shapes of the arrays that come and go, without keys and states; `parameters`: the entries of its arrays of floats,
    and `bytes`: those of all its arrays, as the layer is called, with those of the layers in it; `flops_forward`: of
    all its calls here, with those of the layers in it; `flops_backward`: what the gradient by its parameters and
    inputs takes beside that, `None` where it cannot be told; `depth`: how many calls it is inside of; `calls`: how
    often it runs here, as in a scan or under `vmap`.
    """

    path: str
    kind: str
    inputs: tuple[Shape, ...]
    outputs: tuple[Shape, ...]
    parameters: Size
    bytes: Size
    flops_forward: Size
    flops_backward: Size | None
    depth: int
    calls: Size = 1


@dataclass(frozen=True)
class Report:
    """The calls of all layers of a model, in the order in which they run; prints as a table.

    **Arguments:** `rows`: the first is that of the model itself; `parameters`, `bytes`: of the model, each array once;
    `flops_forward`, `flops_backward`: of one call of the model; `multiples`: of what a named size must be a multiple
    for the formulas to hold, where it must, such as `("t", 2)` where a pool halves it.
    """

    HEADER: ClassVar[tuple[str, ...]] = (
        *("path", "type", "input", "output", "calls", "parameters", "bytes", "FLOPs forward", "FLOPs backward"),
    )
    NUMBERS: ClassVar[int] = 4
    """The column from which on there are numbers, which are aligned to the right."""

    rows: tuple[Row, ...]
    parameters: Size
    bytes: Size
    flops_forward: Size
    flops_backward: Size | None
    multiples: tuple[tuple[str, int], ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The named sizes that the figures depend on, in alphabetical order."""
        found: set[str] = set()
        _each_size(self, lambda size: found.update(_names(size)) or size)
        return tuple(sorted(found))

    def at(self, **sizes: int) -> "Report":
        """The report in numbers, where the named axes have these sizes.

        **Raises:** `ValueError` for a name without a size, an unknown name, a size below 1 or none of `multiples`,
        and for other sizes than were tried where a cost is no polynomial.
        """
        if set(sizes) != set(self.names):
            raise ValueError(f"`sizes` (={sizes}) must be those of {', '.join(self.names) or 'no name'}: give each.")
        for name, size in sizes.items():
            multiple = dict(self.multiples).get(name, 1)
            if size < 1 or size % multiple:
                raise ValueError(
                    f"`{name}` (={size}) must be a multiple of {multiple} for the formulas to hold: "
                    "give `check` the sizes as numbers."
                )
        return dataclasses.replace(_each_size(self, lambda size: evaluated(size, sizes)), multiples=())

    def cells(self) -> tuple[tuple[str, ...], ...]:
        """The text of every row, column by column as in `HEADER`."""
        return tuple(_cells(row) for row in self.rows)

    def total(self) -> str:
        """The totals in a line, and a second one if formulas hold for some sizes alone."""
        text = (
            f"{_count(self.parameters)} parameters, {_count(self.bytes)} bytes, FLOPs: "
            f"{_count(self.flops_forward)} forward, {_count(self.flops_backward)} backward"
        )
        if self.multiples:
            divisible = " and ".join(f"{name} can be divided by {divisor}" for name, divisor in self.multiples)
            text += f"\nThe formulas hold where {divisible}."
        return text

    def __str__(self) -> str:
        return f"{table((self.HEADER, *self.cells()), numbers=self.NUMBERS)}\n{self.total()}"


def sizes_of(report: Report) -> list[int]:
    """All figures of a report in numbers, in a fixed order."""
    found: list[int] = []
    _each_size(report, lambda size: found.append(size) or size)
    return found


def with_sizes(report: Report, sizes: list[Size]) -> Report:
    """The report with these figures, in the order of `sizes_of`."""
    left = iter(sizes)
    return _each_size(report, lambda _: next(left))


def _each_size(part: Any, new: Any) -> Any:
    """The report with `new(figure)` for each figure; how deep a row is, and of what formulas hold, is none."""
    if isinstance(part, int | Polynomial | Sample):
        return new(part)
    if isinstance(part, tuple):
        return tuple(_each_size(each, new) for each in part)
    if isinstance(part, Report | Row):
        fields = [field.name for field in dataclasses.fields(part) if field.name not in ("depth", "multiples")]
        return dataclasses.replace(part, **{name: _each_size(getattr(part, name), new) for name in fields})
    return part


def _names(size: Size) -> set[str]:
    if isinstance(size, Polynomial):
        return {name for powers, _ in size.terms for name, _ in powers}
    return {name for name, _ in size.sizes} if isinstance(size, Sample) else set()


def _cells(row: Row) -> tuple[str, ...]:
    figures = (row.calls, row.parameters, row.bytes, row.flops_forward, row.flops_backward)
    path = "  " * row.depth + (row.path or "model")
    return (path, row.kind, shapes_text(row.inputs), shapes_text(row.outputs), *map(_count, figures))


def shapes_text(shapes: tuple[Shape, ...]) -> str:
    """Shapes as they are printed."""
    return ", ".join(f"({', '.join(map(str, shape))})" for shape in shapes) or "-"


def _count(count: Size | None) -> str:
    return "-" if count is None else f"{count:,}" if isinstance(count, int) else str(count)
