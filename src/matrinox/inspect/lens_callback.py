"""A lens that looks again and again while a model is trained."""

from collections.abc import Mapping
from typing import Any

import equinox as eqx
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from matrinox.contract import contract
from matrinox.inspect.lens import Lens, lens
from matrinox.inspect.lens_figure import BLUE, GREY, new_figure
from matrinox.inspect.measured import Measured

_PANELS = (
    ("spectral norm", "spectral_norm", "log"),
    ("largest |determinant|", "determinant", "log"),
    ("condition number", "condition_number", "log"),
    ("symmetry", "symmetry", "linear"),
    ("distance from orthogonal", "distance_from_orthogonal", "linear"),
    ("column correlation", "column_correlation", "linear"),
)


class LensCallback:
    """Takes a lens to a model while it is trained, and keeps the least, median and largest value of every measure.

    It is called with the model and the step: `callback(model, step)` in a loop of your own. For `matrinox.train.fit` it
    is a hook, called behind every round: `fit(…, hooks=Hooks(on_round=LensCallback(every=100)))`; as `on_best` it looks
    at the best rounds alone.

    `callback.steps` `(looks,)` are the steps at which it looked, `callback.history["layers[0].weight"]["determinant"]`
    `(looks, 3)` the least, the median and the largest; `callback.last` is the whole of the last lens.

    **Arguments:** `every`: how many steps pass from one look to the next, at least; `where`, `x`, `key`, `state`: as
    for `lens`.
    **Raises:** `ValueError` if `every` is below 1.

    >>> import equinox as eqx, jax
    >>> from matrinox import nn
    >>> callback, layer = LensCallback(every=10), nn.Dense(p=2, q=3, n=4, key=jax.random.key(0))
    >>> for step in range(0, 30, 5):
    ...     callback(layer, step)
    ...     layer = jax.tree.map(lambda leaf: 0.9 * leaf, layer)
    >>> callback.steps, callback.history["weight"]["spectral_norm"].shape
    (array([ 0, 10, 20]), (3, 3))
    """

    @contract
    def __init__(
        self,
        every: int = 1,
        where: str = "**",
        x: PyTree = None,
        *,
        key: PRNGKeyArray | None = None,
        state: eqx.nn.State | None = None,
    ):
        if every < 1:
            raise ValueError(f"`every` (={every}) must be at least 1: choose how many steps pass between two looks.")
        self.every = every
        self.last: Lens | None = None
        self._options = {"where": where, "x": x, "key": key, "state": state}
        self._steps: list[int] = []
        self._ranges: dict[str, dict[str, list[tuple[float, float, float]]]] = {}

    def __call__(self, model: Any, now: Any) -> None:
        """Looks, if enough steps have passed since the last time.

        **Arguments:** `model`; `now`: the step, a number or what has one as `step`, such as the `Round` of `fit`.
        **Raises:** what `lens` raises; `ValueError` for a step before the last one.
        """
        step = int(getattr(now, "step", now))
        if self._steps and step < self._steps[-1]:
            raise ValueError(
                f"`now` (={step}) must not be before {self._steps[-1]}: take a new callback for a new run."
            )
        if self._steps and step - self._steps[-1] < self.every:
            return
        self.last = lens(model, **self._options)
        for path, measured in self.last.items():
            kept = self._ranges.setdefault(path, {name: [_NOTHING] * len(self._steps) for name in Measured.SCALARS})
            for name in Measured.SCALARS:
                kept[name].append(measured.range(name))
        for path in self._ranges.keys() - self.last.keys():
            for values in self._ranges[path].values():
                values.append(_NOTHING)
        self._steps.append(step)

    @property
    def steps(self) -> np.ndarray:
        """The steps at which it looked, `(looks,)`."""
        return np.array(self._steps, int)

    @property
    def history(self) -> Mapping[str, Mapping[str, np.ndarray]]:
        """By path and measure, the least, the median and the largest value over the matrices, `(looks, 3)`."""
        return {
            path: {name: np.array(values).reshape(-1, 3) for name, values in ranges.items()}
            for path, ranges in self._ranges.items()
        }

    def figure(self) -> Any:
        """Each measure over the steps, a line for each path: the median, in a band from the least to the largest.

        **Returns:** a `matplotlib.figure.Figure`.
        **Raises:** `ImportError` without matplotlib, of the extra `viz`; `ValueError` before the first look.
        """
        if not self._steps:
            raise ValueError("there is nothing to plot before the first look: call it with a model and a step.")
        figure = new_figure(13.0, 6.4)
        paths, steps = self.history, self.steps
        colors = _colors(len(paths))
        for ax, (title, name, scale) in zip(figure.subplots(2, 3, sharex=True).flat, _PANELS, strict=True):
            ax.set_title(title, fontsize=11, fontweight="bold")
            for color, (path, measures) in zip(colors, paths.items(), strict=True):
                least, middle, most = measures[name].T
                if name == "determinant":
                    # They are on both sides of zero: how far they reach is what a logarithm can show.
                    middle, least, most = np.maximum(abs(least), abs(most)), np.nan * least, np.nan * most
                values = [np.where(np.isfinite(line), line, np.nan) for line in (least, middle, most)]
                ax.fill_between(steps, values[0], values[2], color=color, alpha=0.13, linewidth=0)
                ax.plot(
                    steps, values[1], color=color, linewidth=1.6, marker="o", markersize=3, label=path or "the model"
                )
            ax.set_yscale(scale)
            ax.spines[["top", "right"]].set_visible(False)
            ax.grid(axis="y", color=GREY, alpha=0.25, linewidth=0.6)
            ax.tick_params(which="both", labelsize=8)
        for ax in figure.axes[3:]:
            ax.set_xlabel("step", fontsize=9)
        handles, labels = figure.axes[0].get_legend_handles_labels()
        figure.legend(
            handles, labels, loc="outside lower center", ncols=min(4, len(labels)), frameon=False, fontsize=8.5
        )
        return figure


_NOTHING = (np.nan, np.nan, np.nan)


def _colors(count: int) -> Any:
    from matplotlib import colormaps

    # From dark to light in the order of the model, so that neighbours are told apart from first and last.
    return [BLUE] if count == 1 else colormaps["viridis"](np.linspace(0.05, 0.88, count))
