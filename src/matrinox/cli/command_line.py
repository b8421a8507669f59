"""The command line: what is asked for, run, with one line and a status where it goes wrong."""

import contextlib
import dataclasses
import os
import sys
import traceback
from collections.abc import Sequence
from io import StringIO, TextIOWrapper
from typing import Annotated, Any, Union

import tyro

from matrinox.cli.catalogue import List, Show
from matrinox.cli.command import Stopped, UsageError, did_you_mean
from matrinox.cli.data import Data
from matrinox.cli.logs import Compare, Plot
from matrinox.cli.models import Eval, Predict
from matrinox.cli.results import Results
from matrinox.cli.train import Train

_COMMANDS = {
    **{"train": Train, "eval": Eval, "predict": Predict, "list": List, "show": Show},
    **{"plot": Plot, "compare": Compare, "results": Results, "data": Data},
}
_DESCRIPTION = """Networks whose neurons are n × n matrices: train them, evaluate them, predict with them.

Begin with `matrinox list`, then `matrinox train cnn-digits`. `matrinox COMMAND --help` tells more of a command."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command line and gives its exit status: 0, or 2 for wrong usage, 130 for Ctrl-C, 1 for any other error.

    Where nobody reads the output any more, as behind `| head`, it ends quietly with 141, as shells have it.

    **Arguments:** `arguments`: those behind the program's name, by default the process's own.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        # A terminal that has no ± or × shows a question mark instead of failing.
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    # Until a command is parsed, a `--debug` anywhere counts; from then on, what the parser says.
    debug = "--debug" in words
    try:
        first = words[:1] == ["--debug"]
        command = _parse(words[first:])
        debug = first or command.debug
        command()
        sys.stdout.flush()
        return 0
    except BrokenPipeError:
        # Whoever read has read enough, as `head` does. The interpreter flushes once more at its end.
        with contextlib.suppress(OSError, ValueError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except (Exception, KeyboardInterrupt) as error:
        if debug:
            traceback.print_exc()
        else:
            print(f"matrinox: {_one_line(error)}", file=sys.stderr)
        if arguments is None and isinstance(error.__cause__ or error, KeyboardInterrupt):
            # XLA's threads may still be compiling, and taking the interpreter down under them crashes.
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(130)
        return 2 if isinstance(error, UsageError) else 130 if isinstance(error, Stopped | KeyboardInterrupt) else 1


def _parse(words: list[str]) -> Any:
    """The command that the words ask for; where they ask for help, prints it and exits."""
    words = words or ["--help"]
    if words[0].startswith("-") and words[0] not in ("-h", "--help"):
        raise UsageError(f"{words[0]!r} stands before a command: begin with one of {', '.join(_COMMANDS)}")
    if words[0] not in ("-h", "--help", *_COMMANDS):
        raise UsageError(f"there is no command {words[0]!r}: {did_you_mean(words[0], _COMMANDS)}")
    # A union made while running is beyond type checkers.
    kinds: Any = Union[tuple(Annotated[kind, tyro.conf.subcommand(name)] for name, kind in _COMMANDS.items())]  # noqa: UP007
    complaint = StringIO()
    try:
        with contextlib.redirect_stderr(complaint):
            command, unknown = tyro.cli(
                kinds,
                prog="matrinox",
                description=_DESCRIPTION,
                args=words,
                return_unknown_args=True,
            )
    except SystemExit as end:
        if not end.code:
            raise
        raise UsageError(_said_in_box(complaint.getvalue())) from None
    if unknown:
        options = [f"--{field.name}" for field in dataclasses.fields(command)]
        hint = did_you_mean(unknown[0], options) if unknown[0].startswith("-") else "leave it out"
        raise UsageError(f"`matrinox {words[0]}` does not take {unknown[0]!r}: {hint}")
    return command


def _said_in_box(text: str) -> str:
    """What tyro's complaint, a box of several lines, says first: the lines below its title and above a rule, as one."""
    said = []
    for line in text.splitlines()[1:]:
        words = line.strip("│| ")
        if words.strip("─-╰╯+"):
            said.append(words)
        elif said:
            break
    return " ".join(said) or "the command line is not understood: see `matrinox --help`"


def _one_line(error: BaseException) -> str:
    if isinstance(error, KeyboardInterrupt):
        return "stopped"
    expected = (UsageError, Stopped, ValueError, OSError, ImportError, FloatingPointError)
    kind = "" if isinstance(error, expected) and str(error) else f"{type(error).__name__}: "
    return kind + " ".join(str(error).split())
