"""The record of runs as a JSON file, and the progress of a run on the screen."""

import base64
import dataclasses
import json
import os
import platform
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from typing import Any

import numpy as np
from jaxtyping import Integer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from matrinox.contract import AnyArray, contract
from matrinox.io.atomic import write_atomically
from matrinox.train.loop import Evaluation, Round

_LIBRARIES = ("matrinox", "jax", "jaxlib", "equinox", "optax", "numpy", "safetensors")
_LINES = 20


@dataclasses.dataclass(frozen=True)
class Score:
    """An evaluation as it is logged: predictions packed, see `unpack`."""

    loss: float
    accuracy: float
    predictions: str

    @staticmethod
    def of(evaluation: Evaluation) -> "Score":
        """The evaluation with its predictions packed."""
        return Score(_digits(evaluation.loss), evaluation.accuracy, pack(evaluation.predictions))


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of one seed, and its best model by validation: hash of the file's arrays, scores.

    `seconds` are those of the whole run, with reading data, building, compiling, saving and evaluating.
    """

    seed: int
    steps: int
    seconds: float
    interrupted: bool
    best_step: int
    weights_sha256: str
    rounds: Mapping[str, Sequence[float]]
    validation: Score
    test: Score


@dataclasses.dataclass(frozen=True)
class RunLog:
    """What a `log.json` holds: what was trained, how, on what, with what software, and the runs, one for each seed."""

    name: str
    architecture: str
    parameters: int
    config: Mapping[str, Any]
    recipe: Mapping[str, Any]
    data: Mapping[str, Any]
    versions: Mapping[str, str]
    runs: tuple[Run, ...]


@contract
def rounds_as_columns(rounds: Sequence[Round]) -> dict[str, list[float]]:
    """Rounds as one list for each quantity, as a log holds them: `{"step": […], "loss": […], …}`."""
    names = [field.name for field in dataclasses.fields(Round)]
    return {name: [_digits(getattr(row, name)) for row in rounds] for name in names}


def _digits(value: float) -> float:
    # Nine digits give back every bit of a float32.
    return value if isinstance(value, int) else float(f"{value:.9g}")


@contract
def pack(predictions: Integer[AnyArray, " examples"]) -> str:
    """Class numbers as short text: the NumPy type, a colon, and the little-endian bytes in base 64.

    **Arguments:** `predictions`: `(examples,)`, none negative.
    **Returns:** the text that `unpack` takes.
    **Raises:** `ContractError` if it is not one axis of integers; `ValueError` if a number is negative.
    """
    numbers = np.asarray(predictions)
    if numbers.size and numbers.min() < 0:
        raise ValueError(f"`predictions` holds {numbers.min()}, which must be 0 or more: give class numbers.")
    kind = np.min_scalar_type(int(numbers.max(initial=0))).newbyteorder("<")
    return f"{kind.str[1:]}:{base64.b64encode(numbers.astype(kind).tobytes()).decode()}"


@contract
def unpack(text: str) -> np.ndarray:
    """The class numbers that `pack` wrote, `(examples,)`.

    **Raises:** `ValueError` if the text is not what `pack` writes; `ContractError` if it is no text.
    """
    kind, colon, data = text.partition(":")
    if kind not in ("u1", "u2", "u4", "u8") or not colon:
        raise ValueError(f"packed predictions begin with {text[:8]!r}, which must be u1:, u2:, u4: or u8:.")
    return np.frombuffer(base64.b64decode(data, validate=True), f"<{kind}").astype(np.int64)


def software() -> dict[str, str]:
    """What decides the digits of a run: the versions of Python and of the libraries, and the machine's kind."""
    return {name: version(name) for name in _LIBRARIES} | {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


@contract
def write_log(path: str | os.PathLike[str], log: RunLog) -> None:
    """Writes the log as JSON, one line for each run, atomically.

    **Raises:** `OSError` if it cannot be written; `ContractError` if `log` is not a `RunLog`.
    """
    table = dataclasses.asdict(log)
    runs = ",\n  ".join(json.dumps(run) for run in table.pop("runs"))
    lines = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in table.items()]
    text = "{\n" + ",\n".join([*lines, f'"runs": [\n  {runs}\n]']) + "\n}\n"
    write_atomically(path, [text.encode()])


@contract
def read_log(path: str | os.PathLike[str]) -> RunLog:
    """The log that `write_log` wrote.

    **Raises:** `OSError` if it cannot be read; `ValueError` if it is not such a log.
    """
    with open(path, encoding="utf-8") as file:
        table = json.load(file)
    try:
        runs = tuple(
            Run(**{**run, "validation": Score(**run["validation"]), "test": Score(**run["test"])})
            for run in table["runs"]
        )
        return RunLog(**{**table, "runs": runs})
    except (TypeError, KeyError) as error:
        raise ValueError(f"{os.fspath(path)!r} is not the log of a training run: {error}") from error


@contextmanager
@contract
def show_progress(steps: int, console: Console | None = None) -> Iterator[Callable[[Round], None]]:
    """Shows a run on the screen: a live bar on a terminal, at most about twenty plain lines elsewhere.

    **Arguments:** `steps`: of the whole run; `console`: where to, standard output by default.
    **Returns:** within `with`, what to pass to `fit` as `on_round`.
    """
    console = console or Console()
    if console.is_terminal:
        yield from _live(steps, console)
    else:
        yield from _lines(steps, console)


def _live(steps: int, console: Console) -> Iterator[Callable[[Round], None]]:
    columns = (
        BarColumn(),
        TextColumn("step {task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[numbers]}"),
        TimeRemainingColumn(compact=True),
        TextColumn("left"),
    )
    with Progress(*columns, console=console) as progress:
        bar = progress.add_task("", total=steps, numbers="compiling …")

        def show(now: Round) -> None:
            progress.update(bar, completed=now.step, numbers=_numbers(now, " "))

        yield show


def _lines(steps: int, console: Console) -> Iterator[Callable[[Round], None]]:
    console.print("compiling …", soft_wrap=True)
    first: tuple[float, int] | None = None
    printed = 0

    def show(now: Round) -> None:
        nonlocal first, printed
        left = ""
        if first is None:
            first = (time.perf_counter(), now.step)
        else:
            pace = (time.perf_counter() - first[0]) / (now.step - first[1])
            left = f"  {pace * (steps - now.step):.0f} s left"
        if now.step == steps or now.step * _LINES // steps > printed:
            printed = now.step * _LINES // steps
            console.print(f"step {now.step}/{steps}  {_numbers(now)}{left}", highlight=False, soft_wrap=True)

    yield show


def _numbers(now: Round, gap: str = "  ") -> str:
    numbers = f"loss {now.loss:.3f}", f"validation {now.validation_accuracy:.1%}", f"rate {now.learning_rate:.1e}"
    return gap.join(numbers)
