"""Hooks: what is called while a model is trained, and what it is told."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from matrinox.contract.options import Options
from matrinox.train.state import TrainState


@dataclass(frozen=True)
class Start:
    """A run begins or, behind a checkpoint, goes on.

    **Arguments:** `state`: before the next step; `steps`: of the whole run; `steps_per_epoch`; `figures`: of the model
    on the validation examples as they are now, empty without any.
    """

    state: TrainState
    steps: int
    steps_per_epoch: int
    figures: Mapping[str, float]

    @property
    def step(self) -> int:
        """How many steps the run has taken before: what a log holds beyond them is of no run any more."""
        return int(self.state.step)


@dataclass(frozen=True)
class Step:
    """A step was taken: the first is number 1. `loss` is that of its minibatch before the step."""

    step: int
    epoch: int
    loss: float
    learning_rate: float
    gradient_norm: float


@dataclass(frozen=True)
class Epoch:
    """An epoch has ended: the first is number 1. `loss` is the mean over its steps; `state` that behind the last."""

    epoch: int
    step: int
    loss: float
    state: TrainState


@dataclass(frozen=True)
class Round:
    """What is known after a round: steps taken, their mean loss, the next learning rate, and figures of validation."""

    step: int
    loss: float
    learning_rate: float
    validation: Mapping[str, float] = field(default_factory=dict)

    def beats(self, other: "Round | None") -> bool:
        """Whether the loss on the validation examples is lower, which is steadier than shares of a few hundred.

        Without such examples every round is the best so far: the last model is the one that is kept. A loss that is
        not finite is beaten by any that is.
        """
        if other is None or "loss" not in self.validation:
            return True
        ours, theirs = self.validation["loss"], other.validation["loss"]
        if math.isfinite(ours) != math.isfinite(theirs):
            return math.isfinite(ours)
        return ours < theirs


@dataclass(frozen=True)
class Finish:
    """A run has ended. `reason` is `"complete"`, `"interrupted"` or `"patience"`."""

    state: TrainState
    rounds: tuple[Round, ...]
    best: Round
    reason: str


def _nothing(*told: Any) -> None:
    del told


@dataclass(frozen=True)
class Hooks(metaclass=Options):
    """Functions that `fit` calls; `Hooks()` calls none, and `a + b` calls those of `a` and then those of `b`.

    None of them changes a digit of the run, but by what it raises: an exception ends it.

    **Arguments:** `on_start`: told a `Start`; `on_step`: a `Step`, for each step in turn, behind the compiled call that
    took it; `on_epoch_end`: an `Epoch`; `on_round`: the model as it is evaluated, and the `Round`; `on_best`: the same,
    for each round that is the best so far; `on_finish`: a `Finish`.
    **Raises:** `TypeError` for what is not callable.

    >>> hooks = Hooks(on_step=lambda now: print(now.step, now.loss)) + Hooks(on_finish=lambda end: print(end.reason))
    """

    on_start: Callable[[Start], Any] = _nothing
    on_step: Callable[[Step], Any] = _nothing
    on_epoch_end: Callable[[Epoch], Any] = _nothing
    on_round: Callable[[Any, Round], Any] = _nothing
    on_best: Callable[[Any, Round], Any] = _nothing
    on_finish: Callable[[Finish], Any] = _nothing

    def __post_init__(self):
        for each in fields(Hooks):
            if not callable(hook := getattr(self, each.name)):
                raise TypeError(f"`{each.name}` (={hook!r}) must be callable: give a function of what it is told.")

    def __add__(self, other: "Hooks") -> "Hooks":
        if not isinstance(other, Hooks):
            return NotImplemented
        both = {each.name: _in_turn(getattr(self, each.name), getattr(other, each.name)) for each in fields(Hooks)}
        return Hooks(**both)

    def listens(self, name: str) -> bool:
        """Whether the hook of that name calls anything."""
        return getattr(self, name) is not _nothing


def _in_turn(first: Callable[..., Any], second: Callable[..., Any]) -> Callable[..., Any]:
    if first is _nothing or second is _nothing:
        return first if second is _nothing else second

    def both(*told: Any) -> None:
        first(*told)
        second(*told)

    return both
