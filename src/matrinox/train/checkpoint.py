"""Checkpoints: a run as files, the best model alone and all that the next step depends on."""

import functools
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from matrinox import io
from matrinox.contract import contract
from matrinox.data.loader_of import Data
from matrinox.train.freeze import Frozen
from matrinox.train.hooks import Round
from matrinox.train.recipe import Recipe
from matrinox.train.state import TrainState

BEST, LAST = "model.safetensors", "checkpoint.safetensors"


@dataclass(frozen=True)
class Progress:
    """What a run knows beside its state: its rounds, what it began with, sums over the epoch so far, seconds taken."""

    rounds: tuple[Round, ...] = ()
    before: Mapping[str, float] = field(default_factory=dict)
    epoch_loss: tuple[float, int] = (0.0, 0)
    seconds: float = 0.0

    @functools.cached_property
    def best(self) -> Round | None:
        """The best round so far."""
        best = None
        for now in self.rounds:
            best = now if now.beats(best) else best
        return best


@dataclass(frozen=True)
class Checkpoints:
    """Where a run leaves its files: the best model by validation loss, and the last state, from which to go on.

    Each is written whole or not at all: a killed run leaves the files of an earlier round. A best model that its config
    does not rebuild is written as a plain tree, which `matrinox.load` takes with `like=`; the note `plain` says why.

    **Arguments:** `folder`: made if need be; `every`: after how many rounds the state is written, and always behind the
    last; `notes`: the writer's own words, for the headers of both files; `overwrite`: whether a run that begins removes
    the two files of another in the folder, which it refuses to else.
    **Raises:** `ValueError` if `every` is below 1.

    >>> Checkpoints("runs/one", every=5).last.name
    'checkpoint.safetensors'
    """

    folder: str | os.PathLike[str]
    every: int = 1
    notes: Mapping[str, str] = field(default_factory=dict)
    overwrite: bool = False

    def __post_init__(self):
        if self.every < 1:
            raise ValueError(f"`every` (={self.every}) must be at least 1: choose how many rounds lie between two.")

    @property
    def best(self) -> Path:
        """The file of the best model."""
        return Path(self.folder) / BEST

    @property
    def last(self) -> Path:
        """The file of the last state."""
        return Path(self.folder) / LAST

    def prepare(self, *, resume: bool = False) -> None:
        """Makes the folder, and removes what writers that were killed left half-way; with `overwrite`, a run as well.

        **Arguments:** `resume`: whether the run in the folder is gone on with, and so stays.
        **Raises:** `FileExistsError` if a run is there that is to be neither gone on with nor overwritten; `ValueError`
        if it is to be both; `OSError` if the folder cannot be made.
        """
        if resume and self.overwrite:
            raise ValueError(
                "`resume` (=True) and `overwrite` (=True) exclude each other: go on with the run, or remove it."
            )
        present = [file for file in (self.best, self.last) if file.exists() and not resume]
        if present and not self.overwrite:
            raise FileExistsError(
                f"{str(self.folder)!r} holds a run ({', '.join(file.name for file in present)}): go on with it "
                "(`resume=True`), remove it (`Checkpoints(…, overwrite=True)`), or choose another folder."
            )
        for file in present:
            file.unlink()
        Path(self.folder).mkdir(parents=True, exist_ok=True)
        for name in (BEST, LAST):
            for left in Path(self.folder).glob(f".{name}.*.tmp"):
                left.unlink(missing_ok=True)

    @contract
    def save_best(self, model: Any, state: eqx.nn.State | None, now: Round) -> None:
        """Writes the best model, in inference mode, with its running statistics if it has some.

        **Arguments:** `model`; `state`; `now`: its round, of which the step is noted.
        **Raises:** `ModelFileError` if it cannot be written; the file before is then as it was.
        """
        tree = eqx.nn.inference_mode(model) if state is None else (eqx.nn.inference_mode(model), state)
        notes = {**self.notes, "step": str(now.step)}
        try:
            io.save(self.best, tree, notes=notes)
        except io.ModelFileError as error:
            # A run should not end for this; what cannot be written fails again.
            if isinstance(error.__cause__, OSError):
                raise
            io.save(self.best, tree, plain=True, notes={**notes, "plain": str(error)})

    @contract
    def save_last(self, state: TrainState, best: PyTree, progress: Progress, run: Mapping[str, Any]) -> None:
        """Writes all that the next step depends on.

        **Arguments:** `state`; `best`: the best model and its running statistics; `progress`; `run`: what the run is,
        as plain data: `load_last` refuses to go on as another.
        **Raises:** `ModelFileError` if it cannot be written; the file before is then as it was.
        """
        told = _told(progress)
        notes = {
            **self.notes,
            "step": str(int(state.step)),
            "run": json.dumps(run),
            "seconds": str(progress.seconds),
            "progress": str(len(told)),
        }
        io.save(self.last, (state, best, told), plain=True, notes=notes)

    @contract
    def load_last(self, like: TrainState, run: Mapping[str, Any]) -> tuple[TrainState, PyTree, Progress] | None:
        """What `save_last` wrote; `None` where it never did.

        **Arguments:** `like`: the state before the first step, which lends its structure; `run`: as for `save_last`.
        **Returns:** the state, the best model and its running statistics, and the progress.
        **Raises:** `ModelFileError` if the file is damaged or of another model; `ValueError` if it is of another run,
        naming what differs.
        """
        if not self.last.exists():
            return None
        notes = io.read_header(self.last).notes
        if not {"run", "progress", "seconds"} <= set(notes):
            raise ValueError(f"{str(self.last)!r} must be the checkpoint of a run, and is none: choose another folder.")
        due = json.loads(json.dumps(run))
        if differences := _differences(json.loads(notes["run"]), due):
            # The writer's own words say it best, such as the seed of which a key was made.
            own = {name: notes.get(name) for name in self.notes}
            differences = [*_differences(own, dict(self.notes)), *differences]
            raise ValueError(
                f"{str(self.last)!r} is of another run: {'; '.join(differences)}. Go on as the same, or begin anew "
                "in another folder."
            )
        try:
            told, seconds = np.zeros(int(notes["progress"]), np.uint8), float(notes["seconds"])
        except ValueError as error:
            raise io.ModelFileError(f"cannot load {str(self.last)!r}: its notes are damaged: {error}") from error
        state, best, told = io.load(self.last, like=(like, (like.evaluated(), like.model_state), told))
        return state, best, _progress(told, seconds)


def identity_of(
    recipe: Recipe, model: Any, key: PRNGKeyArray, frozen: Frozen | None, data: Mapping[str, Data | None]
) -> dict[str, Any]:
    """What makes a run this one, as plain data, which `load_last` compares.

    **Arguments:** `recipe`; `model`: before the first step; `key`; `frozen`; `data`: what it learns from and is
    validated on, by name.
    **Raises:** `ValueError` for a recipe that cannot be told; `ModelFileError` for a model that no file could hold.
    """
    return {
        "recipe": recipe.described(),
        "key": np.asarray(jax.random.key_data(key)).tolist(),
        "model": io.fingerprint(model),
        "frozen": None if frozen is None else list(frozen.patterns),
        "data": {name: None if given is None else given.fingerprint() for name, given in data.items()},
    }


def _told(progress: Progress) -> np.ndarray:
    """All but the seconds as bytes: unlike a header, an array may be of any length, and its hash is checked."""
    rounds = [[now.step, now.loss, now.learning_rate, dict(now.validation)] for now in progress.rounds]
    text = json.dumps({"rounds": rounds, "before": dict(progress.before), "epoch_loss": progress.epoch_loss})
    return np.frombuffer(text.encode(), np.uint8)


def _progress(told: np.ndarray, seconds: float) -> Progress:
    table = json.loads(np.asarray(told).tobytes())
    rounds = tuple(Round(*row) for row in table["rounds"])
    return Progress(rounds, table["before"], tuple(table["epoch_loss"]), seconds)


def _differences(left: Any, right: Any, path: str = "") -> list[str]:
    if isinstance(left, dict) and isinstance(right, dict):
        pairs = [(name, left.get(name), right.get(name)) for name in {**left, **right}]
        return [row for name, a, b in pairs for row in _differences(a, b, f"{path}.{name}".removeprefix("."))]
    return [] if left == right else [f"its {path} is {left!r}, and here it is {right!r}"]
