"""Autoencoding: what the tasks that tell a changed input's own entries have in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import PyTree

from matrinox.functional.metric import explained
from matrinox.train.task.base import Tally
from matrinox.train.task.reconstruction import Reconstruction
from matrinox.train.task.regression import spread


@dataclass(frozen=True)
class Autoencoding(Reconstruction):
    """Reconstruction whose targets, values and where they count, `prepare` makes of the inputs, and how much it tells.

    **Arguments:** `error`: as of `Reconstruction`.
    """

    error: Literal["mse", "bce"] = field(default="mse", kw_only=True)

    headline = "explained_variance"
    percent = True

    def tally(self, outputs: PyTree, targets: PyTree) -> Tally:
        """Those of `Reconstruction`, and in float64 the sums of values, of errors, and of the squares of both.

        **Arguments:** `outputs`: `(*shape)`; `targets`: values and where they count, both `(*shape)`.
        **Returns:** 0-d arrays `loss`, `square`, `entries`, `value`, `value_squared`, `error`, `error_squared`.
        **Raises:** `ContractError` if the shapes differ.
        """
        sums = super().tally(outputs, targets)
        values, counts = targets
        predicted = self.predict(outputs)
        # Squares of float32 are exact in float64, so that little is lost where the mean is far above the spread.
        with jax.enable_x64(True):
            value, output = (jnp.where(counts, each, 0).astype(jnp.float64) for each in (values, predicted))
            error = value - output
            sums |= {"value": jnp.sum(value), "value_squared": jnp.sum(value * value)}
            return sums | {"error": jnp.sum(error), "error_squared": jnp.sum(error * error)}

    def report(self, tally: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The mean `loss`, `rmse`, and `explained_variance`, `1 − Var(error) / Var(value)`, by entries that count."""
        left, whole = (spread(tally[name], tally[f"{name}_squared"], tally["entries"]) for name in ("error", "value"))
        return super().report(tally) | {"explained_variance": float(explained(left, whole, np))}
