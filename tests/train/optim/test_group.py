"""Groups of parameters."""

import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from matrinox import nn
from matrinox.train import SGD, AdamW, Constant, Group, freeze

KEY = jax.random.key(0)


def moved(optimiser, model, gradient=0.0):
    """A model behind one step of gradients that are the same number everywhere."""
    parameters = eqx.filter(model, eqx.is_inexact_array)
    transformation = optimiser.build(10)
    updates, _ = transformation.update(
        jax.tree.map(lambda leaf: jnp.full_like(leaf, gradient), parameters),
        transformation.init(parameters),
        parameters,
    )
    return eqx.apply_updates(parameters, updates)


def sgd(*groups, **options):
    return SGD(0.1, clip=None, scheduler=Constant(), groups=groups, **options)


def test_by_default_weights_are_decayed_and_biases_and_norms_are_not(model):
    model = jax.tree.map(lambda leaf: jnp.ones_like(leaf) if eqx.is_array(leaf) else leaf, model)
    found = moved(sgd(weight_decay=0.5), model)
    for layer, weight in ((0, 0.95), (1, 1.0), (3, 0.95)):
        np.testing.assert_allclose(found.layers[layer].weight, weight, rtol=1e-6)
        np.testing.assert_array_equal(found.layers[layer].bias, 1.0)


def test_a_group_has_a_rate_and_a_decay_of_its_own_and_the_first_that_matches_counts(model):
    model = jax.tree.map(lambda leaf: jnp.ones_like(leaf) if eqx.is_array(leaf) else leaf, model)
    groups = (
        Group("layers[1].bias", weight_decay=1.0),
        Group("**.bias", learning_rate=3.0),
        Group("layers[0].**", learning_rate=2.0, weight_decay=0.25),
    )
    found = moved(sgd(*groups, weight_decay=0.5), model, gradient=1.0)
    due = {
        (0, "weight"): 1 - 0.2 * 1.25,
        (0, "bias"): 1 - 0.3,
        (1, "weight"): 1 - 0.1,
        (1, "bias"): 1 - 0.2,
        (3, "weight"): 1 - 0.15,
        (3, "bias"): 1 - 0.3,
    }
    for (layer, name), value in due.items():
        np.testing.assert_allclose(getattr(found.layers[layer], name), value, rtol=1e-6)


def test_groups_equal_optax_partition(model, same_steps):
    def labels(parameters):
        found = jax.tree.map(lambda _: "rest", parameters)
        return eqx.tree_at(lambda tree: tree[0].layers[0].weight, found, "slow")

    slow, rest = (optax.adamw(rate, weight_decay=decay) for rate, decay in ((0.001, 0.3), (0.01, 0.0)))
    partition = optax.partition({"slow": slow, "rest": rest}, labels)

    # In a list, as optax would call a model for its labels.
    def update(updates, state, params):
        (updates,), state = partition.update([updates], state, [params])
        return updates, state

    due = optax.GradientTransformation(lambda params: partition.init([params]), update)
    groups = (Group("layers[0].weight", learning_rate=0.1, weight_decay=0.3),)
    found = AdamW(0.01, weight_decay=0.0, clip=None, scheduler=Constant(), groups=groups)
    same_steps(found.build(10), due, model)


def test_a_frozen_group_keeps_every_bit_has_no_state_and_no_part_in_the_norm(model, behind_steps):
    model = eqx.tree_at(lambda model: model.layers[0].bias, model, jnp.full((3, 2, 2), -0.0))
    optimiser = AdamW(groups=(Group("layers[0].**", frozen=True),)).build(10)
    sizes = {leaf.size for leaf in jax.tree.leaves(optimiser.init(eqx.filter(model, eqx.is_inexact_array)))}
    assert model.layers[0].weight.size not in sizes
    after = behind_steps(optimiser, model)[-1]
    assert np.signbit(after.layers[0].bias).all()
    assert after.layers[0].weight.tobytes() == model.layers[0].weight.tobytes()
    due = behind_steps(freeze(model, "layers[0].**").optimiser(AdamW().build(10)), model)[-1]
    assert eqx.tree_equal(after, due)


def test_groups_work_where_leaves_are_none_and_may_match_what_is_frozen(model):
    part = freeze(model, "layers[0].**")
    parameters = eqx.filter(part.trainable, eqx.is_inexact_array)
    optimiser = sgd(Group("layers[0].**", learning_rate=2.0), Group("**.bias", learning_rate=3.0)).build(10)
    gradient = jax.tree.map(jnp.ones_like, parameters)
    updates, _ = optimiser.update(gradient, optimiser.init(parameters), parameters)
    assert updates.layers[0].weight is None
    np.testing.assert_allclose(updates.layers[3].bias, -0.3, rtol=1e-6)
    whole = part.optimiser(optimiser)
    gradient = jax.tree.map(jnp.ones_like, eqx.filter(model, eqx.is_inexact_array))
    found, _ = whole.update(gradient, whole.init(gradient), gradient)
    assert eqx.tree_equal(found, updates)


def test_paths_go_through_wrappers():
    base = nn.Sequential([nn.Dense(p=2, q=2, n=2, key=KEY), nn.Dense(p=2, q=2, n=2, key=KEY)])
    adapted = nn.lora(nn.Constrained(base, {"layers[0].weight": nn.Symmetric()}), 1, "model.layers[1]", key=KEY)
    groups = (Group("model.**", frozen=True), Group("adapters[*].up", learning_rate=4.0))
    parameters = eqx.filter(adapted, eqx.is_inexact_array)
    optimiser = sgd(*groups).build(10)
    gradient = jax.tree.map(jnp.ones_like, parameters)
    updates, _ = optimiser.update(gradient, optimiser.init(parameters), parameters)
    assert jax.tree.leaves(updates.model) == []
    (adapter,) = updates.adapters.values()
    np.testing.assert_allclose(adapter.up, -0.4, rtol=1e-6)
    np.testing.assert_allclose(adapter.down, -0.1, rtol=1e-6)


def test_a_pattern_that_matches_nothing_is_refused_with_the_nearest_path(model):
    optimiser = AdamW(groups=(Group("layers[3].wieght", weight_decay=0.0),)).build(10)
    match = r"`pattern` \(='layers\[3\].wieght'\) matches no leaf: the nearest of \d+ paths is 'layers\[3\].weight'"
    with pytest.raises(ValueError, match=match):
        optimiser.init(eqx.filter(model, eqx.is_inexact_array))


def test_to_freeze_all_is_refused(model):
    with pytest.raises(ValueError, match=r"`groups` must leave an array of floats to train: freeze less"):
        SGD(groups=(Group("**", frozen=True),)).build(10).init(eqx.filter(model, eqx.is_inexact_array))


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"pattern": "a..b"}, r"`pattern` \(='a..b'\) is not a path pattern"),
        ({"pattern": 1}, r"`Group.pattern` is 1, not a string"),
        ({"learning_rate": 0.0}, r"`learning_rate` \(=0.0\) must be positive and finite: it is a factor"),
        ({"weight_decay": -1.0}, r"`weight_decay` \(=-1.0\) must be 0 or more, and finite"),
        ({"weight_decay": math.inf}, r"`weight_decay` \(=inf\) must be 0 or more, and finite"),
        ({"frozen": 1}, r"`Group.frozen` is 1, not true or false"),
    ],
)
def test_settings_out_of_range_are_refused(setting, match):
    with pytest.raises(ValueError, match=match):
        Group(**{"pattern": "**", **setting})
