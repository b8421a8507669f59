"""Freezing by path pattern."""

import doctest
import importlib
from collections.abc import Callable, Hashable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import matrinox
from matrinox import nn
from matrinox.contract import ContractError
from matrinox.train import AdamW, Frozen, Recipe, Stepper, fit, freeze


class Model(eqx.Module):
    encoder: nn.Dense
    head: nn.Dense
    seen: jax.Array
    activation: Callable[[jax.Array], jax.Array]

    def __init__(self):
        keys = jax.random.split(jax.random.key(0))
        self.encoder = nn.Dense(p=2, q=2, n=1, key=keys[0])
        self.head = nn.Dense(p=2, q=3, n=1, key=keys[1])
        self.seen = jnp.arange(3)
        self.activation = jnp.tanh

    def __call__(self, x, *, key=None):
        return self.head(self.activation(self.encoder(x[..., None, None])))[..., 0, 0]


@pytest.fixture(scope="module")
def model() -> Model:
    return Model()


def bits(tree) -> list[bytes]:
    return [np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_array))]


def after_steps(model, optimiser, gradients):
    state = optimiser.init(eqx.filter(model, eqx.is_inexact_array))
    for gradient in gradients:
        updates, state = optimiser.update(gradient, state, eqx.filter(model, eqx.is_inexact_array))
        model = eqx.apply_updates(model, updates)
    return model, state


def gradients_of(model, count=3, scale=1.0):
    trained = eqx.filter(model, eqx.is_inexact_array)
    return [jax.tree.map(lambda leaf, i=i: jnp.full_like(leaf, scale * (i + 1)), trained) for i in range(count)]


def test_freeze_splits_the_model_and_combine_puts_it_together(model):
    part = freeze(model, "encoder.**")
    assert part.trainable.encoder.weight is None
    assert part.trainable.seen is None
    assert part.trainable.head.weight is model.head.weight
    assert part.frozen.encoder.weight is model.encoder.weight
    assert part.frozen.activation is jnp.tanh
    assert part.frozen.head.weight is None
    assert eqx.tree_equal(part.combine(), model)
    doubled = part.combine(jax.tree.map(lambda leaf: 2 * leaf, part.trainable))
    assert np.array_equal(doubled.head.weight, 2 * model.head.weight)
    assert doubled.encoder.weight is model.encoder.weight


def test_the_root_exports_freeze():
    assert matrinox.freeze is freeze


def test_frozen_leaves_keep_every_bit_under_weight_decay_momentum_and_clipping(model):
    tiny = jnp.array([[1e-40, -0.0], [jnp.nan, 1.0]])[..., None, None]
    model = eqx.tree_at(lambda model: model.encoder.weight, model, tiny)
    optimiser = freeze(model, "encoder.**").optimiser(
        optax.chain(optax.clip_by_global_norm(1.0), optax.adamw(0.1, weight_decay=0.5), optax.trace(0.9))
    )
    after, _ = after_steps(model, optimiser, gradients_of(model))
    assert bits(after.encoder) == bits(model.encoder)
    assert bits(after.seen) == bits(model.seen)
    assert after.activation is model.activation
    assert all(a != b for a, b in zip(bits(after.head), bits(model.head), strict=True))


def test_gradients_of_zero_alone_would_not_freeze_under_weight_decay(model):
    """Why the optimiser is wrapped."""
    zeroed = [eqx.tree_at(lambda g: g.encoder, g, jax.tree.map(jnp.zeros_like, g.encoder)) for g in gradients_of(model)]
    after, _ = after_steps(model, optax.adamw(0.1, weight_decay=0.5), zeroed)
    assert bits(after.encoder.weight) != bits(model.encoder.weight)
    np.testing.assert_allclose(after.encoder.weight, model.encoder.weight * (1 - 0.1 * 0.5) ** 3, rtol=1e-5)


def test_trained_leaves_move_as_under_the_optimiser_alone(model):
    """And the norm that is clipped is theirs, however large the gradient of what is frozen."""
    inner = optax.chain(optax.clip_by_global_norm(1.0), optax.sgd(0.1, momentum=0.9))
    part, gradients = freeze(model, "encoder.**"), gradients_of(model)
    huge = [eqx.tree_at(lambda g: g.encoder.weight, g, 1e6 * g.encoder.weight) for g in gradients]
    after, _ = after_steps(model, part.optimiser(inner), huge)
    alone, _ = after_steps(model.head, inner, [gradient.head for gradient in gradients])
    np.testing.assert_allclose(after.head.weight, alone.weight, rtol=1e-6)
    np.testing.assert_allclose(after.head.bias, alone.bias, rtol=1e-6)
    clipped_together, _ = after_steps(model, inner, huge)
    assert np.abs(clipped_together.head.weight - model.head.weight).max() < 1e-4
    assert np.abs(alone.weight - model.head.weight).min() > 1e-2


def test_the_optimiser_keeps_no_state_of_frozen_leaves(model):
    part, inner = freeze(model, "encoder.**"), optax.adam(0.1)
    for parameters in (model, part.trainable):
        state = part.optimiser(inner).init(eqx.filter(parameters, eqx.is_inexact_array))
        assert bits(state) == bits(inner.init(eqx.filter(model.head, eqx.is_inexact_array)))
    everything = part.optimiser(inner).init(eqx.filter(model, eqx.is_array))
    assert bits(everything) == bits(state)


def test_the_wrapped_optimiser_also_takes_the_trainable_half(model):
    part = freeze(model, "encoder.**")
    whole, _ = after_steps(model, part.optimiser(optax.adamw(0.1)), gradients_of(model))
    half, _ = after_steps(part.trainable, part.optimiser(optax.adamw(0.1)), gradients_of(part.trainable))
    assert bits(part.combine(half)) == bits(whole)


def test_extra_arguments_reach_the_optimiser(model):
    def update(updates: Any, state: Any, params: Any = None, **extra: Any) -> Any:
        return jax.tree.map(lambda leaf: leaf * extra["value"], updates), state

    inner = optax.GradientTransformationExtraArgs(lambda params: (), update)
    (gradient,) = gradients_of(model, 1)
    updates: Any = freeze(model, "encoder.**").optimiser(inner).update(gradient, (), value=3.0)[0]
    assert np.array_equal(updates.head.weight, 3 * gradient.head.weight)
    assert updates.encoder.weight is None


def test_labels_are_what_optax_partition_takes(model):
    part = freeze(model, "encoder.**")
    assert jax.tree.structure(part.labels) == jax.tree.structure(model)
    assert (part.labels.encoder.weight, part.labels.head.bias) == ("freeze", "train")
    assert (part.labels.seen, part.labels.activation) == ("freeze", "freeze")
    kinds: dict[Hashable, optax.GradientTransformation] = {"train": optax.adamw(0.1), "freeze": optax.set_to_zero()}
    ours, _ = after_steps(model, part.optimiser(optax.adamw(0.1)), gradients_of(model))
    # In a list, as the model can be called, which optax takes for a function that gives the labels.
    (theirs,), _ = after_steps([model], optax.partition(kinds, [part.labels]), gradients_of([model]))
    assert eqx.tree_equal(theirs, ours)
    tree = {"encoder": model.encoder.weight, "head": model.head.weight}
    labels = freeze(tree, "['encoder']").labels
    assert labels == {"encoder": "freeze", "head": "train"}
    theirs, _ = after_steps(tree, optax.partition(kinds, labels), gradients_of(tree))
    assert bits(theirs["encoder"]) == bits(tree["encoder"])
    np.testing.assert_allclose(theirs["head"], ours.head.weight, rtol=1e-6)


def test_patterns_may_overlap(model):
    part = freeze(model, "encoder.**", "**.bias", "encoder.weight")
    assert part.labels.encoder.weight == part.labels.encoder.bias == part.labels.head.bias == "freeze"
    assert part.labels.head.weight == "train"
    assert part.patterns == ("encoder.**", "**.bias", "encoder.weight")


def test_leaves_that_are_no_arrays_of_floats_are_frozen_in_any_case(model):
    part = freeze(model, "seen")
    assert part.labels.seen == part.labels.activation == "freeze"
    assert part.labels.encoder.weight == "train"
    assert str(part).startswith("frozen by 'seen': 0 parameters in 0 leaves\ntrained: 15 parameters in 4 leaves\n")


def test_the_report_names_leaves_and_counts_parameters(model):
    assert str(freeze(model, "encoder.**", "**.bias")) == (
        "frozen by 'encoder.**', '**.bias': 9 parameters in 3 leaves\n"
        "  encoder.weight  4 in 1 leaf\n"
        "  encoder.bias    2 in 1 leaf\n"
        "  head.bias       3 in 1 leaf\n"
        "trained: 6 parameters in 1 leaf\n"
        "  head.weight  6 in 1 leaf"
    )


def test_the_report_of_a_deep_model_groups_what_is_alike():
    layer = {"weight": jnp.ones((40, 50)), "bias": jnp.ones(40)}
    tree = {"layers": [layer] * 30, "head": jnp.ones(7)}
    assert str(freeze(tree, "['layers'][*]['weight']", "['layers'][0].**")) == (
        "frozen by \"['layers'][*]['weight']\", \"['layers'][0].**\": 60,040 parameters in 31 leaves\n"
        "  ['layers'][0]['bias']        40 in 1 leaf\n"
        "  ['layers'][*]['weight']  60,000 in 30 leaves\n"
        "trained: 1,167 parameters in 30 leaves\n"
        "  ['head']                   7 in 1 leaf\n"
        "  ['layers'][*]['bias']  1,160 in 29 leaves"
    )


def test_the_report_of_a_model_of_many_names_stops_at_the_depth_that_is_readable():
    tree = {f"part{i}": {name: jnp.ones(2) for name in "abc"} for i in range(6)}
    lines = str(freeze(tree, "['part0']['a']")).splitlines()
    assert lines[2:5] == [
        "trained: 34 parameters in 17 leaves",
        "  ['part0'].**  4 in 2 leaves",
        "  ['part1'].**  6 in 3 leaves",
    ]
    assert len(lines) == 3 + 6


def test_a_step_of_training_takes_the_wrapped_optimiser(model):
    part = freeze(model, "encoder.**")
    stepper = Stepper.of(Recipe(steps=10, optimiser=AdamW(weight_decay=0.5)), 10, frozen=part)
    state = stepper.start(model, key=jax.random.key(0))
    x, y = np.random.default_rng(0).normal(size=(4, 2)).astype(np.float32), np.array([0, 1, 2, 0])
    step = eqx.filter_jit(lambda state: stepper.step(state, x, y)[0])
    # The rate of the first step, which warms up, is 0.
    state = step(step(state))
    assert bits(state.model.encoder) == bits(model.encoder)
    assert bits(state.model.head.weight) != bits(model.head.weight)


def test_fit_trains_what_is_not_frozen_and_nothing_else(model, blobs, recipe):
    done = fit(model, blobs, blobs, recipe, key=jax.random.key(0), frozen=freeze(model, "encoder.**"))
    assert bits(done.state.model.encoder) == bits(model.encoder)
    assert bits(done.model.head.weight) != bits(model.head.weight)
    assert done.rounds[-1].loss < 0.9 * done.rounds[0].loss


def test_a_pattern_that_matches_nothing_names_the_nearest_path(model):
    with pytest.raises(ValueError, match=r"`pattern` \(='head.wieght'\) matches no leaf: .* is 'head.weight'"):
        freeze(model, "encoder.**", "head.wieght")
    with pytest.raises(ValueError, match=r"names a subtree, not a leaf: write 'encoder.\*\*'"):
        freeze(model, "encoder")


def test_nothing_left_to_train_and_no_pattern_are_refused(model):
    message = r"`patterns` \(=\('encoder.\*\*', 'head.\*\*'\)\) must leave an array of floats to train: freeze less"
    with pytest.raises(ValueError, match=message):
        freeze(model, "encoder.**", "head.**")
    with pytest.raises(ValueError, match=r"`patterns` \(=\(\)\) must name what to freeze: give at least one"):
        freeze(model)
    with pytest.raises(ContractError, match="freeze got patterns"):
        freeze(model, ["encoder.**"])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ValueError, match=r"`params` must be the model that was frozen: freeze this one\..*types"):
        freeze(model, "encoder.**").optimiser(optax.sgd(0.1)).init({"weight": jnp.ones(3)})
    with pytest.raises(ContractError, match="optimiser got inner"):
        freeze(model, "encoder.**").optimiser(AdamW())  # pyright: ignore[reportArgumentType]


def test_a_report_is_what_a_notebook_shows(model):
    part = freeze(model, "encoder.**")
    assert isinstance(part, Frozen)
    assert repr(part) == str(part)


def test_the_example_runs():
    assert doctest.testmod(importlib.import_module("matrinox.train.freeze")) == (0, 2)


def tied():
    key = jax.random.key(0)
    encoder = nn.Dense(p=4, q=5, n=2, key=key)
    decoder = nn.Dense(p=5, q=4, n=2, transposed=True, key=key)
    return nn.Tied(nn.Sequential([encoder, decoder]), {"layers[1].weight": "layers[0].weight"})


@pytest.mark.parametrize("pattern", ["**.layers[1].weight", "**.model.layers[1].**"])
def test_a_weight_that_is_tied_to_a_trained_one_is_refused(pattern):
    model = nn.Sequential([nn.ReLU(), tied()])
    where = r"'layers\[1\]\.model\.layers\[1\]\.weight', which is tied to 'layers\[1\]\.model\.layers\[0\]\.weight'"
    with pytest.raises(ValueError, match=rf"`patterns` matches {where} and would be trained there: name that one too"):
        freeze(model, pattern)


def test_a_tied_weight_is_frozen_where_it_is():
    part = freeze(tied(), "model.layers[*].weight")
    assert part.frozen.model.layers[0].weight is not None
    assert [leaf.shape for leaf in jax.tree.leaves(part.trainable)] == [(5, 2, 2), (4, 2, 2)]
