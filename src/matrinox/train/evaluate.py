"""Evaluation: a model on examples that it does not learn from, a minibatch at a time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jaxtyping import PyTree, Shaped

from matrinox.contract import AnyArray, contract
from matrinox.data.loader_of import Data, loader_of
from matrinox.train.report import report_line
from matrinox.train.shard.placement import NOWHERE, Placement
from matrinox.train.step import call_model
from matrinox.train.task import Tally, Task


@dataclass(frozen=True)
class Evaluation:
    """A model on examples: the task's figures, and what it says of each example if that was asked for, else `None`.

    **Arguments:** `figures`; `predictions`; `sums`: over all examples, of which the task made the figures, and what it
    counted besides, such as the confusion matrix of a `Classification`; `records`: what the task keeps of each example,
    if that was asked for.
    """

    figures: dict[str, float]
    predictions: Any = None
    sums: Mapping[str, np.ndarray] = field(default_factory=dict)
    records: Mapping[str, np.ndarray] = field(default_factory=dict)

    def __str__(self) -> str:
        return report_line("evaluation", self)

    @property
    def loss(self) -> float:
        """The mean loss."""
        return self.figures["loss"]


@contract
def evaluate(
    model: Callable[..., Any],
    data: Data,
    task: Task,
    *,
    state: eqx.nn.State | None = None,
    batch: int = 512,
    predictions: bool = False,
    records: bool = False,
    placement: Placement = NOWHERE,
) -> Evaluation:
    """The figures of a model on every example, in inference mode; one minibatch at a time is in memory, none shuffled.

    **Arguments:** `model`: called as `model(inputs)`, or `model(inputs, state)` if it has a `state`; `data`: examples
    in memory or on disk, of which `batch` go at a time, or a loader; `task`; `predictions`: whether to keep what the
    task predicts; `records`: whether to keep what a log does; `placement`: over which devices it is computed, as
    `placement` gives it.
    **Returns:** the figures over all examples, and the predictions and records `(examples, …)` that were asked for.
    **Raises:** `ValueError` if there are no examples or `batch` is below 1; `ContractError` if the model's outputs are
    not what the task takes.
    """
    kept: list[Any] = []
    model, state = placement.put((eqx.nn.inference_mode(model), state))
    sums: dict[str, Any] = {}
    for number, (inputs, targets) in enumerate(loader_of(data, batch, key=None).once()):
        inputs, targets = placement.put_batch((inputs, targets))
        found = _look(model, state, task, inputs, targets, jnp.asarray(number), predictions, records)
        tally, *of_each = placement.fetch(found)
        # A sum of many minibatches keeps its digits in 64 bits alone.
        for name, value in tally.items():
            sums[name] = sums.get(name, 0.0) + np.asarray(value, np.float64)
        kept.append(jax.device_get(of_each))
    if not sums:
        raise ValueError("`data` has 0 examples, which must be 1 or more: there is nothing to evaluate the model on.")
    predicted, recorded = jax.tree.map(lambda *parts: np.concatenate(parts), *kept)
    return Evaluation(task.report(sums), predicted, sums, recorded)


@contract
def apply_model(
    model: Callable[..., Any],
    inputs: Shaped[AnyArray, "examples ..."],
    *,
    state: eqx.nn.State | None = None,
    batch: int = 512,
) -> Shaped[Array, "examples ..."]:
    """The model's outputs in inference mode, computed `batch` examples at a time.

    **Arguments:** `model`: called as `model(inputs)`, or `model(inputs, state)` if it has a `state`; `inputs`:
    `(examples, …)`; `batch`: bounds the memory used.
    **Returns:** `(examples, …)`.
    **Raises:** `ContractError` if `inputs` has no axis; `ValueError` if there are no examples, if `batch` is below 1,
    or if the model gives not as many outputs, as of one example without its axis.
    """
    if batch < 1:
        raise ValueError(f"`batch` (={batch}) must be 1 or more: choose how many examples go at a time.")
    if len(inputs) == 0:
        raise ValueError("`inputs` has 0 examples, which must be 1 or more: there is nothing to apply the model to.")
    model, inputs = eqx.nn.inference_mode(model), jnp.asarray(inputs)
    parts = []
    for at in range(0, len(inputs), batch):
        given = inputs[at : at + batch]
        outputs = _apply(model, given, state)
        if outputs.shape[:1] != given.shape[:1]:
            raise ValueError(
                f"`inputs` {given.shape} gave outputs {outputs.shape}, which must be of as many examples: give inputs "
                "with a first axis of examples, as `inputs[None]` has it for one."
            )
        parts.append(outputs)
    return jnp.concatenate(parts)


@eqx.filter_jit
def _apply(model: Any, inputs: Array, state: eqx.nn.State | None) -> Array:
    return call_model(model, inputs, state)[0]


@eqx.filter_jit
def _look(
    model: Any,
    state: Any,
    task: Task,
    inputs: PyTree,
    targets: PyTree,
    number: Array,
    predictions: bool,
    records: bool,
) -> tuple[Tally, PyTree, dict[str, Array]]:
    # What a task draws, masks or noise, is drawn alike in every evaluation, so that two can be compared.
    key = jax.random.fold_in(jax.random.key(0), number)
    x, due = task.prepare(*jax.tree.map(jnp.asarray, (inputs, targets)), key=key)
    outputs, _ = call_model(model, x, state)
    predicted = task.predict(outputs) if predictions else None
    return task.tally(outputs, due), predicted, task.record(outputs, due) if records else {}
