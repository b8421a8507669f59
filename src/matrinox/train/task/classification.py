"""Classification: one of several classes for each input."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer

from matrinox.contract import AnyArray, contract
from matrinox.functional import cross_entropy
from matrinox.io.config import check_config
from matrinox.train.task.base import Tally, Task


@dataclass(frozen=True)
class Classification(Task):
    """One of several classes for each input: cross-entropy to lower, accuracy to report.

    **Arguments:** `label_smoothing`: how much of each target is spread evenly over all classes, from 0 to below 1.
    **Raises:** `ValueError` if `label_smoothing` is no number or outside.
    """

    label_smoothing: float = 0.0

    headline = "accuracy"
    percent = True

    def __post_init__(self):
        check_config(self)
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"`label_smoothing` (={self.label_smoothing}) must be from 0 to below 1: 0.1 is common.")

    @contract
    def loss(self, logits: Float[AnyArray, "*batch classes"], targets: Integer[AnyArray, "*batch"]) -> Float[Array, ""]:
        """`−Σ_c t_c · log softmax(logits)_c`, averaged over the batch, with `t` the smoothed one-hot target.

        **Arguments:** `logits`: `(*batch, classes)`; `targets`: class numbers, `(*batch,)`.
        **Returns:** the mean loss, a 0-d array; NaN if a target is no class from 0 to classes − 1.
        **Raises:** `ContractError` if the leading axes differ or the targets are not integers.
        """
        classes, targets = logits.shape[-1], jnp.asarray(targets)
        known = (targets >= 0) & (targets < classes)
        # A row of zeros, which is what `one_hot` makes of an unknown class, would be a loss of 0.
        one_hot = jnp.where(known[..., None], jax.nn.one_hot(targets, classes, dtype=logits.dtype), jnp.nan)
        return cross_entropy(logits, (1 - self.label_smoothing) * one_hot + self.label_smoothing / classes)

    @contract
    def predict(self, logits: Float[AnyArray, "*batch classes"]) -> Integer[Array, "*batch"]:
        """The class of the largest logit.

        **Arguments:** `logits`: `(*batch, classes)`.
        **Returns:** class numbers, `(*batch,)`.
        **Raises:** `ContractError` if `logits` has no axis or is not floating.
        """
        return jnp.argmax(logits, axis=-1)

    @contract
    def hits(
        self, logits: Float[AnyArray, "*batch classes"], targets: Integer[AnyArray, "*batch"]
    ) -> Bool[Array, "*batch"]:
        """Where the class of the largest logit is the target; the mean is the accuracy.

        **Arguments:** `logits`: `(*batch, classes)`; `targets`: class numbers, `(*batch,)`.
        **Returns:** `(*batch,)`.
        **Raises:** `ContractError` if the leading axes differ or the targets are not integers.
        """
        return self.predict(logits) == jnp.asarray(targets)

    @contract
    def tally(self, outputs: Float[AnyArray, "*batch classes"], targets: Integer[AnyArray, "*batch"]) -> Tally:
        """Sums of the loss, of hits and of examples.

        **Arguments:** `outputs`: logits `(*batch, classes)`; `targets`: `(*batch,)`.
        **Returns:** 0-d arrays `loss`, `hits`, `examples`.
        **Raises:** `ContractError` if the leading axes differ or the targets are not integers.
        """
        examples = jnp.asarray(targets.size, jnp.float32)
        hits = jnp.sum(self.hits(outputs, targets))
        return {"loss": self.loss(outputs, targets) * examples, "hits": hits, "examples": examples}

    def report(self, tally: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The mean loss, and the share of hits as `accuracy`."""
        return {name: float(tally[sums] / tally["examples"]) for name, sums in (("loss", "loss"), ("accuracy", "hits"))}
