"""The record of finished runs as one JSON file."""

import dataclasses
import hashlib
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
from matrinox.train.log.packed import pack, unpack
from matrinox.train.log.plain import from_plain, to_plain

_LIBRARIES = ("matrinox", "jax", "jaxlib", "equinox", "optax", "numpy", "safetensors")


@dataclasses.dataclass(frozen=True)
class Score:
    """An evaluation as it is logged: the task's figures, and what it keeps of each example, packed: see `unpack`.

    **Raises:** `ValueError` if one of `records` is not what `pack` writes.
    """

    figures: Mapping[str, float]
    records: Mapping[str, str] = dataclasses.field(default_factory=dict)

    def __post_init__(self):
        for text in self.records.values():
            unpack(text)

    @staticmethod
    def of(evaluation: Evaluation) -> "Score":
        """The figures and the records of an evaluation."""
        return Score(dict(evaluation.figures), {name: pack(each) for name, each in evaluation.records.items()})

    def unpacked(self) -> dict[str, np.ndarray]:
        """What is kept of each example, as `Task.headline_of` takes it."""
        return {name: unpack(text) for name, text in self.records.items()}


@dataclasses.dataclass(frozen=True)
class Run:
    """One run of one seed, and its best model by validation: hash of the file's arrays, scores.

    `seconds` are those of `fit`, with compiling, saving and evaluating, and of all runs that it went on from; `data` is
    what of the data is the seed's own: the hash of each part, and the least and the largest input of the train part.

    **Raises:** `ValueError` if the columns of `rounds` are not of one length.
    """

    seed: int
    steps: int
    seconds: float
    interrupted: bool
    best_step: int
    weights_sha256: str
    data: Mapping[str, Any]
    rounds: Mapping[str, Sequence[float]]
    validation: Score
    test: Score

    def __post_init__(self):
        lengths = {name: len(column) for name, column in self.rounds.items()}
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the columns of `rounds` must be of one length, and are of {show(lengths)}")


@dataclasses.dataclass(frozen=True)
class RunLog:
    """What a `log.json` holds: what was trained, how, on what, with what software, and the runs, one for each seed.

    `kind` is `"matrix"`, or of what size beside a matrix network a scalar one is: `"parameters"`, `"flops"` or
    `"state"`; `flops` are those of one example, forward.

    **Raises:** `ValueError` if `recipe_sha256` is not the hash of `recipe`.
    """

    name: str
    kind: str
    architecture: str
    parameters: int
    flops: int
    config: Mapping[str, Any]
    recipe: Mapping[str, Any]
    recipe_sha256: str
    data: Mapping[str, Any]
    versions: Mapping[str, str]
    runs: tuple[Run, ...]

    def __post_init__(self):
        if self.recipe_sha256 != (due := hash_of_settings(self.recipe)):
            raise ValueError(f"`recipe_sha256` (={show(self.recipe_sha256)}) must be that of the recipe, {due}")


def hash_of_settings(settings: Mapping[str, Any]) -> str:
    """SHA-256 of settings as a log holds them, whatever their order, in hexadecimal."""
    text = json.dumps(to_plain(settings), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


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
    # Those that the process may use, which may be fewer than there are.
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return {name: version(name) for name in _LIBRARIES} | {
        "python": platform.python_version(),
        "machine": f"{platform.system()} {platform.machine()}, {cores} core{'s' * (cores != 1)}",
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
