"""The curves of runs as a figure: losses, every other figure of validation, the learning rate."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from matrinox.contract import contract
from matrinox.inspect.lens_figure import BLUE, GREEN, GREY, ORANGE, new_figure
from matrinox.train.log.recorded import Recorded, runs_of
from matrinox.train.log.run_log import RunLog

_COLORS = (BLUE, ORANGE, GREEN, "#8b5fb0", "#b04a4a", "#4aa3b0", "#a3952f", "#d06a9f")
_TRAINING = "training"


@contract
def plot_run(log: RunLog | Recorded) -> Any:
    """The curves of a log: training and validation loss, each other figure of validation, the learning rate.

    **Arguments:** `log`: finished, its seeds over one another, or a run of `read_runs`.
    **Returns:** a `matplotlib.figure.Figure`: `plot_run(read_log("runs/one/log.json")).savefig("curves.png")`.
    **Raises:** `ImportError` without matplotlib, of the extra `viz`; `ValueError` if no round was logged.
    """
    return plot_runs(runs_of(log, log.name) if isinstance(log, RunLog) else [log])


@contract
def plot_runs(runs: Sequence[Recorded], *, apart: bool = False) -> Any:
    """The curves of several runs in one figure: of what their rounds have.

    **Arguments:** `runs`; `apart`: give each run a row of its own; otherwise they lie over one another, a colour each.
    **Returns:** a `matplotlib.figure.Figure`.
    **Raises:** `ImportError` without matplotlib, of the extra `viz`; `ValueError` if a run has no round yet.
    """
    if not runs:
        raise ValueError("`runs` is empty: give one run at least.")
    for run in runs:
        if not run.rounds.get("step"):
            raise ValueError(f"{run.name} has no round yet: there is nothing to plot.")
    rows = [[run] for run in runs] if apart else [list(runs)]
    named = dict.fromkeys(name for run in runs for name in run.rounds)
    others = [name for name in named if name.startswith("validation_") and name != "validation_loss"]
    panels = ["loss", *others, *(["learning_rate"] if "learning_rate" in named else [])]
    figure = new_figure(0.6 + 4.1 * len(panels), 0.9 + 3.1 * len(rows))
    axes = figure.subplots(len(rows), len(panels), squeeze=False)
    for row, shown in zip(axes, rows, strict=True):
        for ax, name in zip(row, panels, strict=True):
            _panel(ax, name, shown)
        row[0].set_ylabel(shown[0].name if apart else "", fontsize=9)
    for ax in axes[-1]:
        ax.set_xlabel("step", fontsize=9)
    if len(rows[0]) > 1:
        from matplotlib.lines import Line2D

        handles = [Line2D([], [], color=_COLORS[i % len(_COLORS)], linewidth=1.6) for i in range(len(runs))]
        names = [run.name for run in runs]
        figure.legend(handles, names, loc="outside lower center", ncols=min(3, len(runs)), frameon=False, fontsize=8.5)
    return figure


def _panel(ax: Any, name: str, runs: Sequence[Recorded]) -> None:
    ax.set_title(name.removeprefix("validation_").replace("_", " "), fontsize=11, fontweight="bold")
    for number, run in enumerate(runs):
        steps, color = run.rounds["step"], _COLORS[number % len(_COLORS)]
        if name != "loss":
            ax.plot(steps, _finite(run, name), color=color, linewidth=1.6, **_marks(steps))
        else:
            ax.plot(steps, _finite(run, "loss"), color=color, linewidth=1.1, linestyle=(0, (3, 2)), **_marks(steps))
            ax.plot(steps, _finite(run, "validation_loss"), color=color, linewidth=1.6, **_marks(steps))
        if run.best and name != "learning_rate":
            figure = name.removeprefix("validation_")
            if figure in run.best:
                ax.plot(run.best["step"], run.best[figure], "o", color=color, markersize=6, fillstyle="none")
    if name == "loss":
        ax.plot([], [], color=GREY, linestyle=(0, (3, 2)), label=_TRAINING)
        if any("validation_loss" in run.rounds for run in runs):
            ax.plot([], [], color=GREY, label="validation")
        ax.legend(fontsize=8, frameon=False)
        if min(_least(run) for run in runs) > 0:
            ax.set_yscale("log")
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.6)
    ax.tick_params(which="both", labelsize=8)


def _marks(steps: Sequence[float]) -> dict[str, Any]:
    # A line of one point would not be seen.
    return {"marker": "o", "markersize": 3} if len(steps) == 1 else {}


def _finite(run: Recorded, name: str) -> np.ndarray:
    values = np.asarray(run.rounds.get(name, np.full(len(run.rounds["step"]), np.nan)), float)
    return np.where(np.isfinite(values), values, np.nan)


def _least(run: Recorded) -> float:
    values = np.concatenate([_finite(run, "loss"), _finite(run, "validation_loss")])
    values = values[~np.isnan(values)]
    return float(values.min()) if values.size else 1.0
