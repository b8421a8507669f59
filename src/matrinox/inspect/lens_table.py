"""A lens as a table: the least, the median and the largest value of each measure, layer by layer."""

import html
from collections.abc import Iterator, Mapping, Sequence

from rich.console import Group
from rich.table import Table
from rich.text import Text

from matrinox.inspect.lens_flags import Flag
from matrinox.inspect.measured import Measured

HEADER = ("path", "", "norm", "determinant", "condition", "symmetry", "not orth.", "col. corr.")
_STATISTICS = ("least", "median", "largest")
_STYLE = "border-collapse:collapse;font-family:monospace;font-size:0.9em"
_CELL = "padding:0 0.8em;text-align:"


def rows_of(measured: Measured) -> list[tuple[str, ...]]:
    """Three rows: path and shape, the statistic, and a number for each measure."""
    *leading, n, _ = measured.values.shape
    first = measured.path or "(the model)", f"({', '.join(map(str, (*leading, n, n)))})", ""
    columns = zip(*(measured.range(name) for name in Measured.SCALARS), strict=True)
    return [
        (label, statistic, *map(number, values))
        for label, statistic, values in zip(first, _STATISTICS, columns, strict=True)
    ]


def number(value: float) -> str:
    """Three digits: `0.25`, `1.2e+05`, `inf`."""
    return f"{value:.3g}"


def as_text(parts: Mapping[str, Mapping[str, Measured]], flags: Sequence[Flag]) -> str:
    """Plain text of a fixed layout, for a file or a log."""
    tables = {title: [row for measured in part.values() for row in rows_of(measured)] for title, part in parts.items()}
    titled = [(*((title or "path"), *HEADER[1:]),) for title in parts]
    widths = [
        max(map(len, column))
        for column in zip(*titled, *(row for rows in tables.values() for row in rows), strict=True)
    ]
    lines: list[str] = []
    for title, rows in tables.items():
        lines += _aligned((title, *HEADER[1:]), widths), "  ".join("-" * width for width in widths)
        lines += [_aligned(row, widths) for row in rows] + [""]
    return "\n".join([*lines, *map(str, flags)]).rstrip()


def _aligned(row: Sequence[str], widths: Sequence[int]) -> str:
    cells = [
        cell.ljust(width) if at < 2 else cell.rjust(width)
        for at, (cell, width) in enumerate(zip(row, widths, strict=True))
    ]
    return "  ".join(cells).rstrip()


def as_rich(parts: Mapping[str, Mapping[str, Measured]], flags: Sequence[Flag]) -> Group:
    """Tables with colours, for a terminal."""
    flagged = {flag.path for flag in flags}
    return Group(*_rich_tables(parts, flagged), *(Text(str(flag), style="yellow") for flag in flags))


def _rich_tables(parts: Mapping[str, Mapping[str, Measured]], flagged: set[str]) -> Iterator[Table]:
    for title, part in parts.items():
        table = Table(
            title=title, title_justify="left", title_style="bold", header_style="bold", box=None, pad_edge=False
        )
        for at, name in enumerate(HEADER):
            table.add_column(name, justify="left" if at < 2 else "right", no_wrap=at > 0, overflow="fold")
        for path, measured in part.items():
            for place, row in enumerate(rows_of(measured)):
                cells = [Text(cell, style="dim" if at < 2 and place else "") for at, cell in enumerate(row)]
                cells[0].stylize("yellow" if path in flagged and not place else "")
                table.add_row(*cells, style="" if place == 1 else "dim")
        yield table


def as_html(parts: Mapping[str, Mapping[str, Measured]], flags: Sequence[Flag]) -> str:
    """Tables for a notebook."""
    pieces = []
    for title, part in parts.items():
        head = "".join(_html_cell(name, at, "th") for at, name in enumerate((title, *HEADER[1:])))
        body = "".join(
            f"<tr>{''.join(_html_cell(cell, at, 'td') for at, cell in enumerate(row))}</tr>"
            for measured in part.values()
            for row in rows_of(measured)
        )
        pieces.append(f'<table style="{_STYLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>')
    notes = "".join(f"<li>{html.escape(str(flag))}</li>" for flag in flags)
    return "".join(pieces) + (f"<ul>{notes}</ul>" if notes else "")


def _html_cell(text: str, column: int, tag: str) -> str:
    return f'<{tag} style="{_CELL}{"left" if column < 2 else "right"}">{html.escape(text)}</{tag}>'
