"""Regression: numbers for each input."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from matrinox.contract import AnyArray, contract
from matrinox.functional import huber, mae, mse
from matrinox.functional.loss import require_delta
from matrinox.functional.metric import explained
from matrinox.io.config import check_config
from matrinox.train.task.base import Tally, Task, share

# A spread below a unit in the last place of float32, 2⁻²³ of the size, is none: squared, and with room for the sums.
_LEAST_SPREAD = 2.0**-46


@dataclass(frozen=True)
class Regression(Task):
    """Numbers for each input: squared, absolute or Huber error to lower, and the share of variance predicted to report.

    **Arguments:** `error`: `"mse"`, `"mae"` or `"huber"`; `delta`: from which error on Huber's is linear; `names`: of
    the numbers of a target, to report R² of each as well as the mean of all.
    **Raises:** `ValueError` for a value of another type or out of range.
    """

    error: Literal["mse", "mae", "huber"] = "mse"
    delta: float = 1.0
    names: tuple[str, ...] = ()

    headline = "r2"
    ascending = True
    gives = "numbers"

    def __post_init__(self):
        check_config(self)
        require_delta(self.delta)
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"`names` (={self.names}) must differ from one another: name each number of a target.")

    @contract
    def loss(
        self, outputs: Float[AnyArray, "batch *target"], targets: Float[AnyArray, "batch *target"]
    ) -> Float[Array, ""]:
        """The error, averaged over all entries.

        **Arguments:** `outputs`, `targets`: `(batch, *target)`, the same for both.
        **Returns:** the mean loss, a 0-d array.
        **Raises:** `ContractError` if the shapes differ.
        """
        return self._error(outputs, targets, "mean")

    @contract
    def tally(self, outputs: Float[AnyArray, "batch *target"], targets: Float[AnyArray, "batch *target"]) -> Tally:
        """Sums of the loss and of what R² is made of, in float64: see `report`.

        **Arguments:** `outputs`, `targets`: `(batch, *target)`, the same for both.
        **Returns:** `loss` and `examples`, 0-d; `target`, `square`, `residual` and `absolute`, `(*target)`: sums of
        t, t², (t − y)² and |t − y|.
        **Raises:** `ContractError` if the shapes differ; `ValueError` if there are not as many `names` as numbers.
        """
        numbers = math.prod(targets.shape[1:])
        if self.names and len(self.names) != numbers:
            raise ValueError(
                f"`names` (={self.names}) must be as many as a target has numbers (={numbers}): name each, or none."
            )
        loss = self._error(outputs, targets, "sum")
        # Squares of float32 are exact in float64, and so is a difference of two that are near each other.
        with jax.enable_x64(True):
            y, t = (jnp.asarray(values).astype(jnp.float64) for values in (outputs, targets))
            return {
                "loss": loss,
                "examples": jnp.asarray(t.shape[0]),
                "target": jnp.sum(t, axis=0),
                "square": jnp.sum(t * t, axis=0),
                "residual": jnp.sum(jnp.square(t - y), axis=0),
                "absolute": jnp.sum(jnp.abs(t - y), axis=0),
            }

    def report(self, tally: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The mean `loss`, `rmse`, `mae` and `r2`, the mean over the numbers of a target; with `names`, `r2_name` too.

        R² is `1 − Σ (t − y)² / (Σ t² − (Σ t)² / examples)`. The difference below the line cancels digits where the mean
        is far larger than the spread: with float64 sums, 7 digits are left at a mean of 10 000 spreads, and a spread
        that float32 cannot tell from none is taken as none, where R² is 1 for an exact prediction and else 0.

        **Arguments:** `tally`: sums over all minibatches.
        """
        names = ("examples", "target", "square", "residual", "absolute")
        examples, target, square, residual, absolute = (np.asarray(tally[name], np.float64) for name in names)
        r2 = explained(residual, spread(target, square, examples), np)
        entries = examples * residual.size
        figures = {
            "loss": share(tally["loss"], entries),
            "rmse": share(residual.sum(), entries) ** 0.5,
            "mae": share(absolute.sum(), entries),
            "r2": float(r2.mean()),
        }
        return figures | {f"r2_{name}": float(each) for name, each in zip(self.names, r2.flat, strict=False)}

    @contract
    def record(
        self, outputs: Float[AnyArray, "batch *target"], targets: Float[AnyArray, "batch *target"]
    ) -> dict[str, Array]:
        """The numbers that are predicted.

        **Arguments:** `outputs`, `targets`: `(batch, *target)`, the same for both.
        **Returns:** `numbers`, `(batch, *target)` in float32.
        **Raises:** `ContractError` if the shapes differ.
        """
        del targets
        return {"numbers": jnp.asarray(outputs, jnp.float32)}

    def headline_of(self, records: Mapping[str, np.ndarray], targets: PyTree) -> float:
        """R² of the numbers kept.

        **Arguments:** `records`: `numbers`, `(batch, *target)`; `targets`: `(batch, *target)`.
        """
        return self.report({name: np.asarray(each) for name, each in self.tally(records["numbers"], targets).items()})[
            self.headline
        ]

    def _error(self, outputs: AnyArray, targets: AnyArray, reduction: str) -> Array:
        if self.error == "huber":
            return huber(outputs, targets, delta=self.delta, reduction=reduction)
        return (mse if self.error == "mse" else mae)(outputs, targets, reduction=reduction)


def spread(total: np.ndarray, square: np.ndarray, count: np.ndarray) -> np.ndarray:
    """`Σ t² − (Σ t)² / count`, the squared distances from the mean; 0 where float32 cannot tell it from none.

    **Arguments:** `total`, `square`: sums of t and of t² in float64; `count`: how many; NaN of none.
    """
    spread = square - np.square(total) / np.maximum(count, 1)
    # So compared, a NaN stays.
    return np.where(count == 0, np.nan, np.where(spread <= _LEAST_SPREAD * square, 0, spread))
