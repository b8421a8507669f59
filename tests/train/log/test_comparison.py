"""Runs side by side."""

import dataclasses
import io

import pytest
from rich.console import Console

from matrinox.contract import ContractError
from matrinox.train import Recorded, compare_runs
from matrinox.train.log.recorded import runs_of


@pytest.fixture
def run(log) -> Recorded:
    return dataclasses.replace(runs_of(log, "a")[0], name="a")


def other(run: Recorded, **about) -> Recorded:
    return dataclasses.replace(run, name="b", about={**run.about, **about})


def test_settings_that_differ_are_told_by_their_path_and_no_others(run):
    found = compare_runs([run, other(run, recipe={"steps": 24, "task": {"kind": "Regression"}}, seed=7)])
    assert found.settings == {"seed": ("4", "7"), "recipe.steps": ("12", "24"), "recipe.task.kind": ("–", "Regression")}
    assert found.warnings == ()
    assert compare_runs([run, other(run)]).settings == {}


def test_a_part_that_a_run_does_not_tell_of_is_no_difference(run):
    silent = dataclasses.replace(run, name="c", about={"seed": 4})
    assert compare_runs([run, silent]).settings == {}
    three = compare_runs([run, other(run, config={"n": 3}), silent])
    assert three.settings == {"config.n": ("2", "3", "?")}


def test_results_are_those_of_each_run(run):
    killed = dataclasses.replace(other(run), steps=10, seconds=0.5, ended="unfinished", test={})
    killed = dataclasses.replace(killed, rounds={name: column[:2] for name, column in run.rounds.items()})
    found = compare_runs([run, killed])
    assert found.results == {
        "parameters": ("1,234", "1,234"),
        "steps": ("12", "10"),
        "ended": ("complete", "unfinished"),
        "best step": ("12", "6"),
        "validation loss": ("0.055556", "0.11111"),
        "validation accuracy": ("0.91667", "0.83333"),
        "test loss": ("0.25", "–"),
        "test accuracy": ("0.75", "–"),
        "seconds": ("1.5", "0.5"),
    }
    assert found.warnings == ("b is unfinished at step 10.",)


def test_figures_on_different_data_are_said_not_to_be_comparable(run):
    data = {"name": "blobs", "sha256": {"train": "ab", "test": "ef"}}
    found = compare_runs([run, other(run, data=data)])
    said = "a and b were trained on different data (test): their figures are not comparable."
    assert found.warnings == (said,)
    assert found.settings == {"data.sha256.test": ("cd", "ef")}
    unknown = compare_runs([run, other(run, data={"name": "blobs"})])
    assert unknown.warnings == ("b does not say which data it was trained on: figures may not be comparable.",)


def test_a_run_that_says_nothing_of_itself_is_compared_by_what_it_reached(run):
    found = compare_runs([run, dataclasses.replace(run, name="b", about={}, rounds={"step": [3], "loss": [1.0]})])
    assert found.results["parameters"] == ("1,234", "–")
    assert found.results["validation loss"] == ("0.055556", "–")
    assert found.results["best step"] == ("12", "–")


def test_the_table_has_a_column_for_each_run(run):
    console = Console(file=io.StringIO(), width=100)
    console.print(compare_runs([run, other(run, config={"n": 4})]).table())
    console.file.seek(0)
    text = console.file.read()
    rows = [
        [cell.strip() for cell in line.strip("│┃ ").split("│" if "│" in line else "┃")] for line in text.splitlines()
    ]
    for row in (["a", "b"], ["config.n", "2", "4"], ["parameters", "1,234", "1,234"], ["seconds", "1.5", "1.5"]):
        assert row in rows


def test_the_figure_has_a_curve_for_each_run(run):
    figure = compare_runs([run, other(run)]).figure()
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["a", "b"]


def test_one_run_is_no_comparison(run):
    with pytest.raises(ValueError, match="`runs` holds 1 run, which must be 2 or more: name another"):
        compare_runs([run])
    with pytest.raises(ContractError, match="runs"):
        compare_runs(3)  # pyright: ignore[reportArgumentType]
