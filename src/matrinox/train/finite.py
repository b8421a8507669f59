"""Where a number that is not finite first stands: what a run that stops for one says."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from matrinox.inspect.lens_activations import activations_of
from matrinox.paths import show
from matrinox.train.state import TrainState
from matrinox.train.step import Stepper, takes_key


def first_not_finite(stepper: Stepper, state: TrainState, inputs: PyTree, targets: PyTree) -> str:
    """What of a step is not finite first, in the order in which it is computed, with its path.

    Weights, then what the data hold, then outputs, then the loss, then its gradient, then the weights behind it.

    **Arguments:** `stepper`; `state`: before the step; `inputs`, `targets`: of the step.
    **Returns:** such as "`model.layers[2].weight`" or "`inputs[5]`".
    """
    parts = {"model": state.model, "optimiser_state": state.optimiser_state, "model_state": _plain(state.model_state)}
    given = {"inputs": inputs, "targets": targets}
    for name, tree in {**parts, **given}.items():
        if (path := _first(name, tree, by_example=name in given)) is not None:
            return f"`{path}`"
    key = jax.random.split(state.step_key(), stepper.accumulate)[0]
    x, _ = stepper.prepared(key, *jax.tree.map(jnp.asarray, (inputs, targets)))
    if (path := _first("inputs", x, by_example=True)) is not None:
        return f"`{path}`, behind augmentation"
    outputs, _ = stepper.outputs(state.model, x, state.model_state, key=jax.random.fold_in(key, 0))
    if (path := _first("outputs", outputs, by_example=True)) is not None:
        return _first_layer(state, x, key) or f"`{path}`"
    loss, gradient, _ = stepper.gradient(state, inputs, targets)
    if not np.isfinite(loss):
        return "the loss itself, of finite outputs"
    return f"the gradient of `{_first('model', gradient)}`"


def _first_layer(state: TrainState, x: PyTree, key: PRNGKeyArray) -> str | None:
    """The first layer whose output, as matrices, is not finite; `None` if there is no such layer."""
    options = {"key": key} if takes_key(state.model) else {}
    if state.model_state is not None:
        options["state"] = state.model_state
    for path, seen in activations_of(state.model, x, options).given.items():
        if not np.isfinite(seen.values.astype(np.float64)).all():
            return f"the output of `model{_joint(path)}{path}`"
    return None


def _plain(state: eqx.nn.State | None) -> Any:
    return None if state is None else jax.tree.leaves(state)


def _first(name: str, tree: PyTree, *, by_example: bool = False) -> str | None:
    for path, leaf in jtu.tree_flatten_with_path(tree)[0]:
        if not eqx.is_inexact_array_like(leaf):
            continue
        finite = np.asarray(jnp.isfinite(leaf))
        if not finite.all():
            step = show(path)
            row = f"[{int(np.argwhere(~finite)[0][0])}]" if by_example and finite.ndim else ""
            return f"{name}{_joint(step)}{step}{row}"
    return None


def _joint(path: str) -> str:
    return "" if path.startswith("[") or not path else "."
