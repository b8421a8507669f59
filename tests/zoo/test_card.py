"""Cards, and the TOML they are written in."""

import dataclasses
import tomllib
from statistics import stdev

import jax
import numpy as np
import pytest

from matrinox import io
from matrinox.train import LanguageModelling, Run, RunLog, Score, pack
from matrinox.train.log.run_log import hash_of_settings
from matrinox.zoo import Card, Entry
from matrinox.zoo.card import Figures, Metric, Weights, best_run, make_card, read_card, to_toml, write_card

KEPT = {"classes": pack(np.zeros(2, int))}


def run(seed: int, validation: float, test: float, loss: float = 0.5) -> Run:
    scores = (Score({"loss": loss, "accuracy": accuracy}, KEPT) for accuracy in (validation, test))
    own = {"sha256": {"train": f"{seed:02x}"}, "least": -seed, "most": 1.5}
    columns = {name: [step / 8 for step in range(1, 41)] for name in ("loss", "validation_loss", "validation_accuracy")}
    rounds = {"step": list(range(1, 41)), **columns}
    return Run(seed, 40, 1.25, False, 10, f"{seed:064x}", own, rounds, *scores)


def log_of(*runs: Run) -> RunLog:
    recipe = {
        "steps": 9,
        "patience": None,
        "task": {"a": 0.5, "b": None},
        "augment": [{"kind": "Shift", "pixels": 1, "of": None}],
    }
    shared = {"recipe": recipe, "recipe_sha256": hash_of_settings(recipe), "versions": {"jax": "0"}}
    shared |= {"config": {"n": 2, "stages": [[1], [2]], "none": None}, "parameters": 12, "flops": 34}
    data = {"name": "blobs", "input": {"shape": [64], "dtype": "float32"}}
    return RunLog(name="a", kind="matrix", architecture="CNN", data=data, runs=runs, **shared)


@pytest.fixture(scope="module")
def card(quick: Entry, tmp_path_factory) -> Card:
    file = tmp_path_factory.mktemp("card") / "model.safetensors"
    io.save(file, quick.architecture(quick.config, key=jax.random.key(0)))
    row = dataclasses.replace(quick, summary='a "quoted" line', limits="none — really", goal=0.76)
    return make_card(row, log_of(run(3, 0.9, 0.8), run(4, 0.95, 0.7)), file)


def test_figures_are_mean_and_sample_deviation_over_seeds():
    figures = Figures.of(log_of(run(0, 0.9, 0.5), run(1, 0.8, 0.6), run(2, 0.7, 0.8)), "accuracy")
    assert figures.test_mean == pytest.approx(1.9 / 3, abs=1e-6)
    assert figures.test_spread == pytest.approx(stdev([0.5, 0.6, 0.8]), abs=1e-6)
    assert figures.test == (0.5, 0.6, 0.8)
    assert figures.validation == (0.9, 0.8, 0.7)
    assert (figures.seeds, figures.steps, figures.best_step) == ((0, 1, 2), (40, 40, 40), (10, 10, 10))
    assert Figures.of(log_of(run(0, 0.9, 0.5, loss=0.25), run(1, 0.8, 0.6)), "loss").test == (0.25, 0.5)


def test_figures_that_a_card_could_not_answer_for_are_refused():
    with pytest.raises(ValueError, match="the log holds 1 runs, and a spread takes 2 at least"):
        Figures.of(log_of(run(0, 0.9, 0.5)), "accuracy")
    with pytest.raises(ValueError, match="the log of 'a' has no r2, which the card tells"):
        Figures.of(log_of(run(0, 0.9, 0.5), run(1, 0.8, 0.6)), "r2")
    nothing_kept = dataclasses.replace(run(0, 0.9, 0.5), test=Score({"loss": 0.5, "accuracy": 0.5}))
    with pytest.raises(ValueError, match="the log of 'a' keeps no records, of which a card's figures can be made anew"):
        Figures.of(log_of(nothing_kept, run(1, 0.8, 0.6)), "accuracy")


def test_the_weights_are_chosen_by_validation_never_by_test():
    log = log_of(run(0, 0.8, 0.99, loss=0.5), run(1, 0.9, 0.5, loss=0.45), run(2, 0.9, 0.6, loss=0.4))
    assert best_run(log).seed == 2
    assert Weights.of(log, "accuracy", 77) == Weights(2, 77, f"{2:064x}", {"train": "02"}, 0.9, 0.6)


@pytest.mark.parametrize(("mean", "reached"), [(0.749, False), (0.75, True), (0.751, True)])
def test_a_goal_is_reached_from_above_or_below_as_the_task_says(quick, mean, reached):
    metric = Metric.of(dataclasses.replace(quick, goal=0.75), mean)
    assert (metric.name, metric.reached, metric.spelt(mean)) == ("accuracy", reached, f"{mean:.2%}")
    language = dataclasses.replace(quick.recipe, task=LanguageModelling())
    metric = Metric.of(dataclasses.replace(quick, goal=0.75, recipe=language), mean)
    assert (metric.name, metric.reached, metric.spelt(mean)) == ("nats_per_token", mean <= 0.75, f"{mean:.4f}")


def test_a_card_tells_what_goes_in_what_comes_out_and_what_it_costs(card, quick):
    assert (card.takes.shape, card.takes.dtype, card.takes.least, card.takes.most) == ((64,), "float32", -4, 1.5)
    assert (card.gives.shape, card.gives.dtype, card.gives.what) == ((10,), "float32", "logits")
    assert (card.parameters, card.flops, card.task) == (12, 34, "classification")
    assert (card.summary, card.use, card.source) == ('a "quoted" line', quick.use, quick.source)
    assert 4 * quick.parameters < card.weights.bytes < 4 * quick.parameters + 4_000
    assert (card.metric.goal, card.metric.reached, card.figures.test_mean) == (0.76, False, 0.75)


def test_a_cards_curve_is_a_few_points_of_the_shipped_run_with_its_ends(card):
    steps = card.curve["step"]
    assert (steps[0], steps[-1], len(steps)) == (1, 40, 12)
    for name in ("loss", "validation_loss", "validation_accuracy"):
        assert card.curve[name] == [step / 8 for step in steps]


def test_read_card_gives_back_what_write_card_took(card, tmp_path):
    write_card(tmp_path / "card.toml", card)
    assert read_card(tmp_path / "card.toml") == card


def test_a_card_leaves_out_what_is_not_set_and_holds_configs_in_lists(card, tmp_path):
    write_card(tmp_path / "card.toml", card)
    read = read_card(tmp_path / "card.toml")
    assert read.recipe == {"steps": 9, "task": {"a": 0.5}, "augment": [{"kind": "Shift", "pixels": 1}]}
    assert read.config == {"n": 2, "stages": [[1], [2]]}


@pytest.mark.parametrize("text", ["", "name =", "\xff", 'name = "a"', "[figures]\nseeds = [1]\n[weights]\nseed = 1"])
def test_read_card_refuses_another_toml(text, tmp_path):
    (tmp_path / "card.toml").write_text(text, encoding="latin-1")
    with pytest.raises(ValueError, match=r"card\.toml' is not the card of a model"):
        read_card(tmp_path / "card.toml")


def test_toml_is_read_back_as_it_was_by_the_standard_library():
    table = {
        "text": 'quotes " and \\ and\nlines\t and \x00 \x7f \x1b and n × n — 行列',
        "empty": "",
        "numbers": [0, -3, 10**15, 0.1, 1e-300, -2.5e20, float("inf")],
        "true": True,
        "false": False,
        "nested": [[1, 2], [], ["a"]],
        "a key with spaces": 1,
        "table": {"inner": {"x": 1, "y.z": {"deep": ()}}, "after": 2},
        "last": {"only": {"tables": {"here": 1}}},
    }
    due = {**table, "table": {**table["table"], "inner": {"x": 1, "y.z": {"deep": []}}}}
    assert tomllib.loads(to_toml(table)) == due


def test_toml_has_no_form_for_nothing():
    with pytest.raises(TypeError, match="None is a NoneType, which TOML has no form for"):
        to_toml({"a": None})


def test_a_card_is_as_frozen_as_its_log(card):
    with pytest.raises(dataclasses.FrozenInstanceError):
        card.parameters = 13
