"""The loop: one step, many steps in one compiled call, evaluation, and `fit`, which puts them together."""

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array, lax
from jaxtyping import Float, Integer, PRNGKeyArray, PyTree, Shaped

from matrinox.contract import AnyArray, contract
from matrinox.data import DataSet, minibatches
from matrinox.data.augment import shift_images
from matrinox.io.config import check_config
from matrinox.train.freeze import Frozen
from matrinox.train.optim import AdamW
from matrinox.train.state import TrainState
from matrinox.train.task import Classification

Augmentation = Callable[[PRNGKeyArray, Array], Array]


@dataclass(frozen=True)
class Recipe:
    """How to train: everything but the model, the data and the seed.

    **Arguments:** `steps`: of the optimiser, in all; `batch`: examples in a step; `steps_per_round`: how many steps one
    compiled call takes, after which the model is evaluated; `shift`: by how many pixels images are moved at most;
    `task`; `optimiser`.
    **Raises:** `ValueError` for a value of another type or a size out of range.
    """

    steps: int
    batch: int = 64
    steps_per_round: int = 20
    shift: int = 0
    task: Classification = field(default_factory=Classification)
    optimiser: AdamW = field(default_factory=AdamW)

    def __post_init__(self):
        check_config(self)
        for name, least in (("steps", 1), ("batch", 1), ("steps_per_round", 1), ("shift", 0)):
            if getattr(self, name) < least:
                raise ValueError(f"`{name}` (={getattr(self, name)}) must be at least {least}: choose a larger number.")

    def augmentation(self) -> Augmentation | None:
        """What is done to the inputs of a minibatch before a step; `None` for nothing."""
        return functools.partial(shift_images, pixels=self.shift) if self.shift else None


@dataclass(frozen=True)
class Round:
    """What is known after a round: steps taken, their mean loss, the next learning rate, and validation."""

    step: int
    loss: float
    learning_rate: float
    validation_loss: float
    validation_accuracy: float

    def beats(self, other: "Round | None") -> bool:
        """Whether validation is better: by loss, which is steadier than the accuracy on a few hundred examples."""
        return other is None or self.validation_loss < other.validation_loss


@dataclass(frozen=True)
class Evaluation:
    """A model on a data set: mean loss, accuracy, and the predicted class of each example, `(examples,)`."""

    loss: float
    accuracy: float
    predictions: np.ndarray


@dataclass(frozen=True)
class Fitted:
    """What `fit` gives: the best model by validation loss, its round, all rounds, the last state, if Ctrl-C came."""

    model: Any
    best: Round
    rounds: tuple[Round, ...]
    state: TrainState
    interrupted: bool


@contract
def train_step(
    state: TrainState,
    inputs: Shaped[AnyArray, "batch ..."],
    targets: Shaped[AnyArray, "batch ..."],
    *,
    task: Classification,
    optimiser: optax.GradientTransformation,
    augment: Augmentation | None = None,
) -> tuple[TrainState, Float[Array, ""]]:
    """One step: gradient of the task's loss on a minibatch, and the optimiser's update.

    **Arguments:** `state`; `inputs`, `targets`: `(batch, …)`; `task`, `optimiser`; `augment`: changes the inputs first.
    **Returns:** the next state, and the loss before the step, 0-d.
    **Raises:** `ContractError` if there are not as many inputs as targets.
    """
    augment_key, model_key = jax.random.split(state.step_key())
    x = jnp.asarray(inputs) if augment is None else augment(augment_key, jnp.asarray(inputs))
    parameters, rest = eqx.partition(state.model, eqx.is_inexact_array)

    def loss_of(parameters: PyTree) -> Array:
        return task.loss(eqx.combine(parameters, rest)(x, key=model_key), targets)

    loss, gradient = jax.value_and_grad(loss_of)(parameters)
    updates, optimiser_state = optimiser.update(gradient, state.optimiser_state, parameters)
    model = eqx.apply_updates(state.model, updates)
    return TrainState(model, optimiser_state, state.step + 1, state.key), loss


@eqx.filter_jit
@contract
def train_steps(
    state: TrainState,
    data: DataSet,
    indices: Integer[AnyArray, "steps batch"],
    *,
    task: Classification,
    optimiser: optax.GradientTransformation,
    augment: Augmentation | None = None,
) -> tuple[TrainState, Float[Array, " steps"]]:
    """Several steps in one compiled call, as `lax.scan` over minibatches: small models are bound by dispatch otherwise.

    **Arguments:** `state`; `data`: the examples; `indices`: `(steps, batch)`, as `minibatches` gives them; `task`,
    `optimiser`, `augment`: as for `train_step`, the same objects from call to call.
    **Returns:** the state behind the last step, and the loss of each, `(steps,)`.
    **Raises:** `ContractError` if `indices` does not have two axes of integers.
    """
    arrays, rest = eqx.partition(state, eqx.is_array)

    def body(arrays: PyTree, rows: Array) -> tuple[PyTree, Array]:
        before = eqx.combine(arrays, rest)
        after, loss = train_step(
            before, data.inputs[rows], data.targets[rows], task=task, optimiser=optimiser, augment=augment
        )
        return eqx.filter(after, eqx.is_array), loss

    arrays, losses = lax.scan(body, arrays, jnp.asarray(indices))
    return eqx.combine(arrays, rest), losses


@contract
def apply_model(
    model: Callable[..., Any], inputs: Shaped[AnyArray, "examples ..."], *, batch: int = 512
) -> Shaped[Array, "examples ..."]:
    """The model's outputs in inference mode, computed `batch` examples at a time.

    **Arguments:** `model`: called as `model(inputs)`; `inputs`: `(examples, …)`; `batch`: bounds the memory used.
    **Returns:** `(examples, …)`.
    **Raises:** `ContractError` if `inputs` has no axis; `ValueError` if there are no examples or `batch` is below 1.
    """
    if batch < 1:
        raise ValueError(f"`batch` (={batch}) must be 1 or more: choose how many examples go at a time.")
    if len(inputs) == 0:
        raise ValueError("`inputs` has 0 examples, which must be 1 or more: there is nothing to apply the model to.")
    model, inputs = eqx.nn.inference_mode(model), jnp.asarray(inputs)
    return jnp.concatenate([_apply(model, inputs[at : at + batch]) for at in range(0, len(inputs), batch)])


@eqx.filter_jit
def _apply(model: Callable[..., Any], inputs: Array) -> Array:
    return model(inputs)


@contract
def evaluate(model: Callable[..., Any], data: DataSet, task: Classification, *, batch: int = 512) -> Evaluation:
    """The model on every example of a data set, in inference mode.

    **Arguments:** `model`: called as `model(inputs)`, giving logits `(examples, classes)`; `data`; `task`; `batch`:
    as for `apply_model`.
    **Returns:** the mean loss, the accuracy and the predictions.
    **Raises:** `ContractError` if the model's outputs are not logits; `ValueError` as `apply_model`.
    """
    logits = apply_model(model, data.inputs, batch=batch)
    accuracy = float(np.mean(np.asarray(task.hits(logits, data.targets))))
    return Evaluation(float(task.loss(logits, data.targets)), accuracy, np.asarray(task.predict(logits)))


@contract
def fit(
    model: Any,
    train: DataSet,
    validation: DataSet,
    recipe: Recipe,
    *,
    key: PRNGKeyArray,
    frozen: Frozen | None = None,
    on_round: Callable[[Round], None] | None = None,
    on_best: Callable[[Any, Round], None] | None = None,
    on_model: Callable[[Any, Round], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
) -> Fitted:
    """Trains a model and keeps the best by validation loss; the same key gives the same digits on the same machine.

    Ctrl-C, or `should_stop`, ends the run early: what was best until then is returned, marked `interrupted`.

    **Arguments:** `model`: called as `model(inputs, key=key)`, giving logits; `train`, `validation`; `recipe`; `key`;
    `frozen`: what `freeze` gives for this model, to train the rest of it; `on_round`: called after every round;
    `on_best`: called with the model after every round that is the best so far; `on_model`: called with the model after
    every round, as a `LensCallback` is; `should_stop`: asked before the first round and after every other but the last.
    **Returns:** `Fitted`.
    **Raises:** `FloatingPointError` if the loss is no longer finite; `ValueError` if a batch exceeds the examples;
    `ContractError` if an argument is not of its type; `KeyboardInterrupt` if stopped before a first round.
    """
    order_key, state_key = jax.random.split(key)
    optimiser, schedule = recipe.optimiser.build(recipe.steps), recipe.optimiser.schedule(recipe.steps)
    if frozen is not None:
        optimiser = frozen.optimiser(optimiser)
    augment = recipe.augmentation()
    state = TrainState.start(model, optimiser, key=state_key)
    rounds: list[Round] = []
    kept: tuple[Any, Round] | None = None
    interrupted = False
    if should_stop is not None and should_stop():
        raise KeyboardInterrupt
    try:
        for first in range(0, recipe.steps, recipe.steps_per_round):
            count = min(recipe.steps_per_round, recipe.steps - first)
            indices = minibatches(order_key, len(train), recipe.batch, first=first, count=count)
            state, losses = train_steps(state, train, indices, task=recipe.task, optimiser=optimiser, augment=augment)
            loss, step = float(losses.mean()), first + count
            if not math.isfinite(loss):
                raise FloatingPointError(
                    f"the loss is {loss} at step {step}: lower the learning rate or the clip, "
                    "and see that every target is a class of the model."
                )
            seen = evaluate(state.model, validation, recipe.task)
            now = Round(step, loss, float(np.asarray(schedule(step))), seen.loss, seen.accuracy)
            rounds.append(now)
            best = now.beats(kept[1] if kept else None)
            if best:
                kept = (state.model, now)
            if on_round is not None:
                on_round(now)
            if best and on_best is not None:
                on_best(state.model, now)
            if on_model is not None:
                on_model(state.model, now)
            if should_stop is not None and step < recipe.steps and should_stop():
                interrupted = True
                break
    except KeyboardInterrupt:
        if kept is None:
            raise
        interrupted = True
    assert kept is not None
    return Fitted(*kept, tuple(rounds), state, interrupted)
