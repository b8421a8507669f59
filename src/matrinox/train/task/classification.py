"""Classification: one of several classes for each input."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Integer, PyTree

from matrinox.contract import AnyArray, contract
from matrinox.functional import accuracy, confusion_matrix, cross_entropy, top_k_accuracy
from matrinox.functional.loss import example_weights, require_smoothing
from matrinox.functional.metric import class_ids
from matrinox.io.config import check_config
from matrinox.train.task.base import Tally, Task, share


@dataclass(frozen=True)
class Classification(Task):
    """One of several classes for each input: cross-entropy to lower, accuracy to report.

    A target is a class id, or a one-hot row or distribution over the classes, of which the largest entry is the class
    that is right.

    **Arguments:** `label_smoothing`: how much of each target is spread evenly over all classes, from 0 to below 1;
    `class_weights`: how much an example of each class counts in the loss, 0 or more, and not 0 for all; `ignored`: the
    class id of examples that do not count, such as padding; `top_k`: reports also how often the target is among so many
    likeliest classes, as `top_5_accuracy`; `confusion`: counts also the targets of each class by what they were taken
    for, which an `Evaluation` holds as `sums["confusion"]`, a row for each class.
    **Raises:** `ValueError` for a value of another type or out of range.
    """

    label_smoothing: float = 0.0
    class_weights: tuple[float, ...] | None = None
    ignored: int | None = None
    top_k: int | None = field(default=None, metadata={"min": 1})
    confusion: bool = False

    headline = "accuracy"
    percent = True
    ascending = True
    gives = "logits"

    def __post_init__(self):
        check_config(self)
        require_smoothing(self.label_smoothing)
        weights = self.class_weights
        if weights is not None and not (all(0 <= weight < math.inf for weight in weights) and any(weights)):
            raise ValueError(
                f"`class_weights` (={weights}) must be 0 or more, finite, and not all 0: give one for each class, such "
                "as (1.0, 2.0)."
            )

    @contract
    def loss(
        self,
        outputs: Float[AnyArray, "*batch classes"],
        targets: Float[AnyArray, "*batch classes"] | Integer[AnyArray, "*batch"],
    ) -> Float[Array, ""]:
        """`−Σ_c t_c · log softmax(logits)_c`, averaged over the batch, with `t` the smoothed target: `cross_entropy`.

        **Arguments:** `outputs`: logits `(*batch, classes)`; `targets`: class ids `(*batch,)`, or rows
        `(*batch, classes)`.
        **Returns:** the mean loss, a 0-d array; NaN if a target is no class from 0 to classes − 1.
        **Raises:** `ContractError` if the leading axes differ, or there are not as many weights as classes.
        """
        return self._cross_entropy(outputs, targets, "mean")

    @contract
    def predict(self, outputs: Float[AnyArray, "*batch classes"]) -> Integer[Array, "*batch"]:
        """The class of the largest logit.

        **Arguments:** `outputs`: logits `(*batch, classes)`.
        **Returns:** class numbers, `(*batch,)`.
        **Raises:** `ContractError` if `outputs` has no axis or is not floating.
        """
        return jnp.argmax(outputs, axis=-1)

    @contract
    def hits(
        self,
        logits: Float[AnyArray, "*batch classes"],
        targets: Float[AnyArray, "*batch classes"] | Integer[AnyArray, "*batch"],
    ) -> Bool[Array, "*batch"]:
        """Where the class of the largest logit is the target; the mean is the accuracy.

        **Arguments:** `logits`: `(*batch, classes)`; `targets`: class ids `(*batch,)`, or rows `(*batch, classes)`.
        **Returns:** `(*batch,)`.
        **Raises:** `ContractError` if the leading axes differ.
        """
        return accuracy(logits, targets, reduction="none", ignored=self.ignored) > 0

    @contract
    def tally(
        self,
        outputs: Float[AnyArray, "*batch classes"],
        targets: Float[AnyArray, "*batch classes"] | Integer[AnyArray, "*batch"],
    ) -> Tally:
        """Sums of the loss, of the weight of examples, of hits and of examples.

        **Arguments:** `outputs`: logits `(*batch, classes)`; `targets`: as for `loss`.
        **Returns:** 0-d arrays `loss`, `weight`, `hits`, `examples`, and what the task's options ask for: `top_k`, and
        `confusion`, `(classes, classes)`.
        **Raises:** `ContractError` if the leading axes differ; `ValueError` if `top_k` is more than there are classes.
        """
        classes, ids = outputs.shape[-1], class_ids(targets)
        counts = jnp.ones(ids.shape, bool) if self.ignored is None else ids != self.ignored
        examples = jnp.sum(counts)
        weight = example_weights(targets, self._weights(), self.ignored)
        sums = {
            "loss": self._cross_entropy(outputs, targets, "sum"),
            "weight": examples if weight is None else jnp.sum(weight),
            "hits": accuracy(outputs, targets, reduction="sum", ignored=self.ignored),
            "examples": examples,
        }
        if self.top_k is not None:
            sums["top_k"] = top_k_accuracy(outputs, targets, k=self.top_k, reduction="sum", ignored=self.ignored)
        if self.confusion:
            sums["confusion"] = confusion_matrix(self.predict(outputs), jnp.where(counts, ids, -1), classes=classes)
        return sums

    def report(self, tally: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The mean `loss`, the share of hits as `accuracy`, and, with `top_k`, that among so many, as `top_5_accuracy`.

        **Arguments:** `tally`: sums over all minibatches.
        """
        figures = {"loss": share(tally["loss"], tally["weight"]), "accuracy": share(tally["hits"], tally["examples"])}
        if self.top_k is not None:
            figures[f"top_{self.top_k}_accuracy"] = share(tally["top_k"], tally["examples"])
        return figures

    @contract
    def record(
        self,
        outputs: Float[AnyArray, "*batch classes"],
        targets: Float[AnyArray, "*batch classes"] | Integer[AnyArray, "*batch"],
    ) -> dict[str, Array]:
        """The class of the largest logit.

        **Arguments:** `outputs`: logits `(*batch, classes)`; `targets`: as for `loss`.
        **Returns:** `classes`, `(*batch,)`.
        **Raises:** `ContractError` if the leading axes differ.
        """
        del targets
        return {"classes": self.predict(outputs)}

    def headline_of(self, records: Mapping[str, np.ndarray], targets: PyTree) -> float:
        """The share of targets that are the class kept.

        **Arguments:** `records`: `classes`, `(*batch,)`; `targets`: as for `loss`.
        """
        ids = np.asarray(class_ids(targets))
        counts = np.ones(ids.shape, bool) if self.ignored is None else ids != self.ignored
        return share(np.sum((np.asarray(records["classes"]) == ids) & counts), np.sum(counts))

    def _weights(self) -> np.ndarray | None:
        return None if self.class_weights is None else np.asarray(self.class_weights, np.float32)

    def _cross_entropy(self, logits: AnyArray, targets: AnyArray, reduction: str) -> Array:
        return cross_entropy(
            logits,
            targets,
            reduction=reduction,
            label_smoothing=self.label_smoothing,
            weights=self._weights(),
            ignored=self.ignored,
        )
