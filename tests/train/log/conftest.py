"""A run without a model: what `fit` tells its hooks, told by a table."""

import dataclasses
import resource
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from matrinox.train import Epoch, Finish, Hooks, Round, Run, RunLog, Score, Start, Step, pack, rounds_as_columns
from matrinox.train.log.run_log import hash_of_settings

STEPS, PER_EPOCH, PER_ROUND = 12, 5, 3


def round_of(step: int) -> Round:
    """The round behind that step: its losses are thirds, which no short decimal spells."""
    return Round(step, 1 / step, 0.01 / step, {"loss": 2 / (3 * step), "accuracy": 1 - 1 / step})


def play(hooks: Hooks, first: int = 0, last: int = STEPS, *, ends: bool = True) -> None:
    """Tells of the steps behind `first` until `last`, and of the end if the process is to live to see it."""
    state: Any = SimpleNamespace(step=first)
    hooks.on_start(Start(state, STEPS, PER_EPOCH, {"loss": 3.0, "accuracy": 0.25}))
    for step in range(first + 1, last + 1):
        hooks.on_step(Step(step, (step - 1) // PER_EPOCH + 1, 1 / (step + 1), 0.01, 1.5))
        if step % PER_EPOCH == 0:
            hooks.on_epoch_end(Epoch(step // PER_EPOCH, step, 1.0, state))
        if step % PER_ROUND == 0:
            hooks.on_round(None, round_of(step))
    if ends:
        rounds = tuple(round_of(step) for step in range(PER_ROUND, last + 1, PER_ROUND))
        reason = "complete" if last == STEPS else "interrupted"
        hooks.on_finish(Finish(SimpleNamespace(step=last), rounds, rounds[-1], reason))  # pyright: ignore


@pytest.fixture(name="play")
def _play() -> Callable[..., None]:
    return play


@pytest.fixture(name="round_of")
def _round_of() -> Callable[[int], Round]:
    return round_of


ABOUT = {
    **{"name": "small", "architecture": "Linear", "parameters": 1234, "config": {"n": 2}, "recipe": {"steps": 12}},
    "data": {"name": "blobs", "sha256": {"train": "ab", "test": "cd"}},
}


@pytest.fixture
def about() -> dict[str, Any]:
    """What the runs here are of."""
    return ABOUT


@pytest.fixture
def log() -> RunLog:
    """A finished log of the seeds 4 and 5."""
    rounds = [round_of(step) for step in range(PER_ROUND, STEPS + 1, PER_ROUND)]
    score = Score({"loss": 0.25, "accuracy": 0.75}, {"classes": pack(np.arange(3))})
    own = {"sha256": ABOUT["data"]["sha256"]}
    run = Run(4, 12, 1.5, False, 12, "ab" * 32, own, rounds_as_columns(rounds), score, score)
    shared = {**ABOUT, "data": {"name": ABOUT["data"]["name"]}, "recipe_sha256": hash_of_settings(ABOUT["recipe"])}
    runs = (run, dataclasses.replace(run, seed=5))
    return RunLog(kind="matrix", flops=99, versions={"python": "3.11"}, runs=runs, **shared)


@contextmanager
def disk_with_room_for(size: int) -> Iterator[None]:
    """While in it, no file of this process can grow beyond `size` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture(name="disk_with_room_for")
def _disk_with_room_for() -> Callable[[int], AbstractContextManager[None]]:
    return disk_with_room_for
