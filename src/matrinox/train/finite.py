"""Where a number that is not finite first stands: what a run that stops for one says."""

import operator
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from matrinox.inspect.lens_activations import activations_of
from matrinox.nn.child import takes_key
from matrinox.paths import show
from matrinox.train.state import TrainState
from matrinox.train.step import Stepper


def first_not_finite(stepper: Stepper, state: TrainState, inputs: PyTree, targets: PyTree) -> str:
    """What of a step is not finite first, in the order in which it is computed, with its path.

    Weights and what else the state holds, then what the data hold, then minibatch by minibatch the inputs behind
    augmentation and the outputs, then the loss, then its gradient.

    **Arguments:** `stepper`; `state`: before the step; `inputs`, `targets`: of the step.
    **Returns:** such as "`model.layers[2].weight`" or "`inputs[5]`".
    """
    parts = {"model": state.model, "optimiser_state": state.optimiser_state, "model_state": _plain(state.model_state)}
    for name, tree in parts.items():
        if (path := _first(name, tree)) is not None:
            return f"`{path}`"
    given = jax.tree.map(jnp.asarray, {"inputs": inputs, "targets": targets})
    for name, tree in given.items():
        if (path := _first(name, tree, row=0)) is not None:
            return f"`{path}`"
    keys = jax.random.split(state.step_key(), stepper.accumulate)
    size, model_state = len(jax.tree.leaves(given)[0]) // stepper.accumulate, state.model_state
    seen: list[tuple[PyTree, PyTree]] = []
    for at, key in zip(range(0, size * stepper.accumulate, size), keys, strict=True):
        part = jax.tree.map(operator.itemgetter(slice(at, at + size)), given)
        x, due = stepper.prepared(key, part["inputs"], part["targets"])
        if (path := _first("inputs", x, row=at)) is not None:
            return f"`{path}`, behind augmentation"
        key = jax.random.fold_in(key, 0)
        outputs, after = stepper.outputs(state.model, x, model_state, key=key)
        if (path := _first("outputs", outputs, row=at)) is not None:
            return _first_layer(state.model, x, model_state, key) or f"`{path}`"
        seen.append((outputs, due))
        model_state = after
    loss, gradient, _ = stepper.gradient(state, inputs, targets)
    if not np.isfinite(loss):
        of = next((each for each in seen if not np.isfinite(stepper.task.loss(*each))), seen[-1])
        return f"the loss itself, of finite outputs {_told(*of)}"
    path = _first("model", gradient)
    return f"the gradient of `{path}`" if path else "the gradient's norm, of finite numbers too large to be squared"


def _first_layer(model: Any, x: PyTree, state: eqx.nn.State | None, key: PRNGKeyArray) -> str | None:
    """The first layer whose output, as matrices, is not finite; `None` if there is no such layer."""
    options: dict[str, Any] = {"key": key} if takes_key(model) else {}
    if state is not None:
        options["state"] = state
    for path, seen in activations_of(model, x, options).given.items():
        if not np.isfinite(seen.values.astype(np.float64)).all():
            return f"the output of `model{_joint(path)}{path}`"
    return None


def _told(outputs: PyTree, targets: PyTree) -> str:
    """The shapes of the outputs and, for targets that are integers, from where to where they go."""
    shapes = ", ".join(str(np.shape(leaf)) for leaf in jax.tree.leaves(outputs))
    whole = [each for each in map(np.asarray, jax.tree.leaves(targets)) if each.dtype.kind in "iu" and each.size]
    ranges = ", ".join(f"from {each.min()} to {each.max()}" for each in whole)
    return f"{shapes} and targets {ranges}" if ranges else shapes


def _plain(state: eqx.nn.State | None) -> Any:
    return None if state is None else jax.tree.leaves(state)


def _first(name: str, tree: PyTree, *, row: int | None = None) -> str | None:
    """The first path with a number that is not finite; with the number of the example, where `row` is the first's."""
    for path, leaf in jtu.tree_flatten_with_path(tree)[0]:
        if not eqx.is_inexact_array_like(leaf):
            continue
        finite = np.asarray(jnp.isfinite(leaf))
        if not finite.all():
            step = show(path)
            example = f"[{row + int(np.argwhere(~finite)[0][0])}]" if row is not None and finite.ndim else ""
            return f"{name}{_joint(step)}{step}{example}"
    return None


def _joint(path: str) -> str:
    return "" if path.startswith("[") or not path else "."
