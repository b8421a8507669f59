"""Pictures of what was measured, as PNG files that say of which logs they are drawn."""

import dataclasses
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from statistics import fmean, stdev
from typing import Any, NamedTuple

from matrinox.inspect.lens_figure import BLUE, GREEN, GREY, ORANGE, new_figure
from matrinox.train.log import RunLog, plot_runs
from matrinox.train.log.recorded import runs_of

_DRAWN_OF = "logs-sha256"
_DPI = 80
# So many shades keep lines smooth, and a file small.
_SHADES = 48
_MARKS = {"matrix": ("o", BLUE), "parameters": ("s", ORANGE), "flops": ("^", GREEN), "state": ("D", GREY)}


class Point(NamedTuple):
    """A network in a picture: what it is called, its kind, its parameters, and its figure of each seed."""

    name: str
    kind: str
    parameters: int
    figures: Sequence[float]


def curve(log: RunLog, headline: str, sha256: str) -> bytes:
    """Losses of training and validation and the headline figure of a log over its steps, all seeds over one another.

    **Arguments:** `log`; `headline`: name of the figure; `sha256`: what the file is to say it is drawn of.
    **Returns:** a PNG.
    **Raises:** `ImportError` without matplotlib, of the extra `viz`.
    """
    shown = ("step", "loss", "validation_loss", f"validation_{headline}")
    runs = [
        dataclasses.replace(run, name=f"seed {run.about['seed']}", rounds={name: run.rounds[name] for name in shown})
        for run in runs_of(log, log.name)
    ]
    figure = plot_runs(runs)
    figure.suptitle(log.name, fontsize=11)
    return _png(figure, sha256)


def against_parameters(points: Sequence[Point], sha256: str) -> bytes:
    """The mean figure of each network against its parameters, with a bar of the spread over seeds.

    **Arguments:** `points`; `sha256`: what the file is to say it is drawn of.
    **Returns:** a PNG.
    **Raises:** `ImportError` without matplotlib, of the extra `viz`.
    """
    figure = new_figure(7.5, 4.8)
    ax = figure.subplots()
    for kind, (mark, color) in _MARKS.items():
        of_kind = [point for point in points if point.kind == kind]
        if not of_kind:
            continue
        means = [100 * fmean(point.figures) for point in of_kind]
        spreads = [100 * stdev(point.figures) for point in of_kind]
        sizes = [point.parameters for point in of_kind]
        label = "matrix neurons" if kind == "matrix" else f"scalar, the same {kind.replace('flops', 'FLOPs')}"
        ax.errorbar(sizes, means, spreads, fmt=mark, color=color, markersize=6, capsize=2, linewidth=1, label=label)
        for point, mean in zip(of_kind, means, strict=True):
            ax.annotate(point.name, (point.parameters, mean), xytext=(7, -3), textcoords="offset points", fontsize=8)
    ax.set_xscale("log")
    ax.margins(x=0.25)
    ax.set_xlabel("parameters", fontsize=9)
    ax.set_ylabel("right on MNIST's test part, %", fontsize=9)
    ax.legend(fontsize=8, frameon=False)
    ax.spines[["top", "right"]].set_visible(False)
    ax.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.6)
    ax.tick_params(which="both", labelsize=8)
    return _png(figure, sha256)


def drawn_of(path: Path) -> str | None:
    """The hash that a picture says it is drawn of; `None` for another file.

    **Raises:** `ImportError` without matplotlib, of the extra `viz`.
    """
    image = _pillow()
    try:
        with image.open(path) as picture:
            return picture.info.get(_DRAWN_OF)
    except OSError:
        return None


def _png(figure: Any, sha256: str) -> bytes:
    from PIL.PngImagePlugin import PngInfo

    drawn, small, said = BytesIO(), BytesIO(), PngInfo()
    figure.savefig(drawn, format="png", dpi=_DPI)
    said.add_text(_DRAWN_OF, sha256)
    with _pillow().open(drawn) as picture:
        picture.convert("RGB").quantize(_SHADES, dither=0).save(small, format="png", optimize=True, pnginfo=said)
    return small.getvalue()


def _pillow() -> Any:
    """Pillow, which comes with matplotlib."""
    try:
        from PIL import Image
    except ImportError as error:
        raise ImportError('pictures of results need matplotlib: pip install "matrinox[viz]".') from error
    return Image
