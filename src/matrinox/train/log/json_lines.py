"""The log of a run while it goes on: one event a line."""

import dataclasses
import json
import os
import time
from collections.abc import Iterable, Mapping
from typing import Any

from matrinox.contract import contract
from matrinox.io.plain import dump
from matrinox.train.hooks import Epoch, Finish, Hooks, Round, Start, Step
from matrinox.train.log.events import (
    VERSION,
    EpochEvent,
    Event,
    FinishEvent,
    RoundEvent,
    StartEvent,
    StepEvent,
    event_line,
    nine_digits,
    read_events,
)
from matrinox.train.log.growing import GrowingFile
from matrinox.train.log.plain import to_plain


class JsonLines(Hooks):
    """Writes the events of a run to a file, one a line, each on its way to disk before the next: see `read_events`.

    A run that goes on from a checkpoint cuts off, atomically, what the log holds beyond it, and so ends with the log of
    a run that never stopped, but for the clock. For this the log has to know a step before a checkpoint does:
    `JsonLines(…) + …`, not the other way round.

    **Arguments:** `path`: such as `"runs/one/log.jsonl"`, its folder made if need be; `every`: how many steps pass from
    one step in the log to the next, `None` for none; `about`: what is trained, how and on what, as JSON takes it, for
    the first line.
    **Raises:** `ValueError` if `every` is below 1, or JSON does not take `about`. While a run goes on: `OSError` if a
    line cannot be written, as on a full disk; `ValueError`, naming the line, if the log that a run is to go on with is
    damaged.
    """

    @contract
    def __init__(self, path: str | os.PathLike[str], every: int | None = 1, *, about: Mapping[str, Any] | None = None):
        check_every(every)
        writer = _Writer(GrowingFile(path), every, _as_json_has_it(about or {}))
        super().__init__(
            on_start=writer.on_start,
            on_step=Hooks.on_step if every is None else writer.on_step,
            on_epoch_end=writer.on_epoch_end,
            on_round=writer.on_round,
            on_finish=writer.on_finish,
        )


def check_every(every: int | None) -> None:
    """**Raises:** `ValueError` if `every` is below 1."""
    if every is not None and every < 1:
        raise ValueError(f"`every` (={every}) must be at least 1: choose how many steps pass, or None to log no step.")


def _as_json_has_it(about: Mapping[str, Any]) -> dict[str, Any]:
    try:
        return json.loads(dump(to_plain(about)))
    except TypeError as error:
        raise ValueError(f"`about` must be what JSON takes, texts, numbers, lists and tables: {error}") from error


class _Writer:
    def __init__(self, file: GrowingFile, every: int | None, about: dict[str, Any]):
        self._file, self._every, self._about = file, every, about
        self._since = 0.0

    def _seconds(self) -> float:
        return round(time.perf_counter() - self._since, 3)

    def on_start(self, start: Start) -> None:
        now = time.perf_counter()
        kept = self._kept(start.step) if start.step else []
        self._since = now - (kept[-1].seconds if kept else 0.0)
        first = StartEvent(
            start.step, start.steps, start.steps_per_epoch, _figures(start.figures), self._about, VERSION, seconds=0.0
        )
        if kept:
            begun = kept[0]
            first = dataclasses.replace(first, step=begun.step, figures=begun.figures, seconds=begun.seconds)
        self._file.begin([event_line(event) for event in (first, *kept[1:])])

    def _kept(self, step: int) -> list[Any]:
        """What the log tells of the steps until `step`; nothing where there is no log."""
        if not self._file.path.exists():
            return []
        events = read_events(self._file.path, unfinished=True)
        return [event for event in events if event.step <= step and not isinstance(event, FinishEvent)]

    def on_step(self, now: Step) -> None:
        if self._every and now.step % self._every == 0:
            loss, rate, norm = _short((now.loss, now.learning_rate, now.gradient_norm))
            self._add(StepEvent(now.step, now.epoch, loss, rate, norm, seconds=self._seconds()))

    def on_epoch_end(self, now: Epoch) -> None:
        self._add(EpochEvent(now.step, now.epoch, *_short((now.loss,)), seconds=self._seconds()))

    def on_round(self, model: Any, now: Round) -> None:
        del model
        loss, rate = _short((now.loss, now.learning_rate))
        # A checkpoint, which is flushed to disk, may follow: the log must not know less than it after a power cut.
        self._add(RoundEvent(now.step, loss, rate, _figures(now.validation), seconds=self._seconds()), lasting=True)

    def on_finish(self, now: Finish) -> None:
        step = int(now.state.step)
        self._add(FinishEvent(step, now.best.step, now.reason, seconds=self._seconds()), lasting=True)
        self._file.close()

    def _add(self, event: Event, *, lasting: bool = False) -> None:
        self._file.add(event_line(event), lasting=lasting)


def _short(numbers: Iterable[float]) -> list[float]:
    return [nine_digits(float(number)) for number in numbers]


def _figures(figures: Mapping[str, float]) -> dict[str, float]:
    return dict(zip(figures, _short(figures.values()), strict=True))
