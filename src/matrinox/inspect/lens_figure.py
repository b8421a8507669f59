"""A lens as a figure: spectra in the complex plane and histograms, a row for each weight or activation."""

import io
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from matrinox.inspect.measured import Measured

BLUE, ORANGE, GREEN, GREY = "#2f6fb0", "#d9772b", "#3a8f63", "#8a8f98"
# More points than this would only cover each other.
_MOST_POINTS = 4000
_BINS = 40


def new_figure(width: float, height: float) -> Any:
    """An empty matplotlib figure of its own, which no global state of pyplot knows, and which notebooks show.

    **Raises:** `ImportError` without matplotlib, naming the extra.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('the figure of a lens needs matplotlib: pip install "matrinox[viz]".') from error

    class Shown(Figure):
        def _repr_png_(self) -> bytes:
            file = io.BytesIO()
            self.savefig(file, format="png")
            return file.getvalue()

    return Shown(figsize=(width, height), layout="constrained", dpi=110)


def lens_figure(parts: Mapping[str, Measured]) -> Any:
    """The figure of some weights and activations: `Lens.figure`."""
    figure = new_figure(13.0, 0.6 + 2.5 * len(parts))
    panels: tuple[tuple[str, Callable[[Any, Measured], None]], ...] = (
        ("spectrum", _spectrum),
        ("log₁₀ |determinant|", _determinants),
        ("log₁₀ condition number", _conditions),
        ("structure", _structure),
    )
    axes = figure.subplots(len(parts), len(panels), squeeze=False)
    for row, (path, measured) in enumerate(parts.items()):
        for column, (title, draw) in enumerate(panels):
            ax = axes[row, column]
            draw(ax, measured)
            if row == 0:
                ax.set_title(title, fontsize=11, fontweight="bold", pad=22)
            ax.spines[["top", "right"]].set_visible(False)
            ax.tick_params(labelsize=8)
        shape = ", ".join(map(str, measured.values.shape))
        axes[row, 0].set_ylabel(f"{path or 'the model'}\n({shape})", fontsize=9, rotation=0, ha="right", va="center")
        axes[row, 0].yaxis.set_label_coords(-0.22, 0.5)
    return figure


def _spectrum(ax: Any, measured: Measured) -> None:
    points: Any = measured.eigenvalues.reshape(-1)
    points = points[np.isfinite(points)]
    if len(points) > _MOST_POINTS:
        points = points[np.linspace(0, len(points) - 1, _MOST_POINTS).astype(int)]
    angle = np.linspace(0, 2 * np.pi, 200)
    ax.axhline(0, color=GREY, linewidth=0.5, zorder=0)
    ax.axvline(0, color=GREY, linewidth=0.5, zorder=0)
    ax.plot(np.cos(angle), np.sin(angle), color=ORANGE, linewidth=1.2, zorder=3)
    size = np.clip(200 / np.sqrt(max(len(points), 1)), 3, 18)
    ax.scatter(
        points.real,
        points.imag,
        s=size,
        color=BLUE,
        alpha=np.clip(60 / max(len(points), 1) ** 0.7, 0.12, 0.8),
        linewidths=0,
    )
    reach = max(1.15, 1.05 * float(np.quantile(np.abs(points), 0.995))) if len(points) else 1.15
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")


def _determinants(ax: Any, measured: Measured) -> None:
    known = np.isfinite(measured.determinant)
    # Of a singular matrix, LU decomposition leaves the rounding.
    values = np.where(measured.is_singular, 0.0, measured.determinant)[known]
    parts = (("positive", values[values > 0], BLUE), ("negative", -values[values < 0], ORANGE))
    labels = [f"{len(part) / max(len(values), 1):.0%} {sign}" for sign, part, _ in parts]
    logs = [np.log10(part) for _, part, _ in parts]
    bins = _bins(np.concatenate(logs))
    if bins is not None:
        ax.hist(logs, bins=bins, stacked=True, color=[color for *_, color in parts], label=labels)
    zeros = int((values == 0).sum())
    if zeros:
        ax.plot([], [], "s", color=GREY, markersize=6, label=f"{zeros / len(values):.0%} zero")
    _legend(ax)


def _conditions(ax: Any, measured: Measured) -> None:
    values = measured.condition_number.reshape(-1)
    values = values[~np.isnan(values)]
    finite = np.log10(values[np.isfinite(values)])
    bins = _bins(finite)
    if bins is not None:
        ax.hist(finite, bins=bins, color=BLUE)
        middle = float(np.median(finite))
        ax.axvline(middle, color=ORANGE, linewidth=1.4)
        ax.annotate(
            f" {10**middle:.3g}", (middle, 0.96), xycoords=("data", "axes fraction"), fontsize=8, color=ORANGE, va="top"
        )
    singular = int(np.isinf(values).sum())
    if singular:
        ax.plot([], [], "s", color=GREY, markersize=6, label=f"{singular / len(values):.0%} infinite")
        _legend(ax)


def _structure(ax: Any, measured: Measured) -> None:
    lines = (
        ("columns alike", measured.column_correlation, GREEN),
        ("not orthogonal", measured.distance_from_orthogonal, ORANGE),
        ("symmetry", measured.symmetry, BLUE),
    )
    ax.axvline(0, color=GREY, linewidth=0.5, zorder=0)
    for height, (_, values, color) in enumerate(lines):
        values = values[np.isfinite(values)]
        if values.size:
            ends = np.quantile(values, (0.0, 0.25, 0.5, 0.75, 1.0))
            ax.plot(ends[[0, -1]], (height, height), color=color, linewidth=1.2)
            ax.plot(ends[[1, 3]], (height, height), color=color, linewidth=9, alpha=0.45, solid_capstyle="butt")
            ax.plot(ends[2], height, "o", color=color, markersize=6)
    ax.set(xlim=(-1.05, 1.05), ylim=(-0.6, len(lines) - 0.4))
    ax.set_yticks(range(len(lines)), [label for label, _, _ in lines])
    ax.yaxis.tick_right()
    ax.tick_params(axis="y", length=0)
    ax.spines["left"].set_visible(False)


def _legend(ax: Any) -> None:
    if not ax.get_legend_handles_labels()[0]:
        return
    ax.legend(
        fontsize=7.5,
        frameon=False,
        ncols=3,
        loc="lower center",
        bbox_to_anchor=(0.5, 0.98),
        borderaxespad=0,
        handlelength=1,
        columnspacing=1,
        handletextpad=0.4,
    )


def _bins(logs: np.ndarray) -> np.ndarray | None:
    if not logs.size:
        return None
    least, most = float(logs.min()), float(logs.max())
    # Of equal values, one bar of a width that can be seen.
    room = max(most - least, 0.5) - (most - least)
    return np.linspace(least - room / 2, most + room / 2, _BINS + 1)
