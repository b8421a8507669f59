"""Transformations of a part of the parameters."""

import jax
import jax.numpy as jnp
import optax

from matrinox.train.optim.part import on_part, side_by_side

PARAMETERS = {"a": jnp.array([3.0]), "b": jnp.array([4.0])}


def only(name):
    return lambda tree: {key: key == name for key in tree}


def test_a_part_is_all_that_its_transformation_sees():
    part = on_part(optax.chain(optax.clip_by_global_norm(1.0), optax.adam(0.1)), only("a"))
    state = part.init(PARAMETERS)
    assert [leaf.shape for leaf in jax.tree.leaves(state)] == [(), (1,), (1,)]
    clipped, _ = on_part(optax.clip_by_global_norm(1.0), only("a")).update(PARAMETERS, optax.EmptyState())
    assert clipped == {"a": jnp.array([1.0]), "b": None}


def test_an_update_hands_on_parameters_and_further_arguments():
    def update(updates, state, params=None, *, factor):
        return jax.tree.map(lambda update, parameter: factor * update * parameter, updates, params), state

    inner = optax.GradientTransformationExtraArgs(lambda params: (), update)
    found, _ = on_part(inner, only("b")).update(PARAMETERS, (), PARAMETERS, factor=2)
    assert found == {"a": None, "b": jnp.array([32.0])}


def test_parts_side_by_side_make_a_whole_with_a_state_for_each():
    whole = side_by_side(on_part(optax.scale(2.0), only("a")), on_part(optax.trace(0.5), only("b")))
    state = whole.init(PARAMETERS)
    _, state = whole.update(PARAMETERS, state, PARAMETERS)
    found, _ = whole.update(PARAMETERS, state, PARAMETERS)
    assert found == {"a": jnp.array([6.0]), "b": jnp.array([6.0])}
