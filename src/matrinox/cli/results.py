"""`matrinox results`: tables and pictures of what was measured."""

import dataclasses
from pathlib import Path
from typing import Annotated

import tyro

from matrinox import zoo
from matrinox.cli.command import Command
from matrinox.zoo.results import read_results, stale, write_results


@dataclasses.dataclass(frozen=True)
class Results(Command):
    """Write the tables and pictures of what the models of the zoo reach, from the logs of their runs alone.

    Writes README.md, results.csv, the cards and the pictures, those that are not what the logs give. It is for a
    checkout: the package as it is installed has the logs and cards, not the tables and pictures.
    """

    check: tyro.conf.FlagCreatePairsOff[bool] = False
    """Write nothing; fail, naming them, if files are not what the logs give."""
    folder: Annotated[str, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(default: where the zoo is)")] = ""
    """The folder of `entries`."""

    def __call__(self) -> None:
        """Runs the command."""
        folder = Path(self.folder or Path(zoo.__file__).parent)
        measured = read_results(folder)
        if not self.check:
            for name in write_results(folder, measured):
                print(f"written: {folder / name}")
        elif names := stale(folder, measured):
            raise ValueError(f"{', '.join(names)} in {folder} are not what the logs give: run `matrinox results`")
