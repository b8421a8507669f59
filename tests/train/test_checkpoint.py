"""Checkpoints: runs that go on, and what is refused."""

import dataclasses
import json
import os

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import io, nn
from matrinox.data import DataSet, RowLoader, minibatches
from matrinox.io import ModelFileError
from matrinox.train import AdamW, Checkpoints, Hooks, JsonLines, Recipe, Round, Stepper, fit, read_events
from matrinox.train.checkpoint import Progress

KEY = jax.random.key(3)


@dataclasses.dataclass(frozen=True)
class Size:
    features: int


class Stopped(Exception):
    """A run that ends in the middle."""


def stop_at(step: int) -> Hooks:
    def stop(now):
        if now.step == step:
            raise Stopped

    return Hooks(on_step=stop)


@pytest.fixture
def network():
    """With everything that a state can hold: dropout, running statistics, keys for both."""
    k0 = jax.random.key(0)
    layers = [nn.Fold(n=1), nn.BatchNorm(p=2, n=1), nn.Dropout(0.2), nn.Dense(p=2, q=3, n=1, key=k0), nn.Trace()]
    return eqx.nn.make_with_state(lambda: nn.Sequential(layers))()


@pytest.fixture
def everything() -> Recipe:
    settings = {"accumulate": 2, "average": 0.9, "steps_per_round": 5, "steps_per_call": 4}
    return Recipe(steps=23, batch=8, optimiser=AdamW(learning_rate=0.1), **settings)


def test_a_run_stopped_again_and_again_ends_as_one_that_never_was(network, blobs, everything, same_bits, tmp_path):
    """State, best model, rounds, epochs and log; stops in the first round, behind a checkpoint, in the last call."""
    model, statistics = network
    whole_epochs, epochs = [], []

    def run(folder, resume, *hooks):
        log = JsonLines(tmp_path / folder / "log.jsonl")
        options = {"checkpoints": Checkpoints(tmp_path / folder), "resume": resume, "state": statistics}
        return fit(model, blobs, blobs, everything, key=KEY, hooks=sum(hooks, log), **options)

    whole = run("whole", False, Hooks(on_epoch_end=whole_epochs.append))
    for resume, step in ((False, 3), (True, 12), (True, 13), (True, 22)):
        with pytest.raises(Stopped):
            run("cut", resume, stop_at(step))
    fitted = run("cut", True, Hooks(on_epoch_end=epochs.append))
    assert same_bits(fitted.state, whole.state)
    assert same_bits((fitted.model, fitted.model_state), (whole.model, whole.model_state))
    assert (fitted.rounds, fitted.best, fitted.before) == (whole.rounds, whole.best, whole.before)
    assert [(now.epoch, now.loss) for now in epochs] == [(now.epoch, now.loss) for now in whole_epochs[-len(epochs) :]]
    headers = [io.read_header(tmp_path / folder / "model.safetensors") for folder in ("whole", "cut")]
    assert headers[0].data_sha256 == headers[1].data_sha256
    logs = [read_events(tmp_path / folder / "log.jsonl") for folder in ("whole", "cut")]
    assert [dataclasses.replace(event, seconds=0.0) for event in logs[0]] == [
        dataclasses.replace(event, seconds=0.0) for event in logs[1]
    ]
    again = run("cut", True)
    assert (again.rounds, again.reason) == (whole.rounds, "complete")


def test_patience_counts_the_rounds_before_a_stop(linear, blobs, tmp_path):
    """At a rate so high, four rounds pass without a better one; the run is cut in the last of them."""
    recipe = Recipe(steps=60, batch=8, steps_per_round=2, patience=4, optimiser=AdamW(learning_rate=20.0))
    whole = fit(linear(2, 3), blobs, blobs, recipe, key=KEY)
    assert whole.reason == "patience"
    options = {"checkpoints": Checkpoints(tmp_path), "key": KEY}
    with pytest.raises(Stopped):
        fit(linear(2, 3), blobs, blobs, recipe, hooks=stop_at(whole.rounds[-1].step - 1), **options)
    fitted = fit(linear(2, 3), blobs, blobs, recipe, resume=True, **options)
    assert (fitted.rounds, fitted.reason) == (whole.rounds, "patience")
    again = fit(linear(2, 3), blobs, blobs, recipe, resume=True, **options)
    assert (again.rounds, again.reason) == (whole.rounds, "patience")


def test_a_run_to_go_on_with_that_never_was_begins(linear, blobs, recipe, same_bits, tmp_path):
    fitted = fit(linear(2, 3), blobs, blobs, recipe, key=KEY, checkpoints=Checkpoints(tmp_path / "new"), resume=True)
    assert same_bits(fitted.state, fit(linear(2, 3), blobs, blobs, recipe, key=KEY).state)


def test_a_run_is_told_by_a_validation_loader_of_less_than_a_minibatch(linear, blobs, tmp_path):
    """It has no full minibatch, and so is empty by its length."""
    few, recipe = RowLoader(blobs.take(np.arange(5)), 9, key=None), Recipe(steps=2, batch=8)
    fit(linear(2, 3), blobs, few, recipe, key=KEY, checkpoints=Checkpoints(tmp_path))
    run = json.loads(io.read_header(tmp_path / "checkpoint.safetensors").notes["run"])
    assert run["data"] == {"train": blobs.fingerprint(), "validation": few.fingerprint()}


def test_the_best_model_is_a_file_of_its_own_from_its_round_on(linear, blobs, recipe, same_bits, tmp_path):
    seen = []

    def look(model, now):
        seen.append(int(io.read_header(tmp_path / "model.safetensors").notes["step"]) == now.step)

    checkpoints = Checkpoints(tmp_path, notes={"data": "blobs"})
    fitted = fit(linear(2, 3), blobs, blobs, recipe, key=KEY, hooks=Hooks(on_best=look), checkpoints=checkpoints)
    assert seen
    assert all(seen)
    assert io.read_header(checkpoints.best).notes == {"data": "blobs", "step": str(fitted.best.step)}
    assert same_bits(io.load(checkpoints.best, like=linear(2, 3)), eqx.nn.inference_mode(fitted.model))


def test_a_state_is_written_after_every_so_many_rounds_and_at_the_end(linear, blobs, recipe, tmp_path):
    written = []

    def look(model, now):
        path = tmp_path / "checkpoint.safetensors"
        written.append(path.exists() and int(io.read_header(path).notes["progress"]))

    fit(linear(2, 3), blobs, blobs, recipe, key=KEY, hooks=Hooks(on_round=look), checkpoints=Checkpoints(tmp_path, 2))
    assert [bool(size) for size in written] == [False, False, True, True, True]
    assert written[2] == written[3] < written[4]
    checkpoints = Checkpoints(tmp_path)
    assert len(fit(linear(2, 3), blobs, blobs, recipe, key=KEY, checkpoints=checkpoints, resume=True).rounds) == 5
    with pytest.raises(ValueError, match=r"`every` \(=0\) must be at least 1"):
        Checkpoints(tmp_path, every=0)


def test_another_run_is_not_gone_on_with(linear, blobs, recipe, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    fit(linear(2, 3), blobs, blobs, recipe, key=KEY, checkpoints=checkpoints)
    before = checkpoints.last.read_bytes()
    other = DataSet(blobs.inputs + 1, blobs.targets)
    same, moved = linear(2, 3), eqx.tree_at(lambda model: model.bias, linear(2, 3), jnp.ones(3))
    for match, model, train, how, key in (
        (r"its recipe\.batch is 8, and here it is 9", same, blobs, dataclasses.replace(recipe, batch=9), KEY),
        (r"its data\.train is '\w+', and here", same, other, recipe, KEY),
        (r"its key is", same, blobs, recipe, jax.random.key(4)),
        (r"of another run: its model is '\w{64}', and here it is '\w{64}'\. Go on as", moved, blobs, recipe, KEY),
        (r"of another run: its model is", linear(2, 4), blobs, recipe, KEY),
    ):
        with pytest.raises(ValueError, match=match):
            fit(model, train, blobs, how, key=key, checkpoints=checkpoints, resume=True)
    assert checkpoints.last.read_bytes() == before


def test_a_damaged_checkpoint_is_refused(linear, blobs, recipe, tmp_path):
    checkpoints = Checkpoints(tmp_path)
    fit(linear(2, 3), blobs, blobs, recipe, key=KEY, checkpoints=checkpoints)
    data = bytearray(checkpoints.last.read_bytes())
    data[-3] ^= 1
    checkpoints.last.write_bytes(data)
    with pytest.raises(ModelFileError, match="the arrays are damaged"):
        fit(linear(2, 3), blobs, blobs, recipe, key=KEY, checkpoints=checkpoints, resume=True)
    state = Stepper.of(recipe, 1).start(linear(2, 3), key=KEY)
    io.save(checkpoints.last, state, plain=True, notes={"run": "{}", "progress": "many", "seconds": "1"})
    with pytest.raises(ModelFileError, match=r"safetensors': its notes are damaged: .*'many'"):
        checkpoints.load_last(state, {})
    os.replace(checkpoints.best, checkpoints.last)
    with pytest.raises(ValueError, match="must be the checkpoint of a run, and is none: choose another folder"):
        fit(linear(2, 3), blobs, blobs, recipe, key=KEY, checkpoints=checkpoints, resume=True)


def test_a_run_that_stops_for_nan_names_its_last_good_state(linear, blobs, recipe, tmp_path):
    """An example of the seventh step is spoilt: the round before is kept."""
    row = minibatches(jax.random.split(KEY)[0], 90, 8, first=6, count=1)[0, 3]
    spoilt, checkpoints = DataSet(blobs.inputs.at[row, 1].set(np.nan), blobs.targets), Checkpoints(tmp_path)
    place = r"step 7, minibatch 7 of 11 in epoch 1; not finite first is `inputs\[3\]`.*safetensors holds the last good"
    for resume in (False, True):
        with pytest.raises(FloatingPointError, match=place):
            fit(linear(2, 3), spoilt, blobs, recipe, key=KEY, checkpoints=checkpoints, resume=resume)
    assert io.read_header(checkpoints.best).notes["step"] == "5"


def test_a_run_in_the_folder_is_neither_overwritten_unasked_nor_without_its_two_files_removed(
    linear, blobs, recipe, tmp_path
):
    mine = tmp_path / "log.jsonl"
    for name in ("model.safetensors", "checkpoint.safetensors", mine.name):
        (tmp_path / name).write_text("of another run")
    match = (
        r"holds a run \(model\.safetensors, checkpoint\.safetensors\): go on with it \(`resume=True`\), remove it \("
    )
    with pytest.raises(FileExistsError, match=match):
        fit(linear(2, 3), blobs, blobs, recipe, key=KEY, checkpoints=Checkpoints(tmp_path))
    assert {path.read_text() for path in tmp_path.iterdir()} == {"of another run"}
    over = Checkpoints(tmp_path, overwrite=True)
    with pytest.raises(
        ValueError, match=r"`resume` \(=True\) and `overwrite` \(=True\) exclude each other: go on with"
    ):
        fit(linear(2, 3), blobs, blobs, recipe, key=KEY, checkpoints=over, resume=True)
    with pytest.raises(Stopped):
        fit(linear(2, 3), blobs, blobs, recipe, key=KEY, checkpoints=over, hooks=stop_at(3))
    assert [path.name for path in tmp_path.iterdir()] == [mine.name]


def test_what_killed_writers_left_is_removed(tmp_path):
    for name in (".checkpoint.safetensors.0f.tmp", ".model.safetensors.0f.tmp", "mine.tmp"):
        (tmp_path / name).touch()
    Checkpoints(tmp_path).prepare()
    assert os.listdir(tmp_path) == ["mine.tmp"]


def test_progress_knows_the_best_round():
    assert Progress().best is None


def test_a_run_of_a_hundred_thousand_rounds_can_still_be_written(linear, same_bits, tmp_path):
    """The header of a file of weights is bounded, and no place for them."""
    rounds = tuple(Round(i, 1 / (i + 1), 0.1, {"loss": 2.0, "accuracy": float("nan")}) for i in range(100_000))
    progress = Progress(rounds, {"loss": 3.0}, (1.25, 2), 4.5)
    state = Stepper.of(Recipe(steps=1), 1).start(linear(2, 3), key=KEY)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save_last(state, (state.model, None), progress, {"a": [1]})
    found = checkpoints.load_last(state, {"a": [1]})
    assert same_bits(found[0], state)
    assert repr(found[2]) == repr(progress)


class Sized(eqx.Module):
    """An architecture of a config."""

    weight: jax.Array
    config: Size = eqx.field(static=True)

    def __init__(self, config, *, key):
        self.config, self.weight = config, jax.random.normal(key, (config.features, 3))

    def __call__(self, x):
        return x @ self.weight


def test_a_best_model_that_its_config_does_not_rebuild_is_a_plain_tree_that_says_so(same_bits, tmp_path):
    model, checkpoints = Sized(Size(2), key=KEY), Checkpoints(tmp_path)
    checkpoints.save_best(model, None, Round(3, 1.0, 0.1))
    assert same_bits(io.load(checkpoints.best, Sized), model)
    wider = eqx.tree_at(lambda model: model.weight, model, jnp.ones((4, 3)))
    checkpoints.save_best(wider, None, Round(4, 1.0, 0.1))
    assert "config" in io.read_header(checkpoints.best).notes["plain"]
    assert same_bits(io.load(checkpoints.best, like=wider), wider)
    with pytest.raises(ModelFileError, match="like="):
        io.load(checkpoints.best, Sized)
