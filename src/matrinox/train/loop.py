"""`fit`: the pieces of training put together, from the first step to the best model."""

import functools
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from matrinox.contract import contract
from matrinox.data.examples import Examples
from matrinox.data.loader_of import Data
from matrinox.train.checkpoint import Checkpoints, Progress, identity_of
from matrinox.train.evaluate import evaluate
from matrinox.train.feed import Feed, data_of
from matrinox.train.finite import first_not_finite
from matrinox.train.freeze import Frozen
from matrinox.train.hooks import Epoch, Finish, Hooks, Round, Start, Step
from matrinox.train.recipe import Recipe
from matrinox.train.shard.placement import NOWHERE, Placement, placement
from matrinox.train.shard.processes import any_of, in_main
from matrinox.train.shard.specs import Rules
from matrinox.train.state import TrainState
from matrinox.train.step import Stepper

_NO_HOOKS = Hooks()
# Steps in a call, where the recipe leaves it open: what a loader gives for them is in memory all at once.
_CALL_OF_LOADER = 16


@dataclass(frozen=True)
class Fitted:
    """What `fit` gives; `print` compares before and after.

    **Arguments:** `model`: the best by validation loss, or the last where nothing was validated; `model_state`: its
    running statistics, or `None`; `best`: its round; `rounds`: all; `state`: behind the last step; `before`: figures of
    the model as given, on the validation examples; `reason`: why it ended, `"complete"`, `"interrupted"` (Ctrl-C, or
    `should_stop`) or `"patience"`; `seconds`: taken, by all runs that this one went on from too.
    """

    model: Any
    model_state: eqx.nn.State | None
    best: Round
    rounds: tuple[Round, ...]
    state: TrainState
    before: dict[str, float]
    reason: str
    seconds: float

    @property
    def interrupted(self) -> bool:
        """Whether the run was stopped early by Ctrl-C or `should_stop`."""
        return self.reason == "interrupted"

    def __str__(self) -> str:
        lines = [
            f"{self.reason}: {self.rounds[-1].step} steps in {self.seconds:.1f} s, loss {self.rounds[-1].loss:.4g}"
        ]
        width = max(map(len, self.best.validation), default=0)
        for name, after in self.best.validation.items():
            lines.append(f"  {name:{width}}  {self.before[name]:.4g} before, {after:.4g} at step {self.best.step}")
        return "\n".join(lines)


@contract
def fit(
    model: Any,
    train: Data | Sequence[Any],
    validation: Data | Sequence[Any] | None,
    recipe: Recipe,
    *,
    key: PRNGKeyArray,
    state: eqx.nn.State | None = None,
    frozen: Frozen | None = None,
    hooks: Hooks = _NO_HOOKS,
    checkpoints: Checkpoints | None = None,
    resume: bool = False,
    should_stop: Callable[[], bool] | None = None,
    mesh: Mapping[str, int] | jax.sharding.Mesh | None = None,
    rules: Rules | None = None,
) -> Fitted:
    """Trains a model and keeps the best by validation loss; the same key gives the same digits on the same machine.

    Ctrl-C, or `should_stop`, ends the run early: what was best until then is returned, marked `interrupted`.

    With `resume=False`, a folder of `checkpoints` that holds a run is refused, or its two files are removed first
    (`Checkpoints(folder, overwrite=True)`). With `resume=True`, what is given is compared with what the run was begun
    with: the recipe as `Recipe.described` tells it, functions by name alone; the model and the examples, by hash; the
    key; and the patterns of `frozen`. What hooks write is their own: `JsonLines` begins its file anew, or goes on.

    **Arguments:** `model`: called as `model(inputs, key=key)`, or `model(inputs, state, key=key)` if it has a `state`;
    `train`: examples in memory or on disk, a loader, or samples `(input, target)` one by one; `validation`: the same,
    what the best model is chosen on, or `None` to keep the last; `recipe`; `key`; `state`: the model's `eqx.nn.State`;
    `frozen`: what `freeze` gives for this model, to train the rest of it; `hooks`: called on the way; `checkpoints`:
    where to write the best model and the last state; `resume`: goes on from that state, if there is one, to the digits
    of a run without a break; `should_stop`: asked before the first round and after every other but the last; `mesh`,
    `rules`: over which devices batch and weights are cut, as for `placement`. With several processes each calls `fit`
    alike; the first one alone calls hooks and writes files, in a folder that all can read.
    **Returns:** `Fitted`, with arrays of this process's own.
    **Raises:** `FloatingPointError` if a loss or gradient is not finite, naming the step, the minibatch and what was
    first not finite; the files of the round before are as they were. `ValueError` if the loss on `validation` is not
    finite before the first step, if a batch exceeds the examples, if a loader ends, for `patience` without
    `validation`, if `resume` finds a checkpoint of another run or is given with `overwrite`, for a loss that is not one
    number, and as `Stepper.start` and `placement`; `FileExistsError` if the folder of `checkpoints` holds a run, and
    neither `resume` nor `overwrite` is given; `TypeError` for a model that is a class or not callable; `ModelFileError`
    if a file cannot be written or read; `ContractError` if an argument is not of its type; `KeyboardInterrupt` if
    stopped before a first round.

    >>> from matrinox import data, nn, train
    >>> x = jax.random.normal(jax.random.key(0), (64, 3, 2, 2))
    >>> parts = data.split(data.DataSet(x, (jnp.trace(x.sum(1), axis1=-2, axis2=-1) > 0).astype(int)))
    >>> model = nn.Sequential([nn.Dense(p=3, q=2, n=2, key=jax.random.key(1)), nn.Trace()])
    >>> recipe = train.Recipe(epochs=20, batch=8, optimiser=train.AdamW(learning_rate=0.1))
    >>> fitted = train.fit(model, parts.train, parts.validation, recipe, key=jax.random.key(2))
    >>> fitted.reason, fitted.best.validation["loss"] < fitted.before["loss"]
    ('complete', True)
    """
    if resume and checkpoints is None:
        raise ValueError("`resume` (=True) needs `checkpoints`: name the folder of the run to go on with.")
    if recipe.patience is not None and validation is None:
        raise ValueError(f"`patience` (={recipe.patience}) needs `validation`: give the examples on which it counts.")
    validation = None if validation is None else data_of(validation)
    where = placement(mesh, model, rules)
    return _Run(model, train, validation, recipe, key, state, frozen, hooks, checkpoints, should_stop, where).go(resume)


class _Run:
    """One run of `fit`: what stays the same, and what `go` changes step by step."""

    def __init__(
        self,
        model: Any,
        train: Data | Sequence[Any],
        validation: Data | None,
        recipe: Recipe,
        key: PRNGKeyArray,
        model_state: eqx.nn.State | None,
        frozen: Frozen | None,
        hooks: Hooks,
        checkpoints: Checkpoints | None,
        should_stop: Callable[[], bool] | None,
        where: Placement,
    ):
        order_key, state_key = jax.random.split(key)
        self.recipe, self.hooks, self.checkpoints, self.validation = recipe, hooks, checkpoints, validation
        self.feed = Feed(train, batch=recipe.batch, accumulate=recipe.accumulate, key=order_key)
        self.train, self.where = self.feed.data, where
        where.check_batch(recipe.batch if isinstance(self.train, Examples) else self.train.batch)
        self.per_epoch = max(1, self.feed.per_epoch // recipe.accumulate)
        self.steps = recipe.steps or self.feed.step_of_epoch(recipe.epochs or 1)
        longest = recipe.steps_per_round or self.feed.step_of_epoch(1)
        per_call = recipe.steps_per_call or (longest if self.feed.examples is not None else _CALL_OF_LOADER)
        self.feed.most = min(per_call, longest, self.steps)
        options: Any = {"frozen": frozen, "placement": where}
        self.stepper = Stepper.of(recipe, self.steps, steps_per_epoch=self.per_epoch, **options)
        schedule = recipe.optimiser.schedule(self.steps, steps_per_epoch=self.per_epoch)
        self.rates = np.asarray(jax.vmap(schedule)(jnp.arange(self.steps + 1)), np.float64)
        self.state = self.stepper.start(model, model_state, key=state_key)
        self.best: tuple[Any, Any] = (self.state.evaluated(), model_state)
        self.progress, self.is_saved = Progress(), False
        self.should_stop = should_stop or (lambda: False)
        sources = {"train": self.train, "validation": validation}
        self.identity = {} if checkpoints is None else identity_of(recipe, model, key, frozen, sources)

    def go(self, resume: bool) -> Fitted:
        """Runs to the end."""
        started, taken = time.perf_counter(), 0.0
        if self.checkpoints is not None:
            in_main(functools.partial(self.checkpoints.prepare, resume=resume))
            if resume:
                taken = self._go_on(self.checkpoints)
        self.state, self.feed.examples = self.where.put(self.state), self.where.replicate(self.feed.examples)
        if any_of(self.should_stop()):
            raise KeyboardInterrupt
        step = int(self.state.step)
        if step == 0:
            self.progress = Progress(before=_finite(self._figures()))
        seen = dict(self.progress.rounds[-1].validation if self.progress.rounds else self.progress.before)
        start = Start(self.where.fetch(self.state), self.steps, self.per_epoch, seen)
        in_main(lambda: self.hooks.on_start(start))
        reason = self._reason_to_stop(asked=False)
        try:
            while step < self.steps and reason == "complete":
                self._round(min(self._end_of_round(step), self.steps), started - taken)
                step = int(self.state.step)
                reason = self._reason_to_stop(asked=step < self.steps)
                self._save_last(is_end=step == self.steps or reason != "complete")
        except KeyboardInterrupt:
            # Where others wait for this process, there is no more that it can do with them.
            if not self.progress.rounds or jax.process_count() > 1:
                raise
            reason = "interrupted"
        best, rounds = self.progress.best, self.progress.rounds
        assert best is not None
        state = self.where.fetch(self.state)
        in_main(lambda: self.hooks.on_finish(Finish(state, rounds, best, reason)))
        seconds = time.perf_counter() - started + taken
        return Fitted(*self.best, best, rounds, state, dict(self.progress.before), reason, seconds)

    def _go_on(self, checkpoints: Checkpoints) -> float:
        """Takes up the last state, if there is one; gives the seconds that the run took before."""
        found = checkpoints.load_last(self.state, self.identity)
        if any_of(found is None) and any_of(found is not None):
            raise ValueError(f"{str(checkpoints.last)!r} must be seen by all processes or none: share the folder.")
        if found is None:
            return 0.0
        self.state, self.best, self.progress = found
        self.is_saved = True
        if (best := self.progress.best) is not None:
            # A killed run may have written the best model of a round that is yet to come.
            in_main(lambda: checkpoints.save_best(*self.best, best))
        return self.progress.seconds

    def _reason_to_stop(self, *, asked: bool) -> str:
        """Why not to take another round; `"complete"` if there is no reason."""
        if asked and any_of(self.should_stop()):
            return "interrupted"
        rounds, patience = self.progress.rounds, self.recipe.patience
        if patience is None or self.progress.best is None:
            return "complete"
        return "patience" if len(rounds) - 1 - rounds.index(self.progress.best) >= patience else "complete"

    def _save_last(self, *, is_end: bool) -> None:
        checkpoints = self.checkpoints
        if checkpoints is not None and (is_end or len(self.progress.rounds) % checkpoints.every == 0):
            state = self.where.fetch(self.state)
            in_main(lambda: checkpoints.save_last(state, self.best, self.progress, self.identity))
            self.is_saved = True

    def _end_of_round(self, step: int) -> int:
        if self.recipe.steps_per_round is not None:
            return step + self.recipe.steps_per_round
        return self.feed.step_of_epoch(self.feed.epoch_of(step + 1))

    def _round(self, end: int, started: float) -> None:
        """Takes the steps of a round, evaluates, tells the hooks, and writes the files."""
        losses: list[float] = []
        while (step := int(self.state.step)) < end:
            epoch_end = self.feed.step_of_epoch(self.feed.epoch_of(step + 1))
            losses += self._call(step, min(self.feed.most, end - step, epoch_end - step))
            if int(self.state.step) == epoch_end:
                self._end_epoch(epoch_end)
        now = Round(end, float(np.mean(losses)), float(self.rates[end]), self._figures())
        is_best = now.beats(self.progress.best)
        model, model_state = self.where.fetch((self.state.evaluated(), self.state.model_state))
        rounds, seconds = (*self.progress.rounds, now), round(time.perf_counter() - started, 3)
        # Together, as Ctrl-C may come anywhere: the best model is that of the best round.
        self.best, self.progress = (
            (model, model_state) if is_best else self.best,
            replace(self.progress, rounds=rounds, seconds=seconds),
        )

        def tell() -> None:
            if is_best and self.checkpoints is not None:
                self.checkpoints.save_best(model, model_state, now)
            self.hooks.on_round(model, now)
            if is_best:
                self.hooks.on_best(model, now)

        in_main(tell)

    def _call(self, step: int, count: int) -> list[float]:
        """Takes so many steps in one compiled call, tells the hooks of each, and gives their losses."""
        position = int(self.state.position)
        batches = self.feed.draw(position, count)
        if self.feed.examples is None:
            batches = self.where.put_batch(batches, axis=1)
        self.state, taken = self.stepper.steps(self.state, self.feed.examples, batches, count)
        taken = self.where.fetch(taken)
        done = int(taken.count)
        losses, norms = np.asarray(taken.loss, np.float64), np.asarray(taken.gradient_norm, np.float64)

        def tell() -> None:
            for i in range(done if self.hooks.listens("on_step") else 0):
                number = step + i + 1
                rate, loss, norm = float(self.rates[number - 1]), float(losses[i]), float(norms[i])
                self.hooks.on_step(Step(number, self.feed.epoch_of(number), loss, rate, norm))

        in_main(tell)
        total, steps = self.progress.epoch_loss
        self.progress = replace(self.progress, epoch_loss=(total + float(losses[:done].sum()), steps + done))
        if done < count:
            self._refuse(step + done, losses[done], jax.tree.map(lambda array: array[done], batches))
        return losses[:done].tolist()

    def _refuse(self, step: int, loss: float, batch: PyTree) -> None:
        """Stops at a loss or gradient that is not finite, and says what was the first of it."""
        # One device will do, and may look at every value.
        state, batch = self.where.fetch((self.state, batch))
        inputs, targets = self.train.gather(jnp.asarray(batch)) if isinstance(self.train, Examples) else batch
        where = first_not_finite(replace(self.stepper, placement=NOWHERE), state, inputs, targets)
        epoch, minibatch = divmod(step * self.recipe.accumulate, self.feed.per_epoch)
        kept = f" {self.checkpoints.last} holds the last good state." if self.checkpoints and self.is_saved else ""
        raise FloatingPointError(
            f"the loss is {loss:.4g} at step {step + 1}, minibatch {minibatch + 1} of {self.feed.per_epoch} in epoch "
            f"{epoch + 1}; not finite first is {where}. Lower the learning rate or the clip, and see that every input "
            f"is finite and every target one that the task takes.{kept}"
        )

    def _end_epoch(self, step: int) -> None:
        total, steps = self.progress.epoch_loss
        self.progress = replace(self.progress, epoch_loss=(0.0, 0))
        if any_of(self.hooks.listens("on_epoch_end")):
            epoch = Epoch(self.feed.epoch_of(step), step, total / steps, self.where.fetch(self.state))
            in_main(lambda: self.hooks.on_epoch_end(epoch))

    def _figures(self) -> dict[str, float]:
        if self.validation is None:
            return {}
        options: Any = {"state": self.state.model_state, "placement": self.where}
        return evaluate(self.state.evaluated(), self.validation, self.recipe.task, **options).figures


def _finite(figures: dict[str, float]) -> dict[str, float]:
    """The figures that a run begins with: where their loss is not finite, no later one can be compared with it."""
    if not math.isfinite(loss := figures.get("loss", 0.0)):
        raise ValueError(
            f"the loss on `validation` (={loss:.4g}) must be finite before the first step: every weight and input must "
            "be finite, and every target one that the task takes."
        )
    return figures
