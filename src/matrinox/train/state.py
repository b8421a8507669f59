"""The state of a run: everything that the next step depends on, in one module."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Integer, PRNGKeyArray, PyTree

from matrinox.contract import contract


@contract
class TrainState(eqx.Module):
    """Model, optimiser state, running statistics, averaged weights, how far the run is, and the run's key.

    **Arguments:** `model`: any pytree of which inexact arrays are trained; `optimiser_state`: as the optimiser gives it
    for them; `model_state`: the `eqx.nn.State` of a model that has one, else `None`; `average`: the moving average of
    the model's inexact arrays, or `None`; `step`: steps taken, 0-d; `position`: minibatches drawn, 0-d; `key`: one for
    the whole run, from which each step's key is folded.
    **Raises:** `ContractError` if `step` or `position` is not a 0-d integer array.
    """

    model: PyTree
    optimiser_state: PyTree
    model_state: eqx.nn.State | None
    average: PyTree
    step: Integer[Array, ""]
    position: Integer[Array, ""]
    key: PRNGKeyArray

    @staticmethod
    def start(
        model: PyTree,
        optimiser_state: PyTree,
        *,
        model_state: eqx.nn.State | None = None,
        average: PyTree = None,
        key: PRNGKeyArray,
    ) -> "TrainState":
        """The state before the first step.

        **Arguments:** as the fields.
        **Returns:** a state with `step` and `position` 0.
        **Raises:** `ContractError` if `key` is not a key.
        """
        zero = jnp.zeros((), jnp.int32)
        return TrainState(model, optimiser_state, model_state, average, zero, zero, key)

    def step_key(self) -> PRNGKeyArray:
        """The key of the step about to be taken: a function of the run's key and `step` alone."""
        return jax.random.fold_in(self.key, self.step)

    def evaluated(self) -> Any:
        """The model as it is evaluated and kept: with averaged weights, if there are any."""
        return self.model if self.average is None else eqx.combine(self.average, self.model)
