"""The state of a run: everything that the next step depends on, in one module."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Integer, PRNGKeyArray, PyTree

from matrinox.contract import contract


@contract
class TrainState(eqx.Module):
    """Model, optimiser state, the number of steps taken, and the run's key, from which each step's key is folded.

    **Arguments:** `model`: any pytree of which the inexact arrays are trained; `optimiser_state`: as the optimiser
    gives it for them; `step`: 0-d; `key`: one for the whole run.
    **Raises:** `ContractError` if `step` is not a 0-d integer array.
    """

    model: PyTree
    optimiser_state: PyTree
    step: Integer[Array, ""]
    key: PRNGKeyArray

    @staticmethod
    def start(model: PyTree, optimiser: optax.GradientTransformation, *, key: PRNGKeyArray) -> "TrainState":
        """The state before the first step.

        **Arguments:** `model`: as built; `optimiser`: what will take the steps; `key`: one for the whole run.
        **Returns:** a state with `step` 0.
        **Raises:** `ContractError` if `key` is not a key.
        """
        parameters = eqx.filter(model, eqx.is_inexact_array)
        return TrainState(model, optimiser.init(parameters), jnp.zeros((), jnp.int32), key)

    def step_key(self) -> PRNGKeyArray:
        """The key of the step about to be taken: a function of the run's key and `step` alone."""
        return jax.random.fold_in(self.key, self.step)
