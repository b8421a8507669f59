"""Curves as figures."""

import dataclasses
import sys
from io import BytesIO

import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.train import JsonLines, Recorded, plot_run, plot_runs, read_runs
from matrinox.train.log.recorded import runs_of


@pytest.fixture
def runs(log, play, about, tmp_path) -> list[Recorded]:
    """One that is finished and one that was killed."""
    play(JsonLines(tmp_path / "killed" / "log.jsonl", about=about), last=10, ends=False)
    return [*runs_of(dataclasses.replace(log, runs=log.runs[:1]), "done"), *read_runs(tmp_path / "killed")]


def lines_of(ax) -> list[tuple[list[float], list[float]]]:
    """The lines of more than a point."""
    lines = [(np.asarray(line.get_xdata()).tolist(), np.asarray(line.get_ydata()).tolist()) for line in ax.lines]
    return [line for line in lines if len(line[0]) > 1]


def test_the_curves_of_a_run_are_its_columns(log):
    run = log.runs[0]
    figure = plot_run(dataclasses.replace(log, runs=(run,)))
    assert [ax.get_title() for ax in figure.axes] == ["loss", "accuracy", "learning rate"]
    steps = run.rounds["step"]
    loss, accuracy, rate = map(lines_of, figure.axes)
    assert loss == [(steps, run.rounds["loss"]), (steps, run.rounds["validation_loss"])]
    assert accuracy == [(steps, run.rounds["validation_accuracy"])]
    assert rate == [(steps, run.rounds["learning_rate"])]
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["training", "validation"]
    file = BytesIO()
    figure.savefig(file, format="png")
    assert file.getvalue().startswith(b"\x89PNG")


def test_the_seeds_of_a_log_lie_over_one_another_in_colours_that_a_legend_names(log):
    figure = plot_run(log)
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["small seed 4", "small seed 5"]
    colors = [line.get_color() for line in figure.axes[-1].lines]
    assert [line.get_color() for line in legend.get_lines()] == colors
    assert len(set(colors)) == 2


def test_only_what_was_logged_has_a_panel_and_the_legend_goes_by_runs(runs):
    kept = ("step", "loss", "validation_loss", "validation_accuracy")
    two = [dataclasses.replace(run, rounds={name: run.rounds[name] for name in kept}) for run in runs[:1] * 2]
    figure = plot_runs(two)
    assert [ax.get_title() for ax in figure.axes] == ["loss", "accuracy"]
    drawn = [line.get_color() for line in figure.axes[1].lines if line.get_linestyle() == "-"]
    assert [line.get_color() for line in figure.legends[0].get_lines()] == drawn


def test_runs_apart_have_a_row_each(runs):
    assert len(plot_runs(runs).axes) == 3
    figure = plot_runs(runs, apart=True)
    assert len(figure.axes) == 6
    assert [figure.axes[i].get_ylabel() for i in (0, 3)] == [run.name for run in runs]
    assert not figure.legends


def test_a_run_without_validation_and_one_of_one_round_are_drawn(runs):
    bare = dataclasses.replace(runs[0], rounds={"step": [3], "loss": [0.5], "learning_rate": [0.1]})
    figure = plot_runs([bare])
    assert [ax.get_title() for ax in figure.axes] == ["loss", "learning rate"]
    (line,) = [line for line in figure.axes[1].lines if len(line.get_xdata()) == 1]
    assert line.get_marker() == "o"
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["training"]


def test_what_is_not_finite_leaves_a_gap_and_a_loss_below_zero_a_linear_scale(runs):
    def scale(losses: list[float]) -> str:
        rounds = {**runs[0].rounds, "validation_loss": losses}
        figure = plot_runs([dataclasses.replace(runs[0], rounds=rounds)])
        figure.savefig(BytesIO(), format="png")
        return figure.axes[0].get_yscale()

    assert scale([1.0, float("inf"), float("nan"), 0.5]) == "log"
    assert scale([1.0, -0.5, 0.25, 0.5]) == "linear"


def test_there_must_be_something_to_draw(runs):
    with pytest.raises(ValueError, match="done has no round yet: there is nothing to plot"):
        plot_run(dataclasses.replace(runs[0], rounds={"step": []}))
    with pytest.raises(ValueError, match="`runs` is empty: give one run at least"):
        plot_runs([])
    with pytest.raises(ContractError, match="log"):
        plot_run("runs/one")  # pyright: ignore[reportArgumentType]


def test_without_matplotlib_it_names_the_extra(runs, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'needs matplotlib: pip install "matrinox\[viz\]"'):
        plot_runs(runs)
