"""`summary`: what `check` finds, shown where it is looked at: in colours, as HTML, or as plain text."""

import html
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import IO, Any

import equinox as eqx
from jaxtyping import PRNGKeyArray, PyTree
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from matrinox.contract import contract
from matrinox.inspect.check import check
from matrinox.inspect.report import Report
from matrinox.nn.tracing import table

_STYLE = "border-collapse:collapse;font-family:monospace;font-size:0.9em"
_CELL = "padding:0 0.8em;white-space:pre;text-align:"


@dataclass(frozen=True, eq=False, repr=False)
class Summary:
    """The shapes and costs of a model, to look at. What `summary` gives.

    In a notebook it is an HTML table, under which the model can be unfolded if treescope is installed; `print` gives
    plain text of a fixed layout, and `show` a table in colours in a terminal.

    **Arguments:** `report`: what `check` found, with the figures; `model`: which it is of; `depth`: how deep the layers
    lie that are shown, all where `None`.
    """

    report: Report
    model: Any
    depth: int | None = None

    def show(self, file: IO[str] | None = None) -> None:
        """Writes the table: in colours to a terminal, as HTML in a notebook, else as plain text.

        **Arguments:** `file`: where to, standard output where `None`.
        """
        console = Console(file=file)
        if console.is_terminal or console.is_jupyter:
            console.print(self)
        else:
            print(self, file=file)

    def tree(self) -> str:
        """The model as treescope shows it: a whole page of HTML, in which every part can be unfolded.

        **Raises:** `ImportError` if treescope is not installed.
        """
        try:
            import treescope
        except ImportError as error:
            raise ImportError('treescope is not installed: pip install "matrinox[viz]"') from error
        return str(treescope.render_to_html(self.model))

    def __str__(self) -> str:
        rows = [Report.HEADER, *(cells for _, cells in self._shown())]
        return f"{table(rows, numbers=Report.NUMBERS)}\n{self.report.total()}"

    __repr__ = __str__

    def __rich__(self) -> Group:
        shown = Table(box=None, pad_edge=False, header_style="bold")
        for column, name in enumerate(Report.HEADER):
            number = column >= Report.NUMBERS
            shown.add_column(name, justify="right" if number else "left", overflow="fold", no_wrap=column == 1)
        for depth, (path, *cells) in self._shown():
            shown.add_row(Text(path, style="cyan"), *map(Text, cells), style="" if depth else "bold")
        return Group(shown, Text(self.report.total(), style="bold"))

    def _repr_html_(self) -> str:
        head = "".join(_html_cell(name, column, "th") for column, name in enumerate(Report.HEADER))
        body = "".join(
            f"<tr>{''.join(_html_cell(cell, column, 'td') for column, cell in enumerate(cells))}</tr>"
            for _, cells in self._shown()
        )
        page = f'<table style="{_STYLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
        page += f"<p>{html.escape(self.report.total())}</p>"
        if find_spec("treescope") is not None:
            page += f"<details><summary>{html.escape(type(self.model).__name__)}</summary>{self.tree()}</details>"
        return page

    def _shown(self) -> list[tuple[int, tuple[str, ...]]]:
        """How deep each layer lies that is shown, and the text of its columns."""
        rows = zip(self.report.rows, self.report.cells(), strict=True)
        return [(row.depth, cells) for row, cells in rows if self.depth is None or row.depth <= self.depth]


@contract
def summary(
    model: Callable[..., Any],
    *shapes: PyTree,
    depth: int | None = None,
    key: PRNGKeyArray | None = None,
    state: eqx.nn.State | None = None,
    **options: Any,
) -> Summary:
    """The table of `check`, made to be looked at: `summary(model, shape).show()`, or the last line of a cell.

    **Arguments:** `model`, `shapes`, `key`, `state`, `options`: as for `check`; `depth`: how deep the layers lie that
    are shown: 0 for the model alone, 1 with the layers that it calls, all where `None`.
    **Returns:** a `Summary`: HTML in a notebook, colours in a terminal by `show`, plain text by `print`.
    **Raises:** as `check`; `ValueError` for a `depth` below 0.

    >>> import jax
    >>> from matrinox import nn
    >>> k0, k1 = jax.random.split(jax.random.key(0))
    >>> model = nn.Sequential([nn.MLP(p=2, q=3, n=2, hidden=(4,), key=k0), nn.Trace()])
    >>> print(summary(model, (32, 2, 2, 2), depth=1))
    path         type        input          output         calls  parameters  bytes  FLOPs forward  FLOPs backward
    model        Sequential  (32, 2, 2, 2)  (32, 3)            1         108    432         12,324          22,756
      layers[0]  MLP         (32, 2, 2, 2)  (32, 3, 2, 2)      1         108    432         11,648          22,372
      layers[1]  Trace       (32, 3, 2, 2)  (32, 3)            1           0      0            676             384
    108 parameters, 432 bytes, FLOPs: 12,324 forward, 22,756 backward
    """
    if depth is not None and depth < 0:
        raise ValueError(f"`depth` (={depth}) must be at least 0: it is that of the deepest layers to show.")
    return Summary(check(model, *shapes, key=key, state=state, verbose=False, **options), model, depth)


def _html_cell(text: str, column: int, tag: str) -> str:
    side = "right" if column >= Report.NUMBERS else "left"
    return f'<{tag} style="{_CELL}{side}">{html.escape(text)}</{tag}>'
