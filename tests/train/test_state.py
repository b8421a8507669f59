"""The state of a run."""

import equinox as eqx
import jax
import jax.numpy as jnp
import optax
import pytest

from matrinox.contract import ContractError
from matrinox.train import Classification, Stepper, TrainState


@pytest.fixture
def state() -> TrainState:
    model = eqx.nn.MLP(2, 2, 3, 1, key=jax.random.key(0))
    return Stepper(Classification(), optax.adam(0.1)).start(model, key=jax.random.key(1))


def test_a_run_starts_at_step_0_with_moments_for_every_parameter(state):
    assert int(state.step) == int(state.position) == 0
    parameters = jax.tree.leaves(eqx.filter(state.model, eqx.is_inexact_array))
    moments = [leaf for leaf in jax.tree.leaves(state.optimiser_state) if leaf.ndim]
    assert sorted(leaf.shape for leaf in moments) == sorted(2 * [leaf.shape for leaf in parameters])


def test_each_steps_key_is_folded_from_the_runs_key(state):
    later = eqx.tree_at(lambda state: state.step, state, jnp.array(7))
    assert later.step_key() == jax.random.fold_in(jax.random.key(1), 7)
    assert state.step_key() != later.step_key()


def test_a_state_refuses_steps_that_are_no_single_integer(state):
    for step in (jnp.zeros(2, int), jnp.zeros(())):
        with pytest.raises(ContractError):
            TrainState(state.model, state.optimiser_state, None, None, step, state.position, state.key)


def test_what_is_evaluated_is_the_average_where_there_is_one(state):
    assert state.evaluated() is state.model
    average = jax.tree.map(lambda leaf: leaf + 1, eqx.filter(state.model, eqx.is_inexact_array))
    averaged = TrainState.start(state.model, None, average=average, key=state.key).evaluated()
    assert jnp.array_equal(averaged.layers[0].weight, state.model.layers[0].weight + 1)
    assert averaged.activation is state.model.activation
