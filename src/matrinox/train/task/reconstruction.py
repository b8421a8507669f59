"""Reconstruction: the inputs themselves, or a part of them, given back."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from matrinox.contract import AnyArray, contract
from matrinox.functional import binary_cross_entropy, mse
from matrinox.io.config import check_config
from matrinox.train.task.base import Tally, Task, share


@dataclass(frozen=True)
class Reconstruction(Task):
    """Values of the shape of the outputs, by default the inputs themselves: an error of each entry to lower.

    A target is an array, a pair of an array and a mask of the entries that count, or `None` for the inputs.

    **Arguments:** `error`: `"mse"`, or `"bce"` for outputs that are logits and values from 0 to 1.
    **Raises:** `ValueError` for another error.
    """

    error: Literal["mse", "bce"] = "mse"

    def __post_init__(self):
        check_config(self)

    def prepare(self, inputs: PyTree, targets: PyTree, *, key: PRNGKeyArray) -> tuple[PyTree, PyTree]:
        """Inputs and targets as they are; the inputs for both where there are no targets.

        **Arguments:** `inputs`: `(batch, …)`; `targets`: the same, with a mask or without, or `None`; `key`: unused.
        """
        del key
        return inputs, inputs if targets is None else targets

    def loss(self, outputs: PyTree, targets: PyTree) -> Array:
        """The error, averaged over the entries that count; 0 where none does.

        **Arguments:** `outputs`: `(*shape)`; `targets`: `(*shape)`, or a pair of that and a mask `(*leading)` of its
        first axes, true for what counts.
        **Returns:** the mean loss, a 0-d array.
        **Raises:** `ContractError` if the shapes differ; `ValueError` if the targets are no pair, or the mask is not of
        the first axes.
        """
        return self._error(outputs, *_parted(targets), "mean")

    def tally(self, outputs: PyTree, targets: PyTree) -> Tally:
        """Sums over the entries that count.

        **Arguments:** as for `loss`.
        **Returns:** 0-d arrays `loss`, `square`, `entries`.
        **Raises:** as `loss`.
        """
        values, mask = _parted(targets)
        return {
            "loss": self._error(outputs, values, mask, "sum"),
            "square": mse(self.predict(outputs), values, reduction="sum", where=mask),
            "entries": jnp.asarray(values.size) if mask is None else jnp.sum(mask),
        }

    def report(self, tally: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The mean `loss`, and the `rmse` of what is predicted, by entry.

        **Arguments:** `tally`: sums over all minibatches.
        """
        mean = {name: share(tally[name], tally["entries"]) for name in ("loss", "square")}
        return {"loss": mean["loss"], "rmse": mean["square"] ** 0.5}

    @contract
    def predict(self, outputs: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
        """The values: the outputs, or with `"bce"` their sigmoid.

        **Arguments:** `outputs`: `(*shape)`.
        **Returns:** `(*shape)`.
        """
        outputs = jnp.asarray(outputs)
        return jax.nn.sigmoid(outputs) if self.error == "bce" else outputs

    def _error(self, outputs: AnyArray, values: AnyArray, mask: Array | None, reduction: str) -> Array:
        error = binary_cross_entropy if self.error == "bce" else mse
        return error(outputs, values, reduction=reduction, where=mask)


def _parted(targets: PyTree) -> tuple[AnyArray, Array | None]:
    """The values, and where they count in their own shape."""
    if not isinstance(targets, tuple | list):
        return targets, None
    if len(targets) != 2:
        raise ValueError(f"`targets` (of {len(targets)} parts) must be an array, or a pair of values and a mask.")
    return _masked(*targets)


@contract
def _masked(values: Float[AnyArray, "..."], mask: Bool[AnyArray, "..."]) -> tuple[AnyArray, Array]:
    if mask.shape != values.shape[: mask.ndim]:
        raise ValueError(
            f"the mask of shape {mask.shape} must be of the first axes of the targets, {values.shape}: "
            "give one truth for each example, or for each entry."
        )
    whole = jnp.reshape(mask, mask.shape + (1,) * (values.ndim - mask.ndim))
    return values, jnp.broadcast_to(whole, values.shape)
