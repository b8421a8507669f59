"""The record of finished runs as one JSON file."""

import dataclasses
import json
import os
import platform
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from matrinox.contract import contract
from matrinox.io.atomic import write_atomically
from matrinox.io.errors import show
from matrinox.io.plain import parse
from matrinox.train.evaluate import Evaluation
from matrinox.train.hooks import Round
from matrinox.train.log.events import nine_digits
from matrinox.train.log.plain import from_plain, to_plain
from matrinox.train.log.predictions import pack, unpack

_LIBRARIES = ("matrinox", "jax", "jaxlib", "equinox", "optax", "numpy", "safetensors")


@dataclasses.dataclass(frozen=True)
class Score:
    """An evaluation as it is logged: the task's figures, and predicted classes packed, see `unpack`, if there are any.

    **Raises:** `ValueError` if `predictions` is not what `pack` writes.
    """

    figures: Mapping[str, float]
    predictions: str | None = None

    def __post_init__(self):
        if self.predictions is not None:
            unpack(self.predictions)

    @staticmethod
    def of(evaluation: Evaluation) -> "Score":
        """The evaluation; of its predictions a class for each example, what else a task predicts being too long."""
        said = evaluation.predictions
        classes = isinstance(said, np.ndarray) and said.ndim == 1 and np.issubdtype(said.dtype, np.integer)
        return Score(dict(evaluation.figures), pack(said) if classes else None)


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of one seed, and its best model by validation: hash of the file's arrays, scores.

    `seconds` are those of `fit`, with compiling, saving and evaluating, and of all runs that it went on from.

    **Raises:** `ValueError` if the columns of `rounds` are not of one length.
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

    def __post_init__(self):
        lengths = {name: len(column) for name, column in self.rounds.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of `rounds` must be of one length, and are of {show(lengths)}")


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
    """Rounds as one list for each quantity: `{"step": […], "loss": […], …, "validation_loss": […], …}`.

    **Arguments:** `rounds`: of one run; a figure of validation that one of them has not is NaN there.
    """
    named = dict.fromkeys(name for row in rounds for name in row.validation)
    columns: dict[str, list[float]] = {
        name: [nine_digits(getattr(row, name)) for row in rounds] for name in ("step", "loss", "learning_rate")
    }
    for name in named:
        columns[f"validation_{name}"] = [nine_digits(float(row.validation.get(name, np.nan))) for row in rounds]
    return columns


def software() -> dict[str, str]:
    """What decides the digits of a run: the versions of Python and of the libraries, and the machine's kind."""
    return {name: version(name) for name in _LIBRARIES} | {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
    }


@contract
def write_log(path: str | os.PathLike[str], log: RunLog) -> None:
    """Writes the log as JSON, one line for each run, atomically; nan and infinity as the texts that `read_log` takes.

    **Raises:** `OSError` if it cannot be written; `ContractError` if `log` is not a `RunLog`.
    """
    table = to_plain(log)
    runs = ",\n  ".join(json.dumps(run) for run in table.pop("runs"))
    lines = [f"{json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}" for name, value in table.items()]
    text = "{\n" + ",\n".join([*lines, f'"runs": [\n  {runs}\n]']) + "\n}\n"
    write_atomically(path, [text.encode()])


@contract
def read_log(path: str | os.PathLike[str]) -> RunLog:
    """The log that `write_log` wrote, every field checked.

    **Raises:** `OSError` if it cannot be read; `ValueError` if it is not such a log, naming the first field that is
    missing, unknown or of another type.
    """
    try:
        table = parse(Path(path).read_text(encoding="utf-8"), dict, "the file")
        log = from_plain(RunLog, table, "log")
        if not log.runs:
            raise ValueError("it holds no run")
    except ValueError as error:
        raise ValueError(f"{os.fspath(path)!r} is not the log of a training run: {error}") from error
    return log
