"""One step, and many in one compiled call."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from matrinox import freeze, nn
from matrinox.contract import ContractError
from matrinox.data import DataSet, minibatches
from matrinox.train import AdamW, Classification, Recipe, Stepper, Task

TASK = Classification()


@pytest.fixture(scope="module")
def stepper() -> Stepper:
    return Stepper(TASK, optax.adam(0.1))


@pytest.fixture(scope="module")
def rows() -> np.ndarray:
    """The examples of six steps."""
    return np.asarray(minibatches(jax.random.key(2), 90, 8, count=6))


def test_a_step_of_gradient_descent_moves_against_the_gradient_worked_out_by_hand(linear):
    """Zero weights give even probabilities, hence the gradient x ⊗ (1/classes − one_hot)."""
    x, y = np.array([[1.0, 2.0], [3.0, -1.0]], np.float32), np.array([0, 2])
    by_hand = x.T @ (np.full((2, 3), 1 / 3) - np.eye(3)[y]) / 2
    of_bias = (np.full((2, 3), 1 / 3) - np.eye(3)[y]).mean(0)
    stepper = Stepper(TASK, optax.sgd(0.5))
    after, loss, norm = stepper.step(stepper.start(linear(2, 3), key=jax.random.key(0)), x, y)
    assert float(loss) == pytest.approx(np.log(3), rel=1e-6)
    assert float(norm) == pytest.approx(np.sqrt((by_hand**2).sum() + (of_bias**2).sum()), rel=1e-6)
    assert after.model.weight == pytest.approx(-0.5 * by_hand, abs=1e-6)
    assert int(after.step) == int(after.position) == 1


def test_steps_in_one_call_equal_steps_one_by_one_and_those_of_stacked_minibatches(linear, blobs, stepper, rows):
    start = stepper.start(linear(2, 3, rate=0.3), key=jax.random.key(1))
    many, taken = stepper.steps(start, blobs, rows, 6)
    stacked, _ = stepper.steps(start, None, (blobs.inputs[rows], blobs.targets[rows]), 6)
    one = start
    for indices, due in zip(rows, taken.loss, strict=True):
        one, loss, _ = stepper.step(one, blobs.inputs[indices], blobs.targets[indices])
        assert float(loss) == pytest.approx(float(due), rel=1e-5)
    assert int(many.step) == int(taken.count) == 6
    for other in (one, stacked):
        assert many.model.weight == pytest.approx(np.asarray(other.model.weight), rel=1e-4, abs=1e-6)


def test_steps_cut_into_calls_are_the_same_steps_bit_for_bit(linear, blobs, stepper, rows, same_bits):
    """One program serves every count, so that no cut can change a digit."""
    start = stepper.start(linear(2, 3, rate=0.3), key=jax.random.key(1))
    whole, _ = stepper.steps(start, blobs, rows, 6)
    cut, first = stepper.steps(start, blobs, rows, 2)
    assert np.isnan(np.asarray(first.loss)).tolist() == [False, False, True, True, True, True]
    cut, _ = stepper.steps(cut, blobs, np.roll(rows, -2, axis=0), 4)
    assert same_bits(cut, whole)


@pytest.mark.parametrize("at", [0, 3])
def test_steps_end_before_the_first_that_is_not_finite(linear, blobs, stepper, rows, same_bits, at):
    start = stepper.start(linear(2, 3), key=jax.random.key(1))
    spoilt = DataSet(blobs.inputs.at[rows[at, 5], 1].set(jnp.inf), blobs.targets)
    state, taken = stepper.steps(start, spoilt, rows, 6)
    good, _ = stepper.steps(start, blobs, rows, at)
    assert int(taken.count) == int(state.step) == at
    assert not np.isfinite(taken.loss[at]) or not np.isfinite(taken.gradient_norm[at])
    assert same_bits(state, good)


def test_accumulated_minibatches_equal_one_of_their_size(linear, blobs):
    x, y = blobs.inputs[:24], blobs.targets[:24]
    by_parts = []
    for accumulate in (1, 3):
        stepper = Stepper(TASK, optax.sgd(0.5), accumulate=accumulate)
        state, loss, norm = stepper.step(stepper.start(linear(2, 3), key=jax.random.key(0)), x, y)
        by_parts.append((float(loss), float(norm), *np.asarray(state.model.weight).ravel()))
        assert int(state.position) == accumulate
    assert by_parts[1] == pytest.approx(by_parts[0], rel=1e-5)
    with pytest.raises(ValueError, match=r"`accumulate` \(=3\) must divide the 23 examples of a step"):
        stepper.step(state, x[:23], y[:23])


def test_accumulated_minibatches_hand_on_their_running_statistics(blobs):
    model, state = eqx.nn.make_with_state(lambda: nn.Sequential([nn.Fold(n=1), nn.BatchNorm(p=2, n=1), nn.Trace()]))()
    task, optimiser = Classification(), optax.sgd(0.0)
    targets = blobs.targets[:16] % 2
    whole = Stepper(task, optimiser, accumulate=2)
    after, *_ = whole.step(whole.start(model, state, key=jax.random.key(0)), blobs.inputs[:16], targets)
    alone = Stepper(task, optimiser)
    one = alone.start(model, state, key=jax.random.key(0))
    for part in (slice(0, 8), slice(8, 16)):
        one, *_ = alone.step(one, blobs.inputs[part], targets[part])
    for left, right in zip(jax.tree.leaves(after.model_state), jax.tree.leaves(one.model_state), strict=True):
        assert np.allclose(left, right, atol=1e-6)
    assert not np.allclose(jax.tree.leaves(after.model_state)[0], jax.tree.leaves(state)[0])


def test_in_bfloat16_the_model_computes_in_it_and_everything_kept_is_float32(blobs):
    seen = []

    class Watched(eqx.Module):
        weight: jax.Array

        def __call__(self, x):
            seen.append((x.dtype, self.weight.dtype))
            return x @ self.weight

    model = Watched(jax.random.normal(jax.random.key(0), (2, 3)))
    half = Stepper(TASK, optax.adam(0.1), precision="bfloat16")
    full = Stepper(TASK, optax.adam(0.1))
    state, loss, _ = half.step(half.start(model, key=jax.random.key(0)), blobs.inputs, blobs.targets)
    assert seen == [(jnp.bfloat16, jnp.bfloat16)]
    due, due_loss, _ = full.step(full.start(model, key=jax.random.key(0)), blobs.inputs, blobs.targets)
    assert loss.dtype == jnp.float32
    assert all(leaf.dtype != jnp.bfloat16 for leaf in jax.tree.leaves(eqx.filter(state, eqx.is_array)))
    assert float(loss) != float(due_loss)
    assert float(loss) == pytest.approx(float(due_loss), rel=0.02)
    assert state.model.weight == pytest.approx(np.asarray(due.model.weight), abs=0.02)


def test_running_statistics_stay_float32_in_bfloat16(blobs):
    model, state = eqx.nn.make_with_state(lambda: nn.Sequential([nn.Fold(n=1), nn.BatchNorm(p=2, n=1), nn.Trace()]))()
    behind = []
    for precision in ("float32", "bfloat16"):
        stepper = Stepper(Classification(), optax.sgd(0.1), precision=precision)
        after, *_ = stepper.step(stepper.start(model, state, key=jax.random.key(0)), blobs.inputs, blobs.targets % 2)
        behind.append([leaf for leaf in jax.tree.leaves(after.model_state) if eqx.is_inexact_array(leaf)])
    assert behind[0]
    for full, half in zip(*behind, strict=True):
        assert half.dtype == full.dtype == jnp.float32
        assert np.allclose(half, full, atol=0.01)


def test_the_average_follows_the_weights_as_its_formula_says(linear, blobs, rows):
    stepper = Stepper(TASK, optax.sgd(0.5), average=0.9)
    state = stepper.start(linear(2, 3), key=jax.random.key(0))
    due = np.zeros((2, 3))
    for step, indices in enumerate(rows, start=1):
        state, *_ = stepper.step(state, blobs.inputs[indices], blobs.targets[indices])
        decay = min(0.9, (1 + step) / (10 + step))
        due = decay * due + (1 - decay) * np.asarray(state.model.weight)
    assert state.evaluated().weight == pytest.approx(due, rel=1e-5, abs=1e-7)
    assert state.model.weight != pytest.approx(due, rel=0.1)


def test_what_is_frozen_gets_no_gradient_and_keeps_every_bit(linear, blobs):
    """Also where weights are averaged, of which the average holds no copy of what is frozen."""
    model = eqx.tree_at(lambda model: model.weight, linear(2, 3), jnp.ones((2, 3)))
    frozen = freeze(model, "weight")
    stepper = Stepper.of(Recipe(steps=3, average=0.9), 3, frozen=frozen)
    state = stepper.start(model, key=jax.random.key(0))
    _, gradient, _ = stepper.gradient(state, blobs.inputs, blobs.targets)
    assert gradient.weight is None
    after, *_ = stepper.step(state, blobs.inputs, blobs.targets)
    assert jnp.array_equal(after.model.weight, model.weight)
    assert after.average.weight is None
    assert jnp.array_equal(after.evaluated().weight, model.weight)
    assert not jnp.array_equal(after.evaluated().bias, model.bias)


def test_the_average_of_what_does_not_change_keeps_every_bit(linear):
    """As of what a group of the optimiser freezes: in the usual form, a share of one and the rest of the other, a third
    of the numbers would not."""
    weight = jax.random.normal(jax.random.key(0), (50, 20))
    stepper = Stepper(TASK, optax.sgd(0.0), average=0.99)
    state = stepper.start(eqx.tree_at(lambda model: model.weight, linear(50, 20), weight), key=jax.random.key(0))
    inputs = np.ones((30, 4, 50), np.float32)
    state, _ = stepper.steps(state, None, (inputs, np.zeros((30, 4), int)), 30)
    assert jnp.array_equal(state.average.weight, weight)


def test_each_step_draws_its_own_dropout_and_its_own_augmentation(linear):
    drawn = []

    def augment(key, inputs):
        drawn.append(tuple(jax.random.key_data(key).tolist()))
        return inputs

    stepper = Stepper(TASK, optax.sgd(0.0), augment=(augment, augment))
    state = stepper.start(linear(2, 3), key=jax.random.key(0))
    for _ in range(3):
        state, *_ = stepper.step(state, np.ones((4, 2), np.float32), np.zeros(4, int))
    assert len(drawn) == len(set(drawn)) == 6


@pytest.mark.parametrize("by", [np.zeros(2, np.float32), jnp.zeros(2)], ids=["numpy", "jax"])
def test_an_augmentation_may_be_a_module_that_holds_arrays(linear, blobs, rows, by):
    class Scaled(eqx.Module):
        by: np.ndarray | jax.Array

        def __call__(self, key, inputs):
            return self.by * inputs

    blind = Stepper(TASK, optax.sgd(1.0), augment=(Scaled(by),))
    state, _ = blind.steps(blind.start(linear(2, 3), key=jax.random.key(0)), blobs, rows, 2)
    assert not state.model.weight.any()
    assert state.model.bias.any()


def test_augmentation_changes_what_the_model_sees(linear):
    stepper = Stepper(TASK, optax.sgd(1.0), augment=(lambda key, inputs: 0 * inputs,))
    blind, *_ = stepper.step(
        stepper.start(linear(2, 3), key=jax.random.key(0)), np.ones((4, 2), np.float32), np.zeros(4, int)
    )
    assert not blind.model.weight.any()
    assert blind.model.bias.any()


def test_a_step_refuses_another_number_of_targets_and_no_example(linear, stepper):
    state, x = stepper.start(linear(2, 3), key=jax.random.key(0)), np.ones((4, 2), np.float32)
    for inputs, targets, found in ((x, np.zeros(5, int), "4, 5"), (x, 0, "4, none"), (x[:0], np.zeros(0), "0, 0")):
        with pytest.raises(
            ValueError, match=rf"`inputs` and `targets` \(of {found} examples\) must have one first axis"
        ):
            stepper.step(state, inputs, targets)
    with pytest.raises(ContractError, match="loss got targets"):
        stepper.step(state, x, np.zeros((4, 2), int))


def test_what_is_no_model_to_train_is_refused_by_name(stepper):
    key = jax.random.key(0)
    _, statistics = eqx.nn.make_with_state(lambda: nn.BatchNorm(p=2, n=1))()
    chain = nn.Sequential([nn.Fold(n=1), nn.Lazy(nn.Dense, q=3)])
    lazy = r"`model\.layers\[1\]` \(=Lazy\(Dense, q=3\)\) must be a layer before it is trained.*nn\.materialize"
    for model, state, error, match in (
        (nn.Dense, None, TypeError, r"`model` \(=Dense\) must not be a class: build a layer, as Dense"),
        (3, None, TypeError, r"`model` \(=3\) must be callable: give a layer"),
        (chain, None, ValueError, lazy),
        (nn.Trace(), None, ValueError, r"`model` \(=Trace\) must hold an array of floats, as these are what is trai"),
        (lambda x: x, None, ValueError, r"`model` \(=<lambda>\) must hold an array of floats"),
        (
            nn.Dense(p=2, q=3, n=1, key=key),
            statistics,
            ValueError,
            r"`state` is given, and the call of `model` \(=Dense",
        ),
    ):
        with pytest.raises(error, match=match):
            stepper.start(model, state, key=key)


def test_a_loss_that_is_not_one_number_is_refused_by_the_name_of_its_task(linear):
    class Each(Task):
        def loss(self, outputs, targets):
            return outputs.sum(-1)

        tally = report = loss

    stepper = Stepper(Each(), optax.sgd(0.1))
    state = stepper.start(linear(2, 3), key=jax.random.key(0))
    match = r"of `task` \(=.*Each.*\) must be one number, a 0-d array of floats, and is float32\[4\]: return the mean"
    with pytest.raises(ValueError, match=match):
        stepper.step(state, np.ones((4, 2), np.float32), np.zeros(4, int))


@pytest.mark.parametrize("count", [-1, 7])
def test_steps_refuse_a_count_that_is_not_of_their_minibatches(linear, blobs, stepper, rows, count):
    state = stepper.start(linear(2, 3), key=jax.random.key(0))
    with pytest.raises(ValueError, match=rf"`count` \(={count}\) must be from 0 to the 6 minibatches"):
        stepper.steps(state, blobs, rows, count)


def test_a_stepper_of_a_recipe_has_its_settings():
    recipe = Recipe(steps=3, accumulate=2, precision="bfloat16", average=0.5, task=Classification(0.1))
    stepper = Stepper.of(recipe, 3)
    for name in ("task", "accumulate", "precision", "average", "augment"):
        assert getattr(stepper, name) == getattr(recipe, name)
    assert dataclasses.replace(stepper) == stepper


def test_steppers_of_equal_recipes_are_equal_so_that_the_next_run_is_not_compiled_anew():
    one, same = (Stepper.of(Recipe(steps=3, optimiser=AdamW(learning_rate=0.1)), 3) for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
    assert one != Stepper.of(Recipe(steps=3, optimiser=AdamW(learning_rate=0.2)), 3)
    assert one != Stepper.of(Recipe(steps=3, optimiser=AdamW(learning_rate=0.1)), 4)
