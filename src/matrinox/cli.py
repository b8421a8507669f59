"""The command line: `matrinox train`, `eval`, `predict`, `list`, `show`."""

import contextlib
import dataclasses
import math
import os
import sys
import traceback
from collections.abc import Iterable, Mapping, Sequence
from io import BytesIO, StringIO, TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import jax
import numpy as np
import tyro
from rich.console import Console
from rich.table import Table

from matrinox import io as model_io
from matrinox import zoo
from matrinox.contract.nearest import nearest
from matrinox.io.atomic import write_atomically
from matrinox.train import Classification, apply_model, ask_to_stop, evaluate, show_progress
from matrinox.zoo import Entry, reproduce
from matrinox.zoo.runs import splits_of

_ModelName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="NAME", help_behavior_hint="(required)")]
_ModelFile = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE|NAME", help_behavior_hint="(required)")]


class UsageError(Exception):
    """A command line that cannot be understood: exit status 2."""


class _Stopped(Exception):
    """Ctrl-C, and what it left: exit status 130, as shells have it."""


@dataclasses.dataclass(frozen=True)
class _Command:
    debug: tyro.conf.FlagCreatePairsOff[bool] = False
    """Show a traceback where something goes wrong."""


@dataclasses.dataclass(frozen=True)
class Train(_Command):
    """Train a model of the zoo, evaluate it, and save it as one file.

    Writes FOLDER/model.safetensors (the best model by validation loss, from the first round on) and FOLDER/log.json.
    Ctrl-C stops early and keeps the last complete file; Ctrl-C twice does not wait for the round in progress.

    Example: matrinox train cnn-digits
    """

    name: _ModelName = ""
    """Which model: a name that `matrinox list` shows."""
    seed: int = 0
    """Seed of the initial weights and of the order of examples; the split of the data is the same for all."""
    out: Annotated[str, tyro.conf.arg(metavar="FOLDER", help_behavior_hint="(default: runs/NAME)")] = ""
    """Where to write."""
    steps: Annotated[int, tyro.conf.arg(help_behavior_hint="(default: as in the model's recipe)")] = 0
    """How many steps to train, for a shorter or a longer run."""

    def __call__(self) -> None:
        """Runs the command."""

        row = _entry(self.name)
        if self.steps < 0:
            raise UsageError(f"--steps (={self.steps}) must be at least 1: leave it out for the model's own recipe")
        if not 0 <= self.seed < 2**32:
            raise UsageError(f"--seed (={self.seed}) must be from 0 to 4294967295: JAX takes 32 bits of a seed")
        if self.steps:
            row = dataclasses.replace(row, recipe=dataclasses.replace(row.recipe, steps=self.steps))
        folder = Path(self.out or Path("runs") / row.name)
        try:
            with ask_to_stop() as should_stop, show_progress(row.recipe.steps) as on_round:
                done = reproduce(row, seed=self.seed, folder=folder, on_round=on_round, should_stop=should_stop)
        except KeyboardInterrupt as error:
            raise _Stopped(str(error) or "stopped before the first evaluation: no file was written") from error
        run = done.run
        if run.interrupted:
            raise _Stopped(
                f"stopped at step {run.steps} of {row.recipe.steps}: {done.model_file} is complete and holds the best "
                f"so far (step {run.best_step}, validation accuracy {run.validation.accuracy:.2%})"
            )
        rows = {
            "parameters": f"{done.log.parameters:,}",
            "validation accuracy": f"{run.validation.accuracy:.2%} (at step {run.best_step}, where its loss is best)",
            "test accuracy": f"{run.test.accuracy:.2%}",
            "seconds": f"{run.seconds:.1f}",
            "file written": str(done.model_file),
            "log": str(done.log_file),
        }
        _print(_facts(f"{row.name}, seed {self.seed}", rows))


@dataclasses.dataclass(frozen=True)
class Eval(_Command):
    """Evaluate a trained model on its data set.

    Example: matrinox eval runs/cnn-digits/model.safetensors
    """

    model: _ModelFile = ""
    """A file that `matrinox train` wrote, or a name that `matrinox list` shows."""
    part: Literal["test", "validation", "train"] = "test"
    """Which part of the data set."""
    data: Annotated[str, tyro.conf.arg(metavar="NAME", help_behavior_hint="(default: what it was trained on)")] = ""
    """Which built-in data set."""

    def __call__(self) -> None:
        """Runs the command."""

        path = _model_file(self.model)
        model = zoo.load(path)
        notes = model_io.read_header(path).notes
        name = self.data or notes.get("data", "")
        if not name:
            raise UsageError(f"{path} does not say what it was trained on: name a data set with --data")
        parts = splits_of(name)
        if not self.data and notes.get("test_sha256") != parts.test.fingerprint():
            raise ValueError(f"the test part of {name!r} is not the one kept from {path}: add --data {name} to use it")
        examples = getattr(parts, self.part)
        seen = evaluate(model, examples, Classification())
        rows = {
            "file": path,
            "data": f"{name}, {self.part} part, {len(examples)} examples",
            "accuracy": f"{seen.accuracy:.2%}",
            "right": f"{round(seen.accuracy * len(examples))} of {len(examples)}",
            "cross-entropy": f"{seen.loss:.4f}",
        }
        _print(_facts(self.model, rows))


@dataclasses.dataclass(frozen=True)
class Predict(_Command):
    """Predict the class of each example in a NumPy file.

    The file holds floats scaled as in training: images (examples, 8, 8, 1) from 0 to 1 for cnn-digits, rows
    (examples, 64) for mlp-digits. Prints one line per example: its number, the class, the probability.

    Example: matrinox predict cnn-digits --input images.npy
    """

    model: _ModelFile = ""
    """A file that `matrinox train` wrote, or a name that `matrinox list` shows."""
    input: Annotated[str, tyro.conf.arg(metavar="FILE.npy", help_behavior_hint="(required)")] = ""
    """The examples."""
    output: Annotated[str, tyro.conf.arg(metavar="FILE.npy", help_behavior_hint="(default: none)")] = ""
    """Where to save the probabilities as well, (examples, classes)."""

    def __call__(self) -> None:
        """Runs the command."""
        if not self.input:
            raise UsageError("--input is missing: name the .npy file of the examples")
        path = _model_file(self.model)

        model = zoo.load(path)
        logits = apply_model(model, _read_examples(self.input, len(model.input_shape)))
        probabilities = np.asarray(jax.nn.softmax(logits, axis=-1))
        if self.output:
            data = BytesIO()
            np.lib.format.write_array(data, probabilities, allow_pickle=False)
            write_atomically(self.output, [data.getvalue()])
        for number, row in enumerate(probabilities):
            print(f"{number}\t{row.argmax()}\t{row.max():.4f}")


@dataclasses.dataclass(frozen=True)
class List(_Command):
    """List the models of the zoo, with what they reach."""

    def __call__(self) -> None:
        """Runs the command."""

        table = Table(title="The zoo: matrinox show NAME tells more, matrinox train NAME trains it anew")
        for column in ("name", "architecture", "data"):
            table.add_column(column, no_wrap=True)
        for column in ("parameters", "test accuracy"):
            table.add_column(column, justify="right", no_wrap=True)
        for name in zoo.list_models():
            card = zoo.card(name)
            reached = f"{card.figures.test_accuracy_mean:.2%} ± {card.figures.test_accuracy_spread:.2%}"
            table.add_row(name, card.architecture, card.data["name"], f"{card.parameters:,}", reached)
        _print(table)


@dataclasses.dataclass(frozen=True)
class Show(_Command):
    """Show the card of a model: data, sizes, recipe, figures over its seeds, limits.

    Example: matrinox show cnn-digits
    """

    name: _ModelName = ""
    """Which model: a name that `matrinox list` shows."""

    def __call__(self) -> None:
        """Runs the command."""

        card = zoo.card(_entry(self.name).name)
        figures, weights = card.figures, card.weights
        rows = {
            "summary": card.summary,
            "limits": card.limits,
            "licence": card.licence,
            "parameters": f"{card.parameters:,}",
            "data": f"{card.data['name']}: {_listed(card.data['examples'])}; {card.data['split']}",
            "config": f"{card.architecture}: {_listed(card.config)}",
            "recipe": _listed(card.recipe),
            "test accuracy": f"{figures.test_accuracy_mean:.2%} ± {figures.test_accuracy_spread:.2%} over seeds "
            f"{', '.join(map(str, figures.seeds))}",
            "each seed": ", ".join(f"{accuracy:.2%}" for accuracy in figures.test_accuracy),
            "seconds": ", ".join(f"{seconds:.1f}" for seconds in figures.seconds),
            "weights": f"seed {weights.seed}, the best by validation loss ({weights.validation_accuracy:.2%}); "
            f"test accuracy {weights.test_accuracy:.2%}; SHA-256 of the arrays {weights.sha256}",
            "trained with": _listed(card.versions),
        }
        _print(_facts(card.name, rows))


_COMMANDS = {"train": Train, "eval": Eval, "predict": Predict, "list": List, "show": Show}
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
        return 2 if isinstance(error, UsageError) else 130 if isinstance(error, _Stopped | KeyboardInterrupt) else 1


def _parse(words: list[str]) -> Any:
    """The command that the words ask for; where they ask for help, prints it and exits."""
    words = words or ["--help"]
    if words[0].startswith("-") and words[0] not in ("-h", "--help"):
        raise UsageError(f"{words[0]!r} stands before a command: begin with one of {', '.join(_COMMANDS)}")
    if words[0] not in ("-h", "--help", *_COMMANDS):
        raise UsageError(f"there is no command {words[0]!r}: {_did_you_mean(words[0], _COMMANDS)}")
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
        hint = _did_you_mean(unknown[0], options) if unknown[0].startswith("-") else "leave it out"
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
    expected = (UsageError, _Stopped, ValueError, OSError, ImportError, FloatingPointError)
    kind = "" if isinstance(error, expected) and str(error) else f"{type(error).__name__}: "
    return kind + " ".join(str(error).split())


def _did_you_mean(word: str, known: Iterable[str]) -> str:
    return f"did you mean {nearest(word, known)!r}?"


def _entry(name: str) -> Entry:

    if not name:
        raise UsageError(f"NAME is missing: name one of {', '.join(zoo.list_models())}")
    try:
        return zoo.entry(name)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _model_file(name: str) -> str:

    if not name:
        raise UsageError(f"FILE|NAME is missing: name a model file, or one of {', '.join(zoo.list_models())}")
    try:
        return zoo.model_file(name)
    except ValueError as error:
        raise UsageError(str(error)) from None


def _read_examples(path: str, axes: int) -> np.ndarray:
    """The array of a .npy file as float32, its leading axes, if any, merged into one."""

    try:
        array = np.load(path, allow_pickle=False)
    except (ValueError, EOFError):
        array = None
    if not isinstance(array, np.ndarray):
        raise ValueError(f"{path} is no .npy file of numbers: write it with numpy.save")
    if not np.issubdtype(array.dtype, np.floating):
        raise ValueError(f"{path} holds {array.dtype}: scale it as in training, to floats such as pixels from 0 to 1")
    with np.errstate(over="ignore"):
        array = array.astype(np.float32)
    if not np.isfinite(array).all():
        raise ValueError(f"{path} holds nan or infinity, or numbers too large for float32: replace them first")
    # With -1 NumPy could not tell how many examples there are where another axis is 0.
    return array.reshape(math.prod(array.shape[:-axes]), *array.shape[-axes:]) if array.ndim >= axes else array


def _listed(table: Mapping[str, Any]) -> str:
    """A table on one line, tables within it flattened; a `kind` speaks for itself."""
    parts = []
    for name, value in table.items():
        if isinstance(value, Mapping):
            parts.append(_listed(value))
        else:
            parts.append(value if name == "kind" else f"{name} {value}")
    return ", ".join(parts)


def _facts(title: str, rows: Mapping[str, str]) -> Table:

    table = Table(title=title, title_justify="left", show_header=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column(overflow="fold")
    for name, value in rows.items():
        table.add_row(name, value)
    return table


def _print(table: Table) -> None:

    console = Console()
    # Into a file or a pipe no line is broken, so that a path can be found in it.
    (console if console.is_terminal else Console(width=10_000)).print(table, markup=False, highlight=False)


if __name__ == "__main__":
    sys.exit(main())
