"""Training the entries of the zoo: `reproduce` runs one seed, `publish` makes an entry's files of several.

An entry is trained anew by `matrinox train NAME --seed S --out runs/S` for each of its seeds, and then
`publish(NAME, [f"runs/{S}" for S in seeds])`.
"""

import dataclasses
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax

from matrinox import io
from matrinox.contract import contract
from matrinox.data import Splits, load_builtin, split
from matrinox.io.atomic import write_atomically
from matrinox.train import (
    Round,
    Run,
    RunLog,
    Score,
    evaluate,
    fit,
    read_log,
    rounds_as_columns,
    software,
    write_log,
)
from matrinox.zoo.card import make_card, write_card
from matrinox.zoo.catalogue import Entry, entry

MODEL_FILE = "model.safetensors"
LOG_FILE = "log.json"

# Shares of each class, and the seed: of the split, which is the same for every seed of training.
_VALIDATION, _TEST, _SEED = 0.1, 0.2, 0


@dataclass(frozen=True)
class Reproduced:
    """What a run left: the model file and log it wrote, and what the log says."""

    model_file: Path
    log_file: Path
    log: RunLog

    @property
    def run(self) -> Run:
        """The one run of the log."""
        return self.log.runs[0]


@contract
def splits_of(data: str) -> Splits:
    """A built-in data set, split as for all entries and seeds.

    **Arguments:** `data`: its name.
    **Returns:** the three parts.
    **Raises:** `ValueError` for an unknown name; `ImportError`, naming the extra to install, if its library is missing.
    """
    return split(load_builtin(data), validation=_VALIDATION, test=_TEST, seed=_SEED)


@contract
def reproduce(
    name: str | Entry,
    *,
    seed: int,
    folder: str | os.PathLike[str],
    on_round: Callable[[Round], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Reproduced:
    """Trains an entry from one seed; writes `model.safetensors`, whenever the validation loss is lower, and `log.json`.

    Ctrl-C, or `should_stop`, ends the run early and leaves the last complete file, with a log that says `interrupted`.
    An older log is removed when the first file is written, so that a log never lies beside another run's weights.

    **Arguments:** `name`: of the entry, or a row of your own; `seed`: of weights, order, shifts and dropout, not of the
    split, from 0 to 2³² − 1; `folder`: where to write, made if need be; `on_round`: called after every round;
    `should_stop`: as for `fit`.
    **Returns:** what was written.
    **Raises:** `ValueError` for an unknown name or a seed out of range; `ImportError` if the data set's library is
    missing; `OSError` or `ModelFileError` if a file cannot be written; `KeyboardInterrupt`, saying what was written, if
    stopped before there was a file, or while the last one was scored.
    """
    started = time.perf_counter()
    row = name if isinstance(name, Entry) else entry(name)
    if not 0 <= seed < 2**32:
        raise ValueError(
            f"`seed` (={seed}) must be from 0 to 4294967295: JAX keeps the lowest 32 bits, so another seed repeats one "
            "of these."
        )
    target = Path(folder)
    model_file, log_file = target / MODEL_FILE, target / LOG_FILE
    before = _stamp(model_file)
    try:
        data = splits_of(row.data)
        target.mkdir(parents=True, exist_ok=True)
        model_key, fit_key = jax.random.split(jax.random.key(seed))
        model = row.architecture(row.config, key=model_key)
        notes = {"entry": row.name, "data": row.data, "test_sha256": data.test.fingerprint(), "seed": str(seed)}

        def save(best: Any, now: Round) -> None:
            log_file.unlink(missing_ok=True)
            io.save(model_file, eqx.nn.inference_mode(best), notes={**notes, "step": str(now.step)})

        fitted = fit(
            model,
            data.train,
            data.validation,
            row.recipe,
            key=fit_key,
            on_round=on_round,
            on_best=save,
            should_stop=should_stop,
        )
        if _stamp(model_file) == before:
            raise KeyboardInterrupt
        # Ctrl-C may have come between two records of one fact, so what is logged is what the file itself holds.
        best, header = io.load(model_file, row.architecture), io.read_header(model_file)
        validation, test = (evaluate(best, part, row.recipe.task) for part in (data.validation, data.test))
        run = Run(
            seed=seed,
            steps=fitted.rounds[-1].step,
            seconds=round(time.perf_counter() - started, 3),
            interrupted=fitted.interrupted,
            best_step=int(header.notes["step"]),
            weights_sha256=header.data_sha256,
            rounds=rounds_as_columns(fitted.rounds),
            validation=Score.of(validation),
            test=Score.of(test),
        )
        log = RunLog(
            name=row.name,
            architecture=row.architecture.__name__,
            parameters=count_parameters(model),
            config=_plain(row.config),
            recipe=_plain(row.recipe),
            data=_described(row.data, data),
            versions=software(),
            runs=(run,),
        )
        write_log(log_file, log)
    except KeyboardInterrupt as error:
        if _stamp(model_file) == before:
            raise KeyboardInterrupt("stopped before the first evaluation: no file was written") from error
        logged = "" if log_file.exists() else ", but not scored: there is no log"
        raise KeyboardInterrupt(f"stopped at the end: {model_file} is complete{logged}") from error
    return Reproduced(model_file, log_file, log)


def _stamp(path: Path) -> tuple[int, int] | None:
    """What changes whenever a file is replaced; `None` where there is none."""
    try:
        status = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return status.st_ino, status.st_mtime_ns


def count_parameters(model: Any) -> int:
    """How many numbers of a model are trained: the sizes of its inexact arrays, added up."""
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)))


@contract
def publish(
    name: str | Entry,
    runs: Sequence[str | os.PathLike[str]],
    *,
    folder: str | os.PathLike[str] | None = None,
) -> Path:
    """Makes an entry's files of the folders that `reproduce` wrote: one log of all runs, the best weights, the card.

    **Arguments:** `name`: of the entry, or a row of your own; `runs`: one folder for each seed; `folder`: where to, by
    default the entry's.
    **Returns:** the folder.
    **Raises:** `ValueError` if the runs are not complete runs of the entry as it is now that differ by seed alone, if
    there are fewer than two, or if a folder's model is not the one that its log scored.
    """
    row = name if isinstance(name, Entry) else entry(name)
    folders = [Path(run) for run in runs]
    logs = [read_log(each / LOG_FILE) for each in folders]
    if not logs:
        raise ValueError("`runs` is empty: give the folders of two runs at least.")
    merged = dataclasses.replace(logs[0], runs=tuple(run for log in logs for run in log.runs))
    if any(dataclasses.replace(log, runs=merged.runs) != merged for log in logs) or merged.name != row.name:
        raise ValueError(
            f"the runs are not all of {row.name!r} with one config, recipe, data and software: train anew."
        )
    if any(len(log.runs) != 1 for log in logs):
        raise ValueError(f"`runs` (={[str(each) for each in folders]}) must hold one run each: give folders of runs.")
    now = {
        "architecture": row.architecture.__name__,
        "config": _plain(row.config),
        "recipe": _plain(row.recipe),
        "data": {**merged.data, "name": row.data},
    }
    for what, due in now.items():
        if getattr(merged, what) != due:
            raise ValueError(f"the runs' {what} (={getattr(merged, what)}) must be {row.name!r}'s, {due}: train anew.")
    seeds = [run.seed for run in merged.runs]
    if len(set(seeds)) != len(seeds) or any(run.interrupted for run in merged.runs):
        raise ValueError(f"the runs of seeds {seeds} must differ by seed and be complete: train them anew.")
    for each, run in zip(folders, merged.runs, strict=True):
        if io.read_header(each / MODEL_FILE).data_sha256 != run.weights_sha256:
            raise ValueError(f"{each / MODEL_FILE} is not the model that its log scored: train seed {run.seed} anew.")
    card = make_card(merged, summary=row.summary, limits=row.limits)
    best = folders[seeds.index(card.weights.seed)]
    target = row.folder if folder is None else Path(folder)
    target.mkdir(parents=True, exist_ok=True)
    write_atomically(target / "weights.safetensors", [(best / MODEL_FILE).read_bytes()])
    write_log(target / LOG_FILE, merged)
    write_card(target / "card.toml", card)
    return target


def _plain(settings: Any) -> dict[str, Any]:
    """A dataclass as a log gives it back: tuples as lists, and each dataclass within by its `kind` and fields."""
    table = {}
    for field in dataclasses.fields(settings):
        value = getattr(settings, field.name)
        if dataclasses.is_dataclass(value):
            table[field.name] = {"kind": type(value).__name__, **_plain(value)}
        else:
            table[field.name] = json.loads(json.dumps(value))
    return table


def _described(name: str, data: Splits) -> dict[str, Any]:
    parts = {"train": data.train, "validation": data.validation, "test": data.test}
    return {
        "name": name,
        "split": f"by class, {_VALIDATION:.0%} validation, {_TEST:.0%} test, seed {_SEED}, the same for every seed of "
        "training",
        "examples": {part: len(examples) for part, examples in parts.items()},
        "sha256": {part: examples.fingerprint() for part, examples in parts.items()},
    }
