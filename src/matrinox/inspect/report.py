"""What `check` found: a `Report` of `Row`s, which prints as a plain table of a fixed layout.

To show it otherwise: `report.HEADER` has the titles of the columns and `report.cells()` the text of every row, in which
each path is indented by its depth; `report.total()` is the text of the last line. The figures themselves are in
`report.rows` and in the totals `report.parameters`, `report.bytes`, `report.flops_forward`, `report.flops_backward`.
"""

from dataclasses import dataclass
from typing import ClassVar

from matrinox.inspect.polynomial import Polynomial

Size = int | Polynomial
Shape = tuple[Size, ...]


@dataclass(frozen=True)
class Row:
    """One call of a layer.

    **Arguments:** `path`: of the layer in the model, `""` for the model itself; `kind`: its class, and the method if it
    is another than the call; `inputs`, `outputs`: the shapes of the arrays that come and go, without keys and states;
    `parameters`, `bytes`: of the layer as it is called, with those of the layers in it; `flops_forward`: of all its
    calls in this place, with those of the layers in it; `flops_backward`: what the gradient by its parameters and
    inputs takes beside that, `None` where there is none; `depth`: how many calls it is inside of; `calls`: how often it
    runs, as in a scan or a `vmap`.
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
    `flops_forward`, `flops_backward`: of one call of the model.
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

    def cells(self) -> tuple[tuple[str, ...], ...]:
        """The text of every row, column by column as in `HEADER`."""
        return tuple(_cells(row) for row in self.rows)

    def total(self) -> str:
        """The totals in a line."""
        return (
            f"{count_text(self.parameters)} parameters, {count_text(self.bytes)} bytes, FLOPs: "
            f"{count_text(self.flops_forward)} forward, {count_text(self.flops_backward)} backward"
        )

    def __str__(self) -> str:
        table = (self.HEADER, *self.cells())
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = [
            "  ".join(
                cell.rjust(width) if column >= self.NUMBERS else cell.ljust(width)
                for column, (cell, width) in enumerate(zip(row, widths, strict=True))
            ).rstrip()
            for row in table
        ]
        return "\n".join([*lines, self.total()])


def _cells(row: Row) -> tuple[str, ...]:
    numbers = (row.calls, row.parameters, row.bytes, row.flops_forward, row.flops_backward)
    path = "  " * row.depth + (row.path or "model")
    return (path, row.kind, _shapes_text(row.inputs), _shapes_text(row.outputs), *map(count_text, numbers))


def _shapes_text(shapes: tuple[Shape, ...]) -> str:
    return ", ".join(f"({', '.join(map(str, shape))})" for shape in shapes) or "-"


def count_text(count: Size | None) -> str:
    """A number with its thousands apart, a formula as it is, and a dash for none."""
    return "-" if count is None else f"{count:,}" if isinstance(count, int) else str(count)
