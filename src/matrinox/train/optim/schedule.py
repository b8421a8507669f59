"""Schedules as plain data: how the learning rate changes over a run, counted in steps or in epochs."""

import math
from abc import abstractmethod
from dataclasses import dataclass
from typing import Any, Literal

import jax.numpy as jnp
import optax

from matrinox.contract import contract
from matrinox.contract.options import Options
from matrinox.io.config import check_config

Per = Literal["step", "epoch"]
"""What a schedule counts."""

Span = int | float
"""A stretch of a run: an integer counts steps or epochs, and a float such as 0.1 is a share of the run."""


@dataclass(frozen=True, kw_only=True)
class Scheduler(metaclass=Options):
    """How the learning rate goes from warm-up to the end of a run; a subclass says how it goes once it is at its peak.

    **Arguments:** `warmup`: how long the rate rises linearly to its peak: an integer counts steps or epochs, a float
    such as 0.1 is a share of the run; `per`: what is counted: with `"epoch"` the rate is constant within an epoch, and
    the first one of a rise is not spent at zero.
    **Raises:** `ValueError` for a value of another type or outside its range.
    """

    warmup: Span = 0
    per: Per = "step"

    def __post_init__(self):
        check_config(self)
        _require_spans(self, "warmup")

    @contract
    def build(self, learning_rate: float, steps: int, *, steps_per_epoch: int = 1) -> optax.Schedule:
        """The learning rate as a function of the step.

        **Arguments:** `learning_rate`: the peak; `steps`: of the run; `steps_per_epoch`.
        **Raises:** `ValueError` if one of the two is below 1.
        """
        for name, count in (("steps", steps), ("steps_per_epoch", steps_per_epoch)):
            if count < 1:
                raise ValueError(f"`{name}` (={count}) must be at least 1: a schedule needs a length.")
        if self.per == "step":
            return self._whole(learning_rate, steps)
        by_epoch = self._whole(learning_rate, math.ceil(steps / steps_per_epoch))
        return lambda step: by_epoch(jnp.asarray(step) // steps_per_epoch)

    def _whole(self, peak: float, count: int) -> optax.Schedule:
        """The rate over `count` steps or epochs."""
        # optax wants at least one behind the warm-up.
        rise = min(_counted(self.warmup, count), count - 1)
        after = self._after_warmup(peak, rise, count)
        return after if rise == 0 else optax.join_schedules([self._rising(peak, rise), after], [rise])

    def _rising(self, peak: float, rise: int) -> optax.Schedule:
        """The rate over the warm-up."""
        return optax.linear_schedule(0.0 if self.per == "step" else peak / (rise + 1), peak, rise)

    @abstractmethod
    def _after_warmup(self, peak: float, rise: int, count: int) -> optax.Schedule:
        """The rate from step or epoch `rise` on, which is its 0, to `count`."""


@dataclass(frozen=True, kw_only=True)
class Constant(Scheduler):
    """The peak, to the end.

    **Arguments, Raises:** as for `Scheduler`.
    """

    def _after_warmup(self, peak: float, rise: int, count: int) -> optax.Schedule:
        return optax.constant_schedule(peak)


@dataclass(frozen=True, kw_only=True)
class _Falling(Scheduler):
    end: float = 0.0

    def __post_init__(self):
        super().__post_init__()
        if not 0 <= self.end <= 1:
            raise ValueError(f"`end` (={self.end}) must be from 0 to 1: it is a share of the peak.")


@dataclass(frozen=True, kw_only=True)
class Linear(_Falling):
    """A straight line from the peak to its share `end`.

    **Arguments:** `warmup`, `per`: as for `Scheduler`; `end`: what is left of the peak when the run is over.
    **Raises:** as `Scheduler`.
    """

    def _after_warmup(self, peak: float, rise: int, count: int) -> optax.Schedule:
        return optax.linear_schedule(peak, self.end * peak, count - rise)


@dataclass(frozen=True, kw_only=True)
class Cosine(_Falling):
    """Half a cosine from the peak to its share `end`.

    **Arguments, Raises:** as for `Linear`.
    **Source:** Loshchilov and Hutter 2017, arXiv 1608.03983, without restarts.
    """

    def _after_warmup(self, peak: float, rise: int, count: int) -> optax.Schedule:
        return optax.cosine_decay_schedule(peak, count - rise, self.end)


@dataclass(frozen=True, kw_only=True)
class StepDecay(Scheduler):
    """Multiplied by `factor` every so often: `peak · factor^⌊i / every⌋`, i from the end of the warm-up.

    **Arguments:** `warmup`, `per`: as for `Scheduler`, by default by the epoch; `every`: how long until the next one,
    as `warmup` is given; `factor`.
    **Raises:** as `Scheduler`.
    **Source:** `torch.optim.lr_scheduler.StepLR`.
    """

    per: Per = "epoch"
    every: Span
    factor: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        _require_spans(self, "every", least=1)
        _require_factor(self.factor)

    def _after_warmup(self, peak: float, rise: int, count: int) -> optax.Schedule:
        every = max(_counted(self.every, count), 1)
        return optax.exponential_decay(peak, every, self.factor, staircase=True)


@dataclass(frozen=True, kw_only=True)
class MultiStep(Scheduler):
    """Multiplied by `factor` at each of the places `at` of the run.

    **Arguments:** `warmup`, `per`: as for `Scheduler`, by default by the epoch; `at`: places in rising order, each as
    `warmup` is given; `factor`.
    **Raises:** as `Scheduler`; `ValueError` if the places do not rise.
    **Source:** `torch.optim.lr_scheduler.MultiStepLR`.
    """

    per: Per = "epoch"
    at: tuple[Span, ...]
    factor: float = 0.1

    def __post_init__(self):
        super().__post_init__()
        _require_spans(self, "at", least=1)
        _require_factor(self.factor)
        if not self.at or list(self.at) != sorted(set(self.at)) or len({type(place) for place in self.at}) > 1:
            raise ValueError(
                f"`at` (={self.at}) must rise, all integers or all shares: write such as (30, 60) or (0.5, 0.75)."
            )

    def _after_warmup(self, peak: float, rise: int, count: int) -> optax.Schedule:
        factors: dict[int, float] = {}
        # In a short run, two shares may fall on one step, and within the warm-up.
        for place in (max(_counted(each, count) - rise, 0) for each in self.at):
            factors[place] = factors.get(place, 1.0) * self.factor
        return optax.piecewise_constant_schedule(peak, factors)


@dataclass(frozen=True, kw_only=True)
class Exponential(Scheduler):
    """`peak · factor^i`, i from the end of the warm-up; a factor above 1 makes it grow.

    **Arguments:** `warmup`, `per`: as for `Scheduler`, by default by the epoch; `factor`: such as 0.95.
    **Raises:** as `Scheduler`.
    **Source:** `torch.optim.lr_scheduler.ExponentialLR`.
    """

    per: Per = "epoch"
    factor: float

    def __post_init__(self):
        super().__post_init__()
        _require_factor(self.factor)

    def _after_warmup(self, peak: float, rise: int, count: int) -> optax.Schedule:
        return optax.exponential_decay(peak, 1, self.factor)


@dataclass(frozen=True, kw_only=True)
class WarmupStableDecay(_Falling):
    """The peak for most of the run, then a straight line to its share `end` over the last `decay`.

    **Arguments:** `warmup`, `per`: as for `Scheduler`; `decay`: how long the rate falls, as `warmup` is given; `end`:
    what is left of the peak when the run is over.
    **Raises:** as `Scheduler`; `ValueError` if shares of warm-up and decay are more than the run.
    **Source:** Hu et al. 2024, arXiv 2404.06395.
    """

    warmup: Span = 0.1
    decay: Span = 0.2

    def __post_init__(self):
        super().__post_init__()
        _require_spans(self, "decay", least=1)
        if isinstance(self.warmup, float) and isinstance(self.decay, float) and self.warmup + self.decay > 1:
            raise ValueError(
                f"`warmup` (={self.warmup}) and `decay` (={self.decay}) must be 1 or less together: they are shares "
                "of one run."
            )

    def _after_warmup(self, peak: float, rise: int, count: int) -> optax.Schedule:
        fall = min(max(_counted(self.decay, count), 1), count - rise)
        line = optax.linear_schedule(peak, self.end * peak, fall)
        return optax.join_schedules([optax.constant_schedule(peak), line], [count - rise - fall])


@dataclass(frozen=True, kw_only=True)
class OneCycle(Scheduler):
    """Up along half a cosine from `peak / start` to the peak, and down along another to `peak / (start · end)`.

    **Arguments:** `warmup`: how long it goes up; `per`: as for `Scheduler`; `start`, `end`: divisors, at least 1.
    **Raises:** as `Scheduler`.
    **Source:** Smith and Topin 2017, arXiv 1708.07120; `optax.cosine_onecycle_schedule`.
    """

    warmup: Span = 0.3
    start: float = 25.0
    end: float = 1e4

    def __post_init__(self):
        super().__post_init__()
        for name in ("start", "end"):
            if not 1 <= getattr(self, name) < math.inf:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be finite and at least 1: it is a divisor.")

    def _rising(self, peak: float, rise: int) -> optax.Schedule:
        fall = optax.cosine_decay_schedule(peak, rise, 1 / self.start)
        return lambda step: fall(rise - jnp.asarray(step))

    def _after_warmup(self, peak: float, rise: int, count: int) -> optax.Schedule:
        return optax.cosine_decay_schedule(peak, count - rise, 1 / (self.start * self.end))


def _counted(span: Span, count: int) -> int:
    """A stretch of a run of `count` steps or epochs, in these."""
    return round(span * count) if isinstance(span, float) else span


def _require_spans(config: Any, name: str, *, least: int = 0) -> None:
    """Refuses a span, or a tuple of them, below `least`, or below 0 or from 1 on where it is a share."""
    value = getattr(config, name)
    for span in value if isinstance(value, tuple) else (value,):
        if isinstance(span, int) and span < least:
            raise ValueError(f"`{name}` (={value}) must be at least {least}: it counts steps or epochs.")
        if isinstance(span, float) and not (0 < span < 1 if least else 0 <= span < 1):
            raise ValueError(
                f"`{name}` (={value}) must be {'above' if least else 'from'} 0 and below 1: as a float it is a share "
                "of the run."
            )


def _require_factor(factor: float) -> None:
    if not 0 < factor < math.inf:
        raise ValueError(f"`factor` (={factor}) must be positive and finite: 0.1 and 0.95 are common.")
