"""Autoencoding: what every task of telling entries of the input back has in common."""

from collections.abc import Mapping

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from matrinox.contract import AnyArray, contract
from matrinox.functional import mse
from matrinox.functional.precision import widen
from matrinox.train.task.base import Tally, Task


class Autoencoding(Task):
    """A task of telling entries of the input back: squared error to lower, explained variance to report.

    The targets that `prepare` gives are the values and where they count, both of the shape of the outputs.
    """

    headline = "explained_variance"
    percent = True

    @contract
    def loss(
        self, outputs: Float[AnyArray, "*shape"], targets: tuple[Float[AnyArray, "*shape"], Bool[AnyArray, "*shape"]]
    ) -> Float[Array, ""]:
        """The mean of `(output − value)²` over the entries that count.

        **Arguments:** `outputs`: `(*shape)`; `targets`: values and where they count, both `(*shape)`.
        **Returns:** the mean loss, a 0-d array.
        **Raises:** `ContractError` if the shapes differ.
        """
        values, counts = targets
        return mse(outputs, values, where=counts)

    @contract
    def tally(
        self, outputs: Float[AnyArray, "*shape"], targets: tuple[Float[AnyArray, "*shape"], Bool[AnyArray, "*shape"]]
    ) -> Tally:
        """Sums over the entries that count: of them, of values and errors, and of the squares of both.

        **Arguments:** `outputs`: `(*shape)`; `targets`: values and where they count, both `(*shape)`.
        **Returns:** 0-d arrays `entries`, `value`, `value_squared`, `error`, `error_squared`.
        **Raises:** `ContractError` if the shapes differ.
        """
        values, counts = targets
        value = jnp.where(counts, widen(values), 0)
        error = jnp.where(counts, widen(outputs) - widen(values), 0)
        sums = {"value": value, "value_squared": value**2, "error": error, "error_squared": error**2}
        entries = jnp.sum(counts, dtype=jnp.float32)
        return {"entries": entries, **{name: jnp.sum(each) for name, each in sums.items()}}

    def report(self, tally: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The mean loss, and `explained_variance`, `1 − Var(error) / Var(value)` over all entries that count."""
        mean = {name: float(sums / tally["entries"]) for name, sums in tally.items()}
        variance = mean["value_squared"] - mean["value"] ** 2
        left = mean["error_squared"] - mean["error"] ** 2
        return {"loss": mean["error_squared"], "explained_variance": 1 - left / variance if variance > 0 else 0.0}
