"""The events of a run as JSON lines: the schema, and reading them back.

Each line is one table: `event`, the fields of that event below in their order, and `seconds`, how long the run has been
trained, which no comparison of events regards. A number that is not finite is the text `"nan"`, `"inf"` or `"-inf"`.
The first line is the start; there is at most one finish, at the end; steps never go back.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from matrinox.contract import contract
from matrinox.contract.nearest import guess
from matrinox.io.errors import ModelFileError, show
from matrinox.io.plain import dump, parse
from matrinox.train.log.growing import whole_lines
from matrinox.train.log.plain import from_plain, to_plain

VERSION = 1
"""Of the schema: a log of a later one is refused."""


@dataclass(frozen=True)
class Event:
    """What a line tells, behind `step` steps. `seconds`: trained until then, pauses between resumes left out."""

    kind: ClassVar[str]

    step: int
    seconds: float = field(kw_only=True, compare=False)


@dataclass(frozen=True)
class StartEvent(Event):
    """The run begins: at step 0, but where it was resumed without its log.

    **Arguments:** `steps`: of the whole run; `steps_per_epoch`; `figures`: of validation before the first step;
    `about`: what is trained, how and on what, in the words of whoever began the run; `version`: of the schema.
    """

    kind = "start"

    steps: int
    steps_per_epoch: int
    figures: Mapping[str, float]
    about: Mapping[str, Any]
    version: int


@dataclass(frozen=True)
class StepEvent(Event):
    """A step was taken: `loss` is that of its minibatch before the step."""

    kind = "step"

    epoch: int
    loss: float
    learning_rate: float
    gradient_norm: float


@dataclass(frozen=True)
class EpochEvent(Event):
    """An epoch has ended: `loss` is the mean over its steps."""

    kind = "epoch"

    epoch: int
    loss: float


@dataclass(frozen=True)
class RoundEvent(Event):
    """The model was evaluated: the mean loss of the round's steps, the next learning rate, figures of validation."""

    kind = "round"

    loss: float
    learning_rate: float
    validation: Mapping[str, float]


@dataclass(frozen=True)
class FinishEvent(Event):
    """The run has ended: why (`"complete"`, `"interrupted"`, `"patience"`), and the step of the best round."""

    kind = "finish"

    best_step: int
    reason: str


EVENTS: Mapping[str, type[Event]] = {
    each.kind: each for each in (StartEvent, StepEvent, EpochEvent, RoundEvent, FinishEvent)
}
"""The whole schema: the fields of an event by the name of the event."""


def event_line(event: Event) -> bytes:
    """An event as a line, without its end."""
    fields = to_plain(event)
    seconds = fields.pop("seconds")
    return dump({"event": event.kind, **fields, "seconds": seconds}).encode()


@contract
def read_events(path: str | os.PathLike[str], *, unfinished: bool = False) -> tuple[Any, ...]:
    """The events of a log, each line checked against the schema; `==` of two of them regards all but the clock.

    **Arguments:** `path`: of the JSON lines; `unfinished`: take a log whose last line is cut, as a killed process
    leaves it, without that line.
    **Returns:** events, as `EVENTS` names them, the start first.
    **Raises:** `ValueError` naming the first line that is wrong and what is wrong with it; `OSError` if the file cannot
    be read.
    """
    name = os.fspath(path)
    lines, rest = whole_lines(path)
    if rest and not unfinished:
        raise ValueError(
            f"{name!r}, line {len(lines) + 1} is unfinished, as a killed process leaves it: resume the run, or pass "
            "unfinished=True to read the lines before."
        )
    events: list[Event] = []
    for number, line in enumerate(lines, start=1):
        try:
            events.append(_event(line, events[-1] if events else None))
        except ValueError as error:
            raise ValueError(f"{name!r}, line {number}: {error}") from error
    if not events and not unfinished:
        raise ValueError(f"{name!r} is empty: the first line of a log is the start of its run.")
    return tuple(events)


def _event(line: bytes, before: Event | None) -> Event:
    try:
        table = parse(line.decode(), dict, "the line")
    except ModelFileError as error:
        raise ValueError(str(error)) from error
    kind = table.pop("event", None)
    if not isinstance(kind, str) or kind not in EVENTS:
        raise ValueError(f"`event` (={show(kind)}) must be one of {', '.join(EVENTS)}{guess(kind, EVENTS)}")
    if kind == "start" and table.get("version") != VERSION:
        raise ValueError(f"`version` (={show(table.get('version'))}) must be {VERSION}: it is of another matrinox")
    event = from_plain(EVENTS[kind], table, kind)
    if (before is None) != (kind == "start"):
        raise ValueError(f"`event` (={kind!r}) must be 'start' in the first line, and only there")
    if before is not None and (event.step < before.step or before.kind == "finish"):
        raise ValueError(f"`step` (={event.step}) of the {kind} comes behind the {before.kind} of step {before.step}")
    return event


def nine_digits(value: float) -> float:
    """The number as short as a log holds it: nine digits give back every bit of a float32."""
    return value if isinstance(value, int) else float(f"{value:.9g}")
