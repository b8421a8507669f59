"""The learning-rate finder: a short run at rates that grow exponentially, and what its losses say."""

import dataclasses
import io
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from matrinox.contract import contract
from matrinox.data.loader_of import Data
from matrinox.inspect.lens_figure import BLUE, GREY, ORANGE, new_figure
from matrinox.io.atomic import write_atomically
from matrinox.train.feed import Feed
from matrinox.train.freeze import Frozen
from matrinox.train.optim.schedule import Exponential
from matrinox.train.recipe import Recipe
from matrinox.train.step import Stepper

_STEPS_PER_CALL = 10


@dataclass(frozen=True, eq=False, repr=False)
class FoundRate:
    """What `find_learning_rate` gives.

    **Arguments:** `learning_rates`: of each step, `(steps,)`; `losses`: before each step, `(steps,)`; `diverged`:
    whether the run ended because the loss did.
    """

    learning_rates: np.ndarray
    losses: np.ndarray
    diverged: bool

    def __repr__(self) -> str:
        rate = self._suggested()
        found = "no rate at which the loss fell" if rate is None else f"suggestion {rate:.3g}"
        end = ", where the loss diverged" if self.diverged else ""
        first, last = self.learning_rates[0], self.learning_rates[-1]
        return f"FoundRate({found}: {len(self.losses)} steps at rates from {first:.3g} to {last:.3g}{end})"

    @property
    def smoothed(self) -> np.ndarray:
        """The losses, each the mean of those around it, a twentieth of the steps, `(steps,)`."""
        reach = max(1, len(self.losses) // 40)
        padded = np.pad(self.losses, reach, mode="edge")
        return np.convolve(padded, np.full(2 * reach + 1, 1 / (2 * reach + 1)), mode="valid")

    @property
    def suggestion(self) -> float:
        """A tenth of the rate at which the smoothed loss was lowest: where it still falls, and well before it rises.

        **Raises:** `ValueError` if the loss fell nowhere.
        """
        if (rate := self._suggested()) is None:
            raise ValueError(
                f"`learning_rates` (from {self.learning_rates[0]:.3g} to {self.learning_rates[-1]:.3g}) hold none at "
                "which the loss fell: try from a lower one, over more steps, and see that the model can learn."
            )
        return rate

    def plot(self) -> Any:
        """Loss over learning rate, as it was and smoothed, with the suggestion marked.

        **Returns:** a `matplotlib.figure.Figure`.
        **Raises:** `ImportError` without matplotlib, of the extra `viz`.
        """
        figure = new_figure(6.0, 3.6)
        ax = figure.subplots()
        ax.plot(self.learning_rates, self.losses, color=GREY, linewidth=0.8, alpha=0.7)
        ax.plot(self.learning_rates, self.smoothed, color=BLUE, linewidth=1.8)
        if (rate := self._suggested()) is not None:
            ax.axvline(rate, color=ORANGE, linewidth=1.4, label=f"suggestion {rate:.2g}")
            ax.legend(fontsize=8, frameon=False)
        ax.set(xscale="log", xlabel="learning rate", ylabel="loss")
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.6)
        return figure

    @contract
    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes the plot, in the format that the name ends with, `.png` where it ends with none.

        **Raises:** `ImportError` without matplotlib; `ValueError` for a format that it does not know; `OSError` if the
        file cannot be written: an older one is then as it was.
        """
        drawn = io.BytesIO()
        self.plot().savefig(drawn, format=Path(path).suffix.removeprefix(".") or "png")
        write_atomically(path, [drawn.getvalue()])

    def _suggested(self) -> float | None:
        smoothed = self.smoothed
        lowest = int(np.argmin(smoothed))
        return None if lowest == 0 else float(max(self.learning_rates[lowest] / 10, self.learning_rates[0]))


@contract
def find_learning_rate(
    model: Any,
    data: Data | Sequence[Any],
    recipe: Recipe,
    *,
    key: PRNGKeyArray,
    lowest: float = 1e-6,
    highest: float = 10.0,
    steps: int = 100,
    state: eqx.nn.State | None = None,
    frozen: Frozen | None = None,
) -> FoundRate:
    """Trains a copy for some steps, at a learning rate that grows from `lowest` to `highest`, until the loss diverges.

    The rate at step i is `lowest · (highest / lowest)^(i / (steps − 1))`. It ends early when the mean of the last few
    losses is twice the first, and as far above it as the lowest was below, or when a loss is not finite. The model
    given is left as it is.

    **Arguments:** `model`, `recipe`, `key`, `state`, `frozen`: as for `fit`; the recipe's learning rate and scheduler
    are set aside; `data`: the training examples, as `fit` takes them; `lowest`, `highest`: the first rate
    and the last; `steps`: at least 10; a hundred are enough for most.
    **Returns:** `FoundRate`: `.suggestion`, `.learning_rates`, `.losses`, `.plot()` and `.save(path)`.
    **Raises:** `ValueError` for rates that are not `0 < lowest < highest`, for fewer steps, and if a batch exceeds the
    examples; `FloatingPointError` if a loss is not finite from the start.
    **Source:** Smith 2017, arXiv 1506.01186, its range test, with exponential growth.
    """
    if not 0 < lowest < highest < math.inf:
        raise ValueError(
            f"`lowest` (={lowest}) and `highest` (={highest}) must be 0 < lowest < highest: 1e-6 and 10.0 are common."
        )
    if steps < 10:
        raise ValueError(f"`steps` (={steps}) must be at least 10: 100 are common.")
    growing = Exponential(factor=(highest / lowest) ** (1 / (steps - 1)), per="step")
    optimiser = dataclasses.replace(recipe.optimiser, learning_rate=lowest, scheduler=growing)
    stepper = Stepper.of(dataclasses.replace(recipe, optimiser=optimiser, average=None), steps, frozen=frozen)
    order_key, state_key = jax.random.split(key)
    feed = Feed(data, batch=recipe.batch, accumulate=recipe.accumulate, most=_STEPS_PER_CALL, key=order_key)
    now = stepper.start(model, state, key=state_key)
    losses, diverged = np.zeros(0), False
    while len(losses) < steps and not diverged:
        count = min(feed.most, steps - len(losses))
        now, taken = stepper.steps(now, feed.examples, feed.draw(len(losses) * recipe.accumulate, count), count)
        done = int(taken.count)
        losses = np.concatenate([losses, np.asarray(taken.loss, np.float64)[:done]])
        if not losses.size:
            raise FloatingPointError(
                "the loss or its gradient is not finite at the first step, before any rate is tried: see that every "
                f"input of {feed.data.name!r} is finite and every target one that the task takes."
            )
        diverged = done < count or _has_diverged(losses)
    return FoundRate(np.geomspace(lowest, highest, steps)[: len(losses)], losses, diverged)


def _has_diverged(losses: np.ndarray) -> bool:
    """Whether the mean of the last few is twice the first, and as far above it as the lowest was below."""
    first, recent = losses[0], losses[-5:].mean()
    return bool(recent > first + max(first - losses.min(), abs(first)))
