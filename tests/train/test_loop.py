"""Fitting."""

import dataclasses
import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.data import CsvFile, DataSet, Loader, NpyFiles, fit_csv
from matrinox.train import AdamW, Classification, Constant, Hooks, Recipe, evaluate, fit
from matrinox.train.feed import Feed

TASK = Classification()
KEY = jax.random.key(3)
WILD = AdamW(learning_rate=5.0, scheduler=Constant())
"""A rate so high that training wanders: some round before the last is better than the last."""


class Halves(Loader):
    """A data set in minibatches of 9, in its own order in every epoch."""

    name, batch = "halves", 9

    def __init__(self, data):
        self.data = data

    def __len__(self):
        return len(self.data) // 9

    def batches(self, first=0):
        while True:
            at = 9 * (first % len(self))
            yield np.asarray(self.data.inputs[at : at + 9]), np.asarray(self.data.targets[at : at + 9])
            first += 1

    def once(self):
        for at in range(0, len(self.data), 7):
            yield np.asarray(self.data.inputs[at : at + 7]), np.asarray(self.data.targets[at : at + 7])

    def fingerprint(self):
        return self.data.fingerprint()


def test_fit_learns_and_tells_of_every_step_epoch_and_round(linear, blobs, recipe):
    """90 examples in minibatches of 8 are 11 steps an epoch."""
    steps, epochs, rounds, begun, ended = [], [], [], [], []
    hooks = Hooks(
        on_start=begun.append,
        on_step=steps.append,
        on_epoch_end=epochs.append,
        on_round=lambda model, now: rounds.append(now),
        on_finish=ended.append,
    )
    fitted = fit(linear(2, 3), blobs, blobs, recipe, key=jax.random.key(0), hooks=hooks)
    assert [now.step for now in steps] == list(range(1, 24))
    assert [now.epoch for now in steps] == [1] * 11 + [2] * 11 + [3]
    assert [(now.epoch, now.step) for now in epochs] == [(1, 11), (2, 22)]
    assert [now.step for now in rounds] == [5, 10, 15, 20, 23]
    assert tuple(rounds) == fitted.rounds
    losses = [now.loss for now in steps]
    assert rounds[1].loss == pytest.approx(np.mean(losses[5:10]))
    assert epochs[1].loss == pytest.approx(np.mean(losses[11:22]))
    rate = recipe.optimiser.schedule(23)
    assert [now.learning_rate for now in steps] == pytest.approx([float(rate(i)) for i in range(23)])
    assert rounds[-1].learning_rate == 0
    assert (begun[0].steps, begun[0].steps_per_epoch, begun[0].step) == (23, 11, 0)
    assert begun[0].figures == fitted.before == evaluate(linear(2, 3), blobs, TASK).figures
    assert (ended[0].reason, ended[0].rounds, ended[0].best) == ("complete", fitted.rounds, fitted.best)
    assert int(fitted.state.step) == 23
    assert fitted.best.validation["accuracy"] > 0.7
    told = str(fitted).splitlines()
    assert told[0].startswith("complete: 23 steps in ")
    assert told[1].split()[:3] == ["loss", f"{fitted.before['loss']:.4g}", "before,"]


def test_a_hook_may_evaluate_the_model_in_inference_mode(linear, blobs, recipe):
    """At the end of an epoch that is the end of a round, it finds what the round found, dropout or not."""
    seen = []
    recipe = dataclasses.replace(recipe, steps_per_round=11, average=0.9)
    hooks = Hooks(on_epoch_end=lambda now: seen.append(evaluate(now.state.evaluated(), blobs, TASK).figures))
    fitted = fit(linear(2, 3, rate=0.5), blobs, blobs, recipe, key=KEY, hooks=hooks)
    assert seen == [now.validation for now in fitted.rounds[:2]]


def test_fit_keeps_the_best_by_validation_not_the_last(linear, blobs):
    improved = []
    recipe = Recipe(steps=40, batch=4, steps_per_round=2, optimiser=WILD)
    hooks = Hooks(on_best=lambda model, now: improved.append((model, now)))
    fitted = fit(linear(2, 3), blobs, blobs, recipe, key=KEY, hooks=hooks)
    losses = [now.validation["loss"] for now in fitted.rounds]
    best = losses.index(min(losses))
    assert best < len(losses) - 1
    assert improved[-1][1] == fitted.best == fitted.rounds[best]
    assert evaluate(fitted.model, blobs, TASK).figures == fitted.best.validation
    assert [now for _, now in improved] == [
        now for i, now in enumerate(fitted.rounds) if losses[i] < min(losses[:i], default=np.inf)
    ]


def test_without_validation_the_last_model_is_kept(linear, blobs, recipe, same_bits):
    fitted = fit(linear(2, 3), blobs, None, recipe, key=KEY)
    assert fitted.best == fitted.rounds[-1]
    assert same_bits(fitted.model, fitted.state.model)
    assert str(fitted).count("\n") == 0


def test_patience_ends_a_run_that_many_rounds_behind_its_best(linear, blobs):
    recipe = Recipe(steps=400, batch=4, steps_per_round=2, optimiser=WILD, patience=3)
    fitted = fit(linear(2, 3), blobs, blobs, recipe, key=KEY)
    assert fitted.reason == "patience"
    assert not fitted.interrupted
    assert len(fitted.rounds) < 200
    assert fitted.rounds.index(fitted.best) == len(fitted.rounds) - 4


def test_hooks_change_no_digit_and_see_the_model_that_was_evaluated(linear, blobs, recipe, same_bits):
    recipe, seen, best = dataclasses.replace(recipe, optimiser=WILD, average=0.5), [], []
    hooks = Hooks(
        on_best=lambda model, now: best.append(now),
        on_round=lambda model, now: seen.append((model, now)),
        on_epoch_end=lambda now: None,
    )
    fitted = fit(linear(2, 3), blobs, blobs, recipe, key=KEY, hooks=hooks)
    assert len(best) < len(seen)
    assert [evaluate(model, blobs, TASK).figures for model, _ in seen] == [now.validation for now in fitted.rounds]
    without = fit(linear(2, 3), blobs, blobs, recipe, key=KEY)
    assert without.rounds == fitted.rounds
    assert same_bits(without.state, fitted.state)


def test_the_same_key_gives_the_same_digits(linear, blobs, recipe, same_bits):
    a, b, c = (fit(linear(2, 3, rate=0.2), blobs, blobs, recipe, key=jax.random.key(seed)) for seed in (4, 4, 5))
    assert a.rounds == b.rounds
    assert same_bits(a.state, b.state)
    assert same_bits(a.model, b.model)
    assert not same_bits(a.model, c.model)


def test_how_many_steps_a_call_takes_changes_nothing(linear, blobs, recipe):
    weights = [
        fit(linear(2, 3, rate=0.2), blobs, blobs, dataclasses.replace(recipe, steps_per_call=calls), key=KEY).model
        for calls in (None, 1, 3)
    ]
    for other in weights[1:]:
        assert other.weight == pytest.approx(np.asarray(weights[0].weight), rel=1e-5, abs=1e-7)


def test_fit_takes_samples_examples_and_loaders(linear, blobs):
    """Samples and the data set of them are one thing; an epoch of a loader is all its minibatches."""
    recipe = Recipe(steps=6, batch=4)
    samples = [(blobs.inputs[i], blobs.targets[i]) for i in range(8)]
    of_samples = fit(linear(2, 3), samples, samples, recipe, key=KEY)
    eight = blobs.take(np.arange(8))
    of_data = fit(linear(2, 3), eight, eight, recipe, key=KEY)
    assert jnp.array_equal(of_samples.model.weight, of_data.model.weight)
    assert of_samples.best == of_data.best
    fitted = fit(linear(2, 3), Halves(blobs), Halves(blobs), Recipe(epochs=2, task=TASK), key=KEY)
    assert [now.step for now in fitted.rounds] == [10, 20]
    assert fitted.best.validation["accuracy"] == pytest.approx(
        evaluate(fitted.model, blobs, TASK).figures["accuracy"], abs=1e-9
    )
    assert int(fitted.state.position) == 20


def test_files_are_trained_on_as_the_examples_in_them(linear, blobs, tmp_path):
    """In the same minibatches: a source by number, and a stream in an order of its own."""
    for name, array in (("x", blobs.inputs), ("y", blobs.targets)):
        np.save(tmp_path / f"{name}.npy", np.asarray(array))
    files = NpyFiles(tmp_path / "x.npy", tmp_path / "y.npy")
    recipe = Recipe(steps=12, batch=30, steps_per_round=12)
    in_memory, on_disk = (fit(linear(2, 3), data, data, recipe, key=KEY) for data in (blobs, files))
    np.testing.assert_allclose(on_disk.model.weight, in_memory.model.weight, rtol=1e-5, atol=1e-6)
    assert on_disk.best.validation == pytest.approx(in_memory.best.validation, rel=1e-5)
    lines = tmp_path / "blobs.csv"
    np.savetxt(lines, np.c_[blobs.inputs, blobs.targets], "%.9g", delimiter=",", header="a,b,y", comments="")
    stream = CsvFile(lines, fit_csv(lines, target="y"))
    streamed = fit(linear(2, 3), stream, stream, recipe, key=KEY)
    assert streamed.best.validation["accuracy"] == pytest.approx(
        evaluate(streamed.model, blobs, TASK).figures["accuracy"]
    )


def test_accumulated_minibatches_count_as_minibatches_of_an_epoch(linear, blobs):
    """11 minibatches an epoch, 2 a step: epochs, and so rounds, end behind steps 6 and 11."""
    epochs = []
    recipe = Recipe(epochs=2, batch=8, accumulate=2)
    fitted = fit(linear(2, 3), blobs, None, recipe, key=KEY, hooks=Hooks(on_epoch_end=epochs.append))
    assert [(now.epoch, now.step) for now in epochs] == [(1, 6), (2, 11)]
    assert [now.step for now in fitted.rounds] == [6, 11]
    assert int(fitted.state.position) == 22


def test_no_call_takes_more_of_a_loader_than_16_steps_unasked(linear, blobs, monkeypatch):
    """What it takes is all in memory, and an epoch of what is read from disk need not fit there."""
    sizes = []

    class Ones(Halves):
        batch = 1

        def __len__(self):
            return 40

        def batches(self, first=0):
            for position in itertools.count(first):
                yield np.asarray(self.data.inputs[position : position + 1]), np.zeros(1, int)

    draw = Feed.draw
    monkeypatch.setattr(Feed, "draw", lambda feed, *at: sizes.append(len((drawn := draw(feed, *at))[0])) or drawn)
    fit(linear(2, 3), Ones(blobs), None, Recipe(epochs=1), key=KEY)
    assert sizes == [16, 16, 16]


def test_running_statistics_are_kept_with_the_model(blobs):
    build = eqx.nn.make_with_state(lambda: nn.Sequential([nn.Fold(n=1), nn.BatchNorm(p=2, n=1), nn.Trace()]))
    model, state = build()
    halves = DataSet(blobs.inputs, blobs.targets % 2)
    fitted = fit(model, halves, halves, Recipe(steps=8, batch=30, steps_per_round=4), key=KEY, state=state)
    assert evaluate(fitted.model, halves, TASK, state=fitted.model_state).figures == fitted.best.validation
    assert not np.allclose(jax.tree.leaves(fitted.model_state)[0], jax.tree.leaves(state)[0])


def test_ctrl_c_after_a_round_keeps_the_best_so_far(linear, blobs, recipe):
    def stop(model, now):
        if now.step == 10:
            raise KeyboardInterrupt

    fitted = fit(linear(2, 3), blobs, blobs, recipe, key=KEY, hooks=Hooks(on_round=stop))
    assert fitted.interrupted
    assert [now.step for now in fitted.rounds] == [5, 10]
    assert evaluate(fitted.model, blobs, TASK).figures == fitted.best.validation


@pytest.mark.parametrize(("at", "steps"), [(3, [5, 10, 15]), (5, [5, 10, 15, 20, 23])])
def test_a_run_asked_to_stop_ends_behind_its_round_and_in_its_last_is_complete(linear, blobs, recipe, at, steps):
    heard = []
    hooks = Hooks(on_round=lambda model, now: heard.append(now))
    fitted = fit(linear(2, 3), blobs, blobs, recipe, key=KEY, hooks=hooks, should_stop=lambda: len(heard) == at)
    assert fitted.interrupted == (at == 3)
    assert [now.step for now in fitted.rounds] == steps


def test_a_run_stopped_before_its_first_round_raises(linear, blobs, recipe):
    with pytest.raises(KeyboardInterrupt):
        fit(linear(2, 3), blobs, blobs, recipe, key=KEY, should_stop=lambda: True)

    class Stopping(linear):
        def __call__(self, x, *, key=None):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(Stopping(2, 3), blobs, blobs, recipe, key=KEY)


def test_a_loss_that_is_not_finite_stops_the_run_and_is_told_with_its_place(linear, blobs, recipe):
    """Every minibatch of 45 has one spoilt example in each epoch."""
    spoilt = DataSet(blobs.inputs.at[17, 0].set(jnp.nan), blobs.targets)
    place = (
        r"the loss is nan at step \d, minibatch [12] of 2 in epoch [12]; not finite first is `inputs\[\d+\]`\. Lower"
    )
    with pytest.raises(FloatingPointError, match=place):
        fit(linear(2, 3), spoilt, blobs, dataclasses.replace(recipe, batch=45), key=KEY)
    begun = Hooks(on_start=lambda start: pytest.fail("the run has begun"))
    match = r"the loss on `validation` \(=nan\) must be finite before the first step: every weight and input "
    with pytest.raises(ValueError, match=match):
        fit(linear(2, 3), blobs, spoilt, recipe, key=KEY, hooks=begun)
    strange = DataSet(blobs.inputs, jnp.where(blobs.targets == 2, 17, blobs.targets))
    with pytest.raises(
        FloatingPointError, match=r"itself, of finite outputs \(8, 3\) and targets from 0 to 17\. Lower"
    ):
        fit(linear(2, 3), strange, blobs, recipe, key=KEY)


def test_fit_refuses_what_is_no_data_recipe_or_key(linear, blobs, recipe):
    large = dataclasses.replace(recipe, batch=91)
    with pytest.raises(ValueError, match=r"`batch` \(=91\) must be between 1 and the number of examples \(=90\)"):
        fit(linear(2, 3), blobs, blobs, large, key=KEY)
    with pytest.raises(ContractError, match=r"recipe.*it takes a Recipe"):
        fit(linear(2, 3), blobs, blobs, 10, key=KEY)
    with pytest.raises(TypeError, match=r"`model` \(=Linear\) must not be a class"):
        fit(linear, blobs, blobs, recipe, key=KEY)
    with pytest.raises(ContractError, match=r"fit got key"):
        fit(linear(2, 3), blobs, blobs, recipe, key=0)
    with pytest.raises(ValueError, match=r"`resume` \(=True\) needs `checkpoints`: name the folder"):
        fit(linear(2, 3), blobs, blobs, recipe, key=KEY, resume=True)
    with pytest.raises(ValueError, match=r"`samples` has 0 samples, which must be 1 or more"):
        fit(linear(2, 3), [], blobs, recipe, key=KEY)
    match = (
        r"the samples \(=arrays \(90, 2\) and \(90,\)\) must be pairs.*: of two arrays, give `data\.DataSet\(x, y\)`"
    )
    with pytest.raises(ValueError, match=match):
        fit(linear(2, 3), (blobs.inputs, blobs.targets), blobs, recipe, key=KEY)
    with pytest.raises(ValueError, match=match):
        fit(linear(2, 3), blobs, (np.asarray(blobs.inputs), blobs.targets), recipe, key=KEY)
    with pytest.raises(ValueError, match=r"`patience` \(=3\) needs `validation`: give the examples on which it counts"):
        fit(linear(2, 3), blobs, None, dataclasses.replace(recipe, patience=3), key=KEY)
