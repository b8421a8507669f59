"""`matrinox plot` and `matrinox compare`: what the logs of runs tell."""

import dataclasses
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any

import tyro

from matrinox.cli.command import Command, UsageError
from matrinox.cli.table import show_table
from matrinox.io.atomic import write_atomically
from matrinox.train import Recorded, compare_runs, plot_runs, read_runs

_Runs = Annotated[
    tuple[str, ...], tyro.conf.Positional, tyro.conf.arg(metavar="RUN …", help_behavior_hint="(required)")
]
_PNG = "FILE.png"


@dataclasses.dataclass(frozen=True)
class Plot(Command):
    """Draw the curves of runs: losses, other figures of validation, learning rate.

    A run is a folder with a log.json, or with the log.jsonl of a run that goes on or was killed.

    Example: matrinox plot runs/cnn-digits --out curves.png
    """

    runs: _Runs = ()
    """Folders of runs; each has a row of its own."""
    out: Annotated[str, tyro.conf.arg(metavar=_PNG)] = "curves.png"
    """Where to write."""

    def __call__(self) -> None:
        """Runs the command."""
        _check_png(self.out)
        _write_png(self.out, plot_runs(_read(self.runs, least=1), apart=True))


@dataclasses.dataclass(frozen=True)
class Compare(Command):
    """Compare runs: where their settings differ, and what they reached.

    A run is a folder with a log.json, or with the log.jsonl of a run that goes on or was killed. Figures on different
    data are pointed out: they cannot be compared.

    Example: matrinox compare runs/cnn-digits runs/mlp-digits --out compare.png
    """

    runs: _Runs = ()
    """Folders of runs, two at least."""
    out: Annotated[str, tyro.conf.arg(metavar=_PNG, help_behavior_hint="(default: none)")] = ""
    """Where to draw their curves over one another."""

    def __call__(self) -> None:
        """Runs the command."""
        if self.out:
            _check_png(self.out)
        found = compare_runs(_read(self.runs, least=2))
        show_table(found.table())
        for warning in found.warnings:
            print(f"note: {warning}")
        if self.out:
            _write_png(self.out, found.figure())


def _read(places: tuple[str, ...], *, least: int) -> list[Recorded]:
    runs = [run for place in places for run in read_runs(place)]
    if len(runs) < least:
        have = f"{places[0]} holds one run" if runs else "RUN is missing"
        more = "two runs or more" if least == 2 else "the folder of a run, such as runs/cnn-digits"
        raise UsageError(f"{have}: name {more}")
    return runs


def _check_png(path: str) -> None:
    if Path(path).suffix.lower() != ".png":
        raise UsageError(f"--out (={path}) must end with .png: curves are written as PNG")


def _write_png(path: str, figure: Any) -> None:
    data = BytesIO()
    figure.savefig(data, format="png")
    write_atomically(path, [data.getvalue()])
    print(f"written: {path}")
