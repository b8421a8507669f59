"""Tables on the screen."""

from collections.abc import Mapping
from typing import Any

from rich.console import Console
from rich.table import Table

from matrinox.train import Task


def facts(title: str, rows: Mapping[str, str]) -> Table:
    """A table of what is known of one thing, a line for each fact."""
    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def on_one_line(table: Mapping[str, Any]) -> str:
    """Settings on one line, those that are set; tables within them are flattened, and a `kind` speaks for itself."""
    parts = []
    for name, value in table.items():
        if value is None or value == []:
            continue
        if isinstance(value, Mapping):
            parts.append(on_one_line(value))
        elif isinstance(value, list) and value and all(isinstance(each, Mapping) for each in value):
            parts += map(on_one_line, value)
        else:
            parts.append(value if name == "kind" else f"{name} {value}")
    return ", ".join(parts)


def spelt(name: str, value: float, task: Task) -> str:
    """A figure of a task as people read it: its headline, where that is a share, as a percentage."""
    return f"{value:.2%}" if task.percent and name == task.headline else f"{value:.4f}"


def show_table(table: Table) -> None:
    """Prints a table; into a file or a pipe no line is broken, so that a path can be found in it."""
    console = Console()
    (console if console.is_terminal else Console(width=10_000)).print(table, markup=False, highlight=False)
