"""One step of training, and many in one compiled call."""

import dataclasses
import functools
from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import optax
from jax import Array, lax
from jax.core import Tracer
from jaxtyping import Float, Integer, PRNGKeyArray, PyTree

from matrinox.contract import AnyArray, contract
from matrinox.data.augment.turns import Augmentation, augmented
from matrinox.data.examples import Examples
from matrinox.nn.child import require_callable, takes_key, takes_state
from matrinox.nn.lazy import Lazy, name_of
from matrinox.train.freeze import Frozen
from matrinox.train.optim import Optimiser
from matrinox.train.precision import cast, in_bfloat16
from matrinox.train.recipe import Recipe
from matrinox.train.shard.placement import NOWHERE, Placement
from matrinox.train.state import TrainState
from matrinox.train.task import Task


@contract
class Taken(eqx.Module):
    """What steps were taken, and what each was like: the first `count` entries are of those.

    **Arguments:** `count`: 0-d; fewer than were asked for where a loss or gradient was not finite, which stands in the
    entry behind the last; `loss`, `gradient_norm`: `(steps,)`, of the minibatch before the step, before any clipping.
    """

    count: Integer[Array, ""]
    loss: Float[Array, " steps"]
    gradient_norm: Float[Array, " steps"]


@dataclass(frozen=True)
class Stepper:
    """How one step is taken: gradient of the task's loss on a minibatch, and the optimiser's update.

    **Arguments:** `task`; `optimiser`: any optax transformation; `augment`, `accumulate`, `precision`, `average`: as of
    `Recipe`; `frozen`: what `freeze` gives for the model, to train the rest of it alone; `placement`: where the state
    is, as `placement` gives it.
    """

    task: Task
    optimiser: optax.GradientTransformation
    augment: tuple[Augmentation, ...] = ()
    accumulate: int = 1
    precision: Literal["float32", "bfloat16"] = "float32"
    average: float | None = None
    frozen: Frozen | None = None
    placement: Placement = NOWHERE

    @staticmethod
    def of(
        recipe: Recipe,
        steps: int,
        *,
        steps_per_epoch: int = 1,
        frozen: Frozen | None = None,
        placement: Placement = NOWHERE,
    ) -> "Stepper":
        """The stepper of a recipe, for a run of that many steps.

        **Arguments:** `recipe`; `steps`: of the run; `steps_per_epoch`: for schedules that change by the epoch;
        `frozen`, `placement`: as above.
        """
        optimiser = _built(recipe.optimiser, steps, steps_per_epoch)
        if frozen is not None:
            optimiser = frozen.optimiser(optimiser)
        options = recipe.augment, recipe.accumulate, recipe.precision, recipe.average
        return Stepper(recipe.task, optimiser, *options, frozen, placement)

    @contract
    def start(self, model: PyTree, state: eqx.nn.State | None = None, *, key: PRNGKeyArray) -> TrainState:
        """The state before the first step.

        **Arguments:** `model`: called as `model(inputs, key=key)`, or `model(inputs, state, key=key)` if it has a
        `state`; `key`: one for the whole run.
        **Returns:** a `TrainState` of step 0.
        **Raises:** `TypeError` for a model that is a class or not callable; `ValueError` for one without an array of
        floats, with a `Lazy` layer, or whose call does not take the `state` given.
        """
        _require_trainable(model)
        _require_state_taken(model, state)
        parameters = eqx.filter(model, eqx.is_inexact_array)
        average = None if self.average is None else eqx.filter(model, self._is_trained())
        return TrainState.start(model, self.optimiser.init(parameters), model_state=state, average=average, key=key)

    @contract
    def step(
        self, state: TrainState, inputs: PyTree, targets: PyTree
    ) -> tuple[TrainState, Float[Array, ""], Float[Array, ""]]:
        """One step. The model of a state that it gives holds what the step made of it, finite or not.

        **Arguments:** `state`; `inputs`, `targets`: arrays `(accumulate · batch, …)`; targets may be `None`.
        **Returns:** the next state, the loss and the gradient's norm before the step, both 0-d.
        **Raises:** `ValueError` if there are no examples, not as many targets as inputs, a number of them that
        `accumulate` does not divide, or a loss that is not one number; `ContractError` if the model or the task does
        not take them.
        """
        loss, gradient, model_state = self.gradient(state, inputs, targets)
        parameters = eqx.filter(state.model, eqx.is_inexact_array)
        updates, optimiser_state = self.optimiser.update(gradient, state.optimiser_state, parameters)
        model, step = eqx.apply_updates(state.model, updates), state.step + 1
        average = None
        if self.average is not None:
            # The first weights are far from what they become: the average forgets them sooner.
            decay = jnp.minimum(self.average, (1 + step) / (10 + step))
            trained = eqx.filter(model, self._is_trained())
            # Written so, the average of what does not change keeps every bit.
            average = jax.tree.map(lambda old, new: old + (1 - decay) * (new - old), state.average, trained)
        position = state.position + self.accumulate
        after = TrainState(model, optimiser_state, model_state, average, step, position, state.key)
        return after, loss, optax.tree.norm(gradient)

    @contract
    def steps(
        self, state: TrainState, data: Examples | None, batches: PyTree, count: Integer[AnyArray, ""] | int
    ) -> tuple[TrainState, Taken]:
        """Several steps in one compiled call, which costs as little to call as one: small models wait for Python else.

        They end before the first whose loss or gradient is not finite: the state is then the last good one.

        **Arguments:** `state`; `data`: the examples, of which `batches` `(steps, accumulate · batch)` are the numbers,
        or `None`, for `batches` of inputs and targets `(steps, accumulate · batch, …)`; `count`: how many steps to
        take, at most as many as there are minibatches: one program serves all.
        **Returns:** the state behind the last step, and `Taken`.
        **Raises:** `ValueError` if there are fewer minibatches than `count`, and as `step`.
        """
        there = len(jax.tree.leaves(batches)[0])
        if not isinstance(count, Tracer) and not 0 <= count <= there:
            raise ValueError(f"`count` (={count}) must be from 0 to the {there} minibatches: give one for each step.")
        # An augmentation may hold arrays, as a module does, which a compiled program is given and not built on.
        plain = dataclasses.replace(self, augment=())
        return _steps(plain, self.augment, state, data, batches, jnp.asarray(count, jnp.int32))

    def _parted(self, inputs: PyTree, targets: PyTree) -> tuple[PyTree, PyTree]:
        arrays = jax.tree.map(jnp.asarray, (inputs, targets))
        counts = [array.shape[:1] for array in jax.tree.leaves(arrays)]
        if len(set(counts)) != 1 or counts[0] in ((), (0,)):
            found = ", ".join(str(*count) or "none" for count in counts) or "none"
            raise ValueError(
                f"`inputs` and `targets` (of {found} examples) must have one first axis of 1 or more examples in every "
                "array: give as many targets as inputs."
            )
        if counts[0][0] % self.accumulate:
            raise ValueError(
                f"`accumulate` (={self.accumulate}) must divide the {counts[0][0]} examples of a step: give as many "
                "minibatches of one size."
            )
        return jax.tree.map(lambda array: array.reshape(self.accumulate, -1, *array.shape[1:]), arrays)

    def gradient(self, state: TrainState, inputs: PyTree, targets: PyTree) -> tuple[Array, PyTree, Any]:
        """Loss and gradient, averaged over the minibatches of a step, and the running statistics behind the last.

        **Arguments:** as for `step`.
        """
        inputs, targets = self._parted(inputs, targets)
        keys = jax.random.split(state.step_key(), self.accumulate)
        one = functools.partial(self._gradient_of_one, state.model)
        if self.accumulate == 1:
            return one(state.model_state, *jax.tree.map(lambda array: array[0], (keys, inputs, targets)))
        held, rest = eqx.partition(state.model_state, eqx.is_array)
        trained = eqx.filter(state.model, self._is_trained())

        def add(carry: PyTree, batch: PyTree) -> tuple[PyTree, None]:
            total, held = carry
            *found, model_state = one(eqx.combine(held, rest), *batch)
            return (jax.tree.map(jnp.add, total, tuple(found)), eqx.filter(model_state, eqx.is_array)), None

        nothing = jnp.zeros(()), jax.tree.map(jnp.zeros_like, trained)
        (total, held), _ = lax.scan(add, (nothing, held), (keys, inputs, targets))
        loss, gradient = jax.tree.map(lambda array: array / self.accumulate, total)
        return loss, gradient, eqx.combine(held, rest)

    def _gradient_of_one(
        self, model: PyTree, model_state: Any, key: PRNGKeyArray, inputs: PyTree, targets: PyTree
    ) -> tuple[Array, PyTree, Any]:
        x, due = self.prepared(key, *self.placement.constrain_batch((inputs, targets)))
        trained, rest = eqx.partition(model, self._is_trained())

        def loss_of(trained: PyTree) -> tuple[Array, Any]:
            outputs, after = self.outputs(eqx.combine(trained, rest), x, model_state, key=jax.random.fold_in(key, 0))
            return _one_number(self.task, self.task.loss(outputs, due)), after

        (loss, after), gradient = jax.value_and_grad(loss_of, has_aux=True)(trained)
        return loss, gradient, after

    def prepared(self, key: PRNGKeyArray, inputs: PyTree, targets: PyTree) -> tuple[PyTree, PyTree]:
        """What the model is given and what is compared with its outputs: augmented, then as the task has it.

        **Arguments:** `key`: of the minibatch; `inputs`, `targets`: as they come.
        """
        if self.augment:
            inputs = augmented(jax.random.fold_in(key, 2), inputs, self.augment)
        return self.task.prepare(inputs, targets, key=jax.random.fold_in(key, 1))

    def outputs(
        self, model: PyTree, inputs: PyTree, state: eqx.nn.State | None, *, key: PRNGKeyArray
    ) -> tuple[PyTree, eqx.nn.State | None]:
        """The model's outputs in float32, computed in the recipe's precision, and its state behind them."""
        if self.precision == "float32":
            return call_model(model, inputs, state, key=key)
        outputs, state = call_model(*in_bfloat16(model, inputs), state, key=key)
        return cast(outputs, jnp.float32), state

    def _is_trained(self) -> PyTree:
        if self.frozen is None:
            return eqx.is_inexact_array
        return jax.tree.map(lambda label: label == "train", self.frozen.labels)


def call_model(
    model: Any, inputs: PyTree, state: eqx.nn.State | None, *, key: PRNGKeyArray | None = None
) -> tuple[PyTree, eqx.nn.State | None]:
    """The model's outputs, and its state if it has one; a model whose call takes no `key` is given none.

    **Arguments:** `model`: called as `model(inputs, key=key)`, or `model(inputs, state, key=key)`; `inputs`; `state`;
    `key`.
    **Raises:** `ValueError` for a `state` that the model's call does not take.
    """
    _require_state_taken(model, state)
    options = {"key": key} if takes_key(model) else {}
    if state is None:
        return model(inputs, **options), None
    # A State that a layer has changed may not be used again, and the caller's is the caller's.
    return model(inputs, jax.tree.map(lambda leaf: leaf, state), **options)


def _require_trainable(model: Any) -> None:
    require_callable({"model": model})
    for path, node in jtu.tree_flatten_with_path(model, is_leaf=lambda node: isinstance(node, Lazy))[0]:
        if isinstance(node, Lazy):
            raise ValueError(
                f"`model{jtu.keystr(path)}` (={name_of(node)}) must be a layer before it is trained: fill the model "
                "with `model, found = nn.materialize(model, x, key=key)`."
            )
    if not jax.tree.leaves(eqx.filter(model, eqx.is_inexact_array)):
        raise ValueError(
            f"`model` (={_name_of(model)}) must hold an array of floats, as these are what is trained: give a model "
            "with weights."
        )


def _require_state_taken(model: Any, state: eqx.nn.State | None) -> None:
    if state is not None and not takes_state(model):
        raise ValueError(
            f"`state` is given, and the call of `model` (={_name_of(model)}) must take it: leave it out, or write "
            "`__call__(self, x, state, *, key)`."
        )


# The same functions for the same settings, as with others the next run would be compiled anew.
@functools.lru_cache(maxsize=32)
def _built(optimiser: Optimiser, steps: int, steps_per_epoch: int) -> optax.GradientTransformation:
    return optimiser.build(steps, steps_per_epoch=steps_per_epoch)


def _name_of(model: Any) -> str:
    return getattr(model, "__name__", type(model).__name__)


def _one_number(task: Task, loss: Any) -> Array:
    if not eqx.is_inexact_array(loss) or loss.shape != ():
        arrays = [f"{leaf.dtype}{list(leaf.shape)}" for leaf in jax.tree.leaves(loss) if eqx.is_array(leaf)]
        raise ValueError(
            f"the loss of `task` (={task!r}) must be one number, a 0-d array of floats, and is "
            f"{', '.join(arrays) or repr(loss)}: return the mean over the examples."
        )
    return loss


@eqx.filter_jit
def _steps(
    stepper: Stepper, augment: PyTree, state: TrainState, data: Examples | None, batches: PyTree, count: Array
) -> tuple[TrainState, Taken]:
    stepper = dataclasses.replace(stepper, augment=augment)
    batches = jax.tree.map(jnp.asarray, batches)
    steps = jax.tree.leaves(batches)[0].shape[0]
    arrays, rest = eqx.partition(state, eqx.is_array)
    record = jnp.full((2, steps), jnp.nan, jnp.float32)

    def goes_on(carry: PyTree) -> Array:
        taken, _, _, finite = carry
        return finite & (taken < count)

    def body(carry: PyTree) -> PyTree:
        taken, arrays, record, _ = carry
        batch = jax.tree.map(lambda array: lax.dynamic_index_in_dim(array, taken, keepdims=False), batches)
        inputs, targets = batch if data is None else data.gather(batch)
        after, loss, norm = stepper.step(eqx.combine(arrays, rest), inputs, targets)
        finite = jnp.isfinite(loss) & jnp.isfinite(norm)
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), eqx.filter(after, eqx.is_array), arrays)
        kept = stepper.placement.constrain(kept)
        record = record.at[:, taken].set(jnp.stack([loss, norm]).astype(jnp.float32))
        return taken + finite, kept, record, finite

    taken, arrays, record, _ = lax.while_loop(goes_on, body, (jnp.zeros_like(count), arrays, record, jnp.array(True)))
    # Else the compiler places what leaves the loop, and the next call, on other inputs, is another program.
    arrays = stepper.placement.constrain(arrays)
    return eqx.combine(arrays, rest), Taken(taken, record[0], record[1])
