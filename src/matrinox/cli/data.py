"""`matrinox data`: the data sets that are known by name."""

import dataclasses
import importlib.util

from rich.table import Table

from matrinox.cli.command import Command
from matrinox.cli.table import show_table
from matrinox.data import list_builtin, list_texts
from matrinox.data.download import files_of
from matrinox.data.published import LABELLED, TEXTS

_NOT_INSTALLED = 'not yet: pip install "matrinox[data]"'


@dataclasses.dataclass(frozen=True)
class Data(Command):
    """List the data sets that are known by name, and where each is found; nothing is downloaded.

    Those in files are looked up in the folder that MATRINOX_DATA names, then in the cache.
    """

    def __call__(self) -> None:
        """Runs the command."""
        table = Table(title="Data sets: load_builtin, load_splits and load_text of matrinox.data take these names")
        for column in ("name", "found"):
            table.add_column(column, no_wrap=True)
        for name in (*list_builtin(), *list_texts()):
            table.add_row(name, _found(name))
        show_table(table)


def _found(name: str) -> str:
    published = {**LABELLED, **TEXTS}.get(name)
    if published is None:
        return "in scikit-learn" if importlib.util.find_spec("sklearn") else _NOT_INSTALLED
    try:
        return ", ".join(map(str, files_of(published.holding, download=False)))
    except FileNotFoundError:
        if published.holding.sources:
            has_it = importlib.util.find_spec("pooch")
            return "not yet: it is downloaded when it is first used" if has_it else _NOT_INSTALLED
        return f"not here: put {' and '.join(published.holding.forms[0])} into the folder that MATRINOX_DATA names"
