"""Runs as their folders tell of them: finished, going on, or killed."""

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from matrinox.contract import contract
from matrinox.train.hooks import Round
from matrinox.train.log.events import FinishEvent, RoundEvent, read_events
from matrinox.train.log.run_log import RunLog, read_log, rounds_as_columns

LOG, EVENT_LOG = "log.json", "log.jsonl"


@dataclasses.dataclass(frozen=True)
class Recorded:
    """What is known of a run.

    **Arguments:** `name`: as tables and figures call it; `about`: what was trained, how and on what, as its log says;
    `rounds`: a column for each quantity, as `rounds_as_columns` gives them; `steps`: taken; `seconds`: trained;
    `ended`: why, or `"unfinished"` for a run that goes on or was killed; `test`: figures of the best model, empty if
    there are none.
    """

    name: str
    about: Mapping[str, Any]
    rounds: Mapping[str, Sequence[float]]
    steps: int
    seconds: float
    ended: str
    test: Mapping[str, float]

    @property
    def best(self) -> dict[str, float]:
        """The step of the lowest validation loss and the figures of validation there; empty without any."""
        losses = np.asarray(self.rounds.get("validation_loss", ()), float)
        if not np.isfinite(losses).any():
            return {}
        at = int(np.nanargmin(losses))
        named = [name for name in self.rounds if name.startswith("validation_")]
        return {"step": self.rounds["step"][at]} | {
            name.removeprefix("validation_"): self.rounds[name][at] for name in named
        }


@contract
def read_runs(path: str | os.PathLike[str]) -> tuple[Recorded, ...]:
    """The runs of a folder: of its `log.json`, one for each seed, or else the one of its `log.jsonl`.

    **Arguments:** `path`: of the folder, or of one of the two files.
    **Returns:** the runs; of one that was killed, as far as it was logged.
    **Raises:** `FileNotFoundError` if there is no log; `ValueError`, naming what is wrong, if it is damaged.
    """
    place = Path(path)
    files = [place / LOG, place / EVENT_LOG] if place.is_dir() else [place]
    for file in files:
        if file.is_file():
            name = os.fspath(place)
            return (_of_events(file, name),) if file.suffix == ".jsonl" else runs_of(read_log(file), name)
    raise FileNotFoundError(
        f"{os.fspath(path)!r} holds no {LOG} or {EVENT_LOG}: name the folder of a run, such as runs/cnn-digits"
    )


def runs_of(log: RunLog, name: str) -> tuple[Recorded, ...]:
    """The runs of a finished log, called `name`, with the seed where there are several."""
    about = {each.name: getattr(log, each.name) for each in dataclasses.fields(log) if each.name != "runs"}
    return tuple(
        Recorded(
            name=name if len(log.runs) == 1 else f"{name} seed {run.seed}",
            about={**about, "data": {**log.data, **run.data}, "seed": run.seed},
            rounds=run.rounds,
            steps=run.steps,
            seconds=run.seconds,
            ended="interrupted" if run.interrupted else "complete",
            test=run.test.figures,
        )
        for run in log.runs
    )


def _of_events(path: Path, name: str) -> Recorded:
    events = read_events(path, unfinished=True)
    if not events:
        raise ValueError(f"{os.fspath(path)!r} holds no whole line: its run was killed before it began.")
    rounds = [
        Round(each.step, each.loss, each.learning_rate, each.validation)
        for each in events
        if isinstance(each, RoundEvent)
    ]
    last = events[-1]
    return Recorded(
        name=name,
        about=events[0].about,
        rounds=rounds_as_columns(rounds),
        steps=last.step,
        seconds=last.seconds,
        ended=last.reason if isinstance(last, FinishEvent) else "unfinished",
        test={},
    )
