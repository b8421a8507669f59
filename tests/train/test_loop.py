"""Steps, evaluation and fitting."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from matrinox.contract import ContractError
from matrinox.data import DataSet, minibatches
from matrinox.train import (
    AdamW,
    Classification,
    Recipe,
    Round,
    TrainState,
    apply_model,
    evaluate,
    fit,
    train_step,
    train_steps,
)

TASK = Classification()


def same_leaves(left, right) -> bool:
    """Whether two trees hold the same arrays, bit for bit."""
    pairs = zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs if eqx.is_array(a))


def without_keys(state):
    return state.model, state.optimiser_state, state.step


def test_a_step_of_gradient_descent_moves_against_the_gradient_worked_out_by_hand(linear):
    """Zero weights give even probabilities, hence the gradient x ⊗ (1/classes − one_hot)."""
    x, y = np.array([[1.0, 2.0], [3.0, -1.0]], np.float32), np.array([0, 2])
    by_hand = x.T @ (np.full((2, 3), 1 / 3) - np.eye(3)[y]) / 2
    optimiser = optax.sgd(0.5)
    state = TrainState.start(linear(2, 3), optimiser, key=jax.random.key(0))
    after, loss = train_step(state, x, y, task=TASK, optimiser=optimiser)
    assert float(loss) == pytest.approx(np.log(3), rel=1e-6)
    assert after.model.weight == pytest.approx(-0.5 * by_hand, abs=1e-6)
    assert int(after.step) == 1


def test_steps_in_one_call_equal_steps_one_by_one(linear, blobs, recipe):
    optimiser = recipe.optimiser.build(6)
    start = TrainState.start(linear(2, 3, rate=0.3), optimiser, key=jax.random.key(1))
    indices = minibatches(jax.random.key(2), 90, 8, count=6)
    many, losses = train_steps(start, blobs, indices, task=TASK, optimiser=optimiser)
    one = start
    for rows, loss in zip(indices, losses, strict=True):
        one, alone = train_step(one, blobs.inputs[rows], blobs.targets[rows], task=TASK, optimiser=optimiser)
        assert float(alone) == pytest.approx(float(loss), rel=1e-5)
    assert int(many.step) == 6
    assert many.model.weight == pytest.approx(np.asarray(one.model.weight), rel=1e-4, abs=1e-6)


def test_steps_cut_into_calls_are_the_same_steps(linear, blobs, recipe):
    optimiser = recipe.optimiser.build(6)
    start = TrainState.start(linear(2, 3, rate=0.3), optimiser, key=jax.random.key(1))
    indices = minibatches(jax.random.key(2), 90, 8, count=6)
    whole, _ = train_steps(start, blobs, indices, task=TASK, optimiser=optimiser)
    half, _ = train_steps(start, blobs, indices[:3], task=TASK, optimiser=optimiser)
    rest, _ = train_steps(half, blobs, indices[3:], task=TASK, optimiser=optimiser)
    assert rest.model.weight == pytest.approx(np.asarray(whole.model.weight), rel=1e-5, abs=1e-7)


def test_each_step_draws_its_own_dropout_and_its_own_augmentation(linear):
    drawn = []
    optimiser = optax.sgd(0.0)
    state = TrainState.start(linear(2, 3), optimiser, key=jax.random.key(0))
    x, y = np.ones((4, 2), np.float32), np.zeros(4, int)

    def augment(key, inputs):
        drawn.append(jax.random.key_data(key).tolist())
        return inputs

    for _ in range(3):
        state, _ = train_step(state, x, y, task=TASK, optimiser=optimiser, augment=augment)
    assert len({tuple(key) for key in drawn}) == 3


def test_augmentation_changes_what_the_model_sees(linear):
    optimiser = optax.sgd(1.0)
    state = TrainState.start(linear(2, 3), optimiser, key=jax.random.key(0))
    x, y = np.ones((4, 2), np.float32), np.zeros(4, int)
    blind, _ = train_step(state, x, y, task=TASK, optimiser=optimiser, augment=lambda key, inputs: 0 * inputs)
    assert not blind.model.weight.any()
    assert blind.model.bias.any()


def test_a_step_refuses_another_number_of_targets(linear, blobs, recipe):
    optimiser = recipe.optimiser.build(6)
    state = TrainState.start(linear(2, 3), optimiser, key=jax.random.key(0))
    with pytest.raises(ContractError, match="batch is 4"):
        train_step(state, np.ones((4, 2), np.float32), np.zeros(5, int), task=TASK, optimiser=optimiser)
    with pytest.raises(ContractError):
        train_steps(state, blobs, np.zeros(4, int), task=TASK, optimiser=optimiser)


def test_evaluation_is_in_inference_mode_and_counts_every_example(linear, blobs):
    """Dropout of everything would leave the bias alone, and chunks of 7 leave a rest of 6."""
    weight = jnp.array([[1.0, -1.0, 0.0], [0.0, 1.0, -1.0]])
    model = eqx.tree_at(lambda model: model.weight, linear(2, 3, rate=0.99), weight)
    logits = np.asarray(blobs.inputs, np.float64) @ np.asarray(weight)
    for batch in (7, 90, 512):
        seen = evaluate(model, blobs, TASK, batch=batch)
        assert seen.predictions.tolist() == logits.argmax(-1).tolist()
        assert seen.accuracy == pytest.approx((logits.argmax(-1) == np.asarray(blobs.targets)).mean())
        normal = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
        assert seen.loss == pytest.approx(-normal[np.arange(90), np.asarray(blobs.targets)].mean(), rel=1e-5)


def test_a_model_is_not_applied_to_nothing(linear):
    with pytest.raises(ValueError, match="`inputs` has 0 examples, which must be 1 or more"):
        apply_model(linear(2, 3), np.zeros((0, 2), np.float32))


@pytest.mark.parametrize("batch", [0, -3])
def test_a_model_is_not_applied_to_less_than_one_example_at_a_time(linear, batch):
    with pytest.raises(ValueError, match=rf"`batch` \(={batch}\) must be 1 or more: choose"):
        apply_model(linear(2, 3), np.zeros((4, 2), np.float32), batch=batch)


def test_evaluate_and_fit_refuse_what_is_no_data_set_or_recipe(linear, blobs, recipe):
    with pytest.raises(ContractError, match=r"data.*it takes a DataSet"):
        evaluate(linear(2, 3), blobs.inputs, TASK)
    with pytest.raises(ContractError, match=r"recipe.*it takes a Recipe"):
        fit(linear(2, 3), blobs, blobs, 10, key=jax.random.key(0))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match=r"fit got key"):
        fit(linear(2, 3), blobs, blobs, recipe, key=0)  # pyright: ignore[reportArgumentType]


def test_better_is_a_lower_validation_loss():
    def seen(loss):
        return Round(1, 0.0, 0.0, loss, 0.5)

    assert seen(1.0).beats(None)
    assert seen(0.9).beats(seen(1.0))
    assert not seen(1.0).beats(seen(1.0))


def test_fit_learns_and_reports_every_round(linear, blobs, recipe):
    heard = []
    fitted = fit(linear(2, 3), blobs, blobs, recipe, key=jax.random.key(0), on_round=heard.append)
    assert [now.step for now in fitted.rounds] == [5, 10, 15, 20, 23]
    assert tuple(heard) == fitted.rounds
    assert fitted.best.validation_accuracy > 0.7
    assert fitted.rounds[-1].learning_rate == 0
    assert int(fitted.state.step) == 23
    assert not fitted.interrupted


def test_fit_keeps_the_best_by_validation_not_the_last(linear, blobs):
    """A rate so high that training wanders: some round before the last is better than the last."""
    recipe = Recipe(steps=40, batch=4, steps_per_round=2, optimiser=AdamW(learning_rate=5.0, warmup=0.0))
    improved = []
    fitted = fit(
        linear(2, 3), blobs, blobs, recipe, key=jax.random.key(3), on_best=lambda model, now: improved.append(now)
    )
    losses = [now.validation_loss for now in fitted.rounds]
    best = losses.index(min(losses))
    assert best < len(losses) - 1
    assert fitted.best == fitted.rounds[best]
    assert improved[-1] == fitted.best
    assert evaluate(fitted.model, blobs, TASK).accuracy == fitted.best.validation_accuracy
    assert [now for i, now in enumerate(fitted.rounds) if losses[i] < min(losses[:i], default=np.inf)] == improved


def test_a_look_at_the_model_of_every_round_changes_no_digit(linear, blobs, recipe):
    """The best rounds are among them; a rate so high that training wanders leaves others."""
    recipe, seen, best = dataclasses.replace(recipe, optimiser=AdamW(learning_rate=5.0, warmup=0.0)), [], []
    fitted = fit(
        linear(2, 3),
        blobs,
        blobs,
        recipe,
        key=jax.random.key(3),
        on_best=lambda model, now: best.append(now),
        on_model=lambda model, now: seen.append((model, now)),
    )
    assert tuple(now for _, now in seen) == fitted.rounds
    assert len(best) < len(seen)
    assert [evaluate(model, blobs, TASK).loss for model, _ in seen] == [now.validation_loss for now in fitted.rounds]
    without = fit(linear(2, 3), blobs, blobs, recipe, key=jax.random.key(3))
    assert without.rounds == fitted.rounds
    assert same_leaves(without_keys(without.state), without_keys(fitted.state))


def test_the_same_key_gives_the_same_digits(linear, blobs, recipe):
    a, b, c = (fit(linear(2, 3, rate=0.2), blobs, blobs, recipe, key=jax.random.key(seed)) for seed in (4, 4, 5))
    assert a.rounds == b.rounds
    assert same_leaves(without_keys(a.state), without_keys(b.state))
    assert same_leaves(a.model, b.model)
    assert not same_leaves(a.model, c.model)


def test_ctrl_c_after_a_round_keeps_the_best_so_far(linear, blobs, recipe):
    def stop(now):
        if now.step == 10:
            raise KeyboardInterrupt

    fitted = fit(linear(2, 3), blobs, blobs, recipe, key=jax.random.key(0), on_round=stop)
    assert fitted.interrupted
    assert [now.step for now in fitted.rounds] == [5, 10]
    assert evaluate(fitted.model, blobs, TASK).accuracy == fitted.best.validation_accuracy


def test_a_run_asked_to_stop_ends_behind_its_round(linear, blobs, recipe):
    heard = []
    fitted = fit(
        linear(2, 3),
        blobs,
        blobs,
        recipe,
        key=jax.random.key(0),
        on_round=heard.append,
        should_stop=lambda: len(heard) == 3,
    )
    assert fitted.interrupted
    assert [now.step for now in fitted.rounds] == [5, 10, 15]


def test_a_run_asked_to_stop_in_its_last_round_is_complete(linear, blobs, recipe):
    heard = []
    stop_at_last = {"on_round": heard.append, "should_stop": lambda: len(heard) == 5}
    fitted = fit(linear(2, 3), blobs, blobs, recipe, key=jax.random.key(0), **stop_at_last)
    assert not fitted.interrupted


def test_a_run_asked_to_stop_before_it_began_raises(linear, blobs, recipe):
    with pytest.raises(KeyboardInterrupt):
        fit(linear(2, 3), blobs, blobs, recipe, key=jax.random.key(0), should_stop=lambda: True)


def test_ctrl_c_before_the_first_round_is_not_swallowed(linear, blobs, recipe):
    class Stopping(linear):
        def __call__(self, x, *, key=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(Stopping(2, 3), blobs, blobs, recipe, key=jax.random.key(0))


def test_a_loss_that_is_not_finite_stops_the_run(linear, blobs, recipe):
    model = eqx.tree_at(lambda model: model.weight, linear(2, 3), jnp.full((2, 3), jnp.nan))
    with pytest.raises(FloatingPointError, match="the loss is nan at step 5: lower the learning rate"):
        fit(model, blobs, blobs, recipe, key=jax.random.key(0))


def test_targets_outside_the_classes_stop_the_run(linear, blobs, recipe):
    strange = DataSet(blobs.inputs, jnp.full_like(blobs.targets, 17))
    with pytest.raises(FloatingPointError, match="and see that every target is a class of the model"):
        fit(linear(2, 3), strange, blobs, recipe, key=jax.random.key(0))


def test_a_batch_larger_than_the_data_is_refused(linear, blobs, recipe):
    large = dataclasses.replace(recipe, batch=91)
    with pytest.raises(ValueError, match=r"`batch` \(=91\) must be between 1 and `examples` \(=90\)"):
        fit(linear(2, 3), blobs, blobs, large, key=jax.random.key(0))


@pytest.mark.parametrize(("name", "value"), [("steps", 0), ("batch", 0), ("steps_per_round", 0), ("shift", -1)])
def test_a_recipe_refuses_sizes_out_of_range(name, value):
    with pytest.raises(ValueError, match=rf"`{name}` \(={value}\) must be at least {value + 1}"):
        Recipe(**{"steps": 10, name: value})


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"steps": 2.5}, r"`Recipe\.steps` is 2\.5, not an integer"),
        ({"batch": "64"}, r"`Recipe\.batch` is '64', not an integer"),
        ({"task": "classify"}, r"`Recipe\.task` is 'classify', not a table of the fields of Classification"),
        ({"optimiser": None}, r"`Recipe\.optimiser` is None, not a table of the fields of AdamW"),
    ],
)
def test_a_recipe_refuses_values_of_another_type(setting, match):
    with pytest.raises(ValueError, match=match):
        Recipe(**{"steps": 10, **setting})


def test_a_recipe_shifts_only_if_asked():
    images = jax.random.normal(jax.random.key(0), (4, 5, 5, 1))
    assert Recipe(steps=1).augmentation() is None
    augment = Recipe(steps=1, shift=2).augmentation()
    assert augment is not None
    moved = augment(jax.random.key(0), images)
    assert moved.shape == images.shape
    assert not jnp.array_equal(moved, images)
