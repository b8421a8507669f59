"""What all commands share: how they are written, how they go wrong, and names that several of them take."""

import dataclasses
from collections.abc import Iterable
from typing import Annotated

import tyro

from matrinox import zoo
from matrinox.contract.nearest import nearest
from matrinox.zoo import Entry

ModelName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME", help_behavior_hint="(required)")]
ModelFile = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE|NAME", help_behavior_hint="(required)")]


class UsageError(Exception):
    """A command line that cannot be understood: exit status 2."""


class Stopped(Exception):
    """Ctrl-C, and what it left: exit status 130, as shells have it."""


@dataclasses.dataclass(frozen=True)
class Command:
    """A command: its fields are options, its docstring its help; calling it runs it.

    **Raises:** when it is called, `UsageError` or `Stopped`, or what went wrong.
    """

    debug: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show a traceback where something goes wrong."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """A question for the nearest known name."""
    return f"did you mean {nearest(word, known)!r}?"


def entry_named(name: str) -> Entry:
    """The entry of the zoo.

    **Raises:** `UsageError` for an unknown or missing name.
    """
    if not name:
        raise UsageError(f"NAME is missing: name one of {', '.join(zoo.list_models())}")
    try:
        return zoo.entry(name)
    except ValueError as error:
        raise UsageError(str(error)) from None


def model_file_named(name: str) -> str:
    """The path of a model file, or of an entry's weights.

    **Raises:** `UsageError` for what is neither.
    """
    if not name:
        raise UsageError(f"FILE|NAME is missing: name a model file, or one of {', '.join(zoo.list_models())}")
    try:
        return zoo.model_file(name)
    except ValueError as error:
        raise UsageError(str(error)) from None
