"""Cards, and the TOML they are written in."""

import dataclasses
import tomllib
from statistics import stdev

import pytest

from matrinox.train import Run, RunLog, Score
from matrinox.zoo.card import Card, Figures, Weights, make_card, read_card, to_toml, write_card


def run(seed: int, validation: float, test: float, loss: float = 0.5) -> Run:
    scores = (Score({"loss": loss, "accuracy": accuracy}, "u1:") for accuracy in (validation, test))
    return Run(seed, 10, 1.25, False, 10, f"{seed:064x}", {"step": [10]}, *scores)


def log_of(*runs: Run) -> RunLog:
    shared = {"config": {"n": 2}, "recipe": {"steps": 9, "task": {"a": 0.5}}, "versions": {"jax": "0"}}
    return RunLog(name="a", architecture="CNN", parameters=12, data={"name": "blobs"}, runs=runs, **shared)


@pytest.fixture
def card() -> Card:
    return make_card(log_of(run(3, 0.9, 0.8), run(4, 0.95, 0.7)), summary='a "quoted" line', limits="none — really")


def test_figures_are_mean_and_sample_deviation_over_seeds():
    figures = Figures.of(log_of(run(0, 0.9, 0.5), run(1, 0.8, 0.6), run(2, 0.7, 0.8)))
    assert figures.test_accuracy_mean == pytest.approx(1.9 / 3, abs=1e-6)
    assert figures.test_accuracy_spread == pytest.approx(stdev([0.5, 0.6, 0.8]), abs=1e-6)
    assert figures.test_accuracy == (0.5, 0.6, 0.8)
    assert figures.validation_accuracy == (0.9, 0.8, 0.7)
    assert figures.seeds == (0, 1, 2)


def test_figures_of_one_seed_are_refused():
    with pytest.raises(ValueError, match="the log holds 1 runs, and a spread takes 2 at least"):
        Figures.of(log_of(run(0, 0.9, 0.5)))


def test_figures_without_an_accuracy_are_refused():
    losses = dataclasses.replace(run(0, 0.9, 0.5), test=Score({"loss": 0.5}))
    with pytest.raises(ValueError, match="the log of 'a' has no accuracy, which a card tells"):
        Figures.of(log_of(losses, run(1, 0.8, 0.6)))


def test_the_weights_are_chosen_by_validation_never_by_test():
    weights = Weights.of(log_of(run(0, 0.8, 0.99, loss=0.5), run(1, 0.9, 0.5, loss=0.45), run(2, 0.9, 0.6, loss=0.4)))
    assert weights == Weights(2, f"{2:064x}", 0.9, 0.6)


def test_read_card_gives_back_what_write_card_took(card, tmp_path):
    write_card(tmp_path / "card.toml", card)
    assert read_card(tmp_path / "card.toml") == card


def test_a_card_leaves_out_what_is_not_set_and_holds_configs_in_lists(tmp_path):
    recipe = {"steps": 9, "patience": None, "optimiser": {"clip": None}, "augment": [{"kind": "Shift", "pixels": 1}]}
    log = dataclasses.replace(log_of(run(3, 0.9, 0.8), run(4, 0.95, 0.7)), recipe=recipe)
    write_card(tmp_path / "card.toml", make_card(log, summary="", limits=""))
    due = {"steps": 9, "optimiser": {}, "augment": [{"kind": "Shift", "pixels": 1}]}
    assert read_card(tmp_path / "card.toml").recipe == due


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
