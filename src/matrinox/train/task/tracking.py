"""State tracking: which state the steps of a sequence have led to."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, PyTree

from matrinox.contract import AnyArray, contract
from matrinox.functional import accuracy, cross_entropy
from matrinox.io.config import check_config
from matrinox.train.task.base import Tally, Task, share


@dataclass(frozen=True)
class StateTracking(Task):
    """The state after each step of a sequence, one of several: cross-entropy to lower, final states right to report.

    What is learnt from short sequences has to hold for long ones. `commitment` asks for states that do not drift: it
    adds so many times `−logit` of the state that is right, which of logits that are negative distances, as
    `nn.Prototypes` gives them, is the distance. With `until_wrong` a sequence counts up to its first wrong state only,
    so that short ones are learnt first, and longer ones as soon as they can be.

    **Arguments:** `commitment`: 0 or more; of other logits than negative distances, 0; `until_wrong`: in training;
    evaluation counts every step.
    **Raises:** `ValueError` for a value of another type or out of range.
    **Source:** Merrill et al. 2024, arXiv 2404.08819, for the task; Yang et al. 2018, arXiv 1805.03438, for the loss.
    """

    commitment: float = 0.0
    until_wrong: bool = False

    headline = "accuracy"
    percent = True
    ascending = True
    gives = "logits"

    def __post_init__(self):
        check_config(self)
        if not 0 <= self.commitment < math.inf:
            raise ValueError(f"`commitment` (={self.commitment}) must be 0 or more, and finite: 0.1 is common.")

    @contract
    def loss(
        self, outputs: Float[AnyArray, "*batch t states"], targets: Integer[AnyArray, "*batch t"]
    ) -> Float[Array, ""]:
        """`−log softmax(logits)_y − commitment · logit_y`, averaged over the steps that count.

        **Arguments:** `outputs`: logits `(*batch, t, states)`; `targets`: the state after each step, `(*batch, t)`.
        **Returns:** the mean loss, a 0-d array; NaN if a target is no state.
        **Raises:** `ContractError` if the leading axes differ, or there is no axis of steps.
        """
        losses = self._losses(outputs, targets)
        if not self.until_wrong:
            return jnp.mean(losses)
        right = accuracy(outputs, targets, reduction="none")
        before = jnp.concatenate([jnp.ones_like(right[..., :1]), right[..., :-1]], axis=-1)
        counts = jnp.cumprod(before, axis=-1)
        return jnp.sum(counts * losses) / jnp.sum(counts)

    @contract
    def tally(self, outputs: Float[AnyArray, "*batch t states"], targets: Integer[AnyArray, "*batch t"]) -> Tally:
        """Sums over all steps, and over the last of each sequence.

        **Arguments:** as for `loss`.
        **Returns:** 0-d arrays `loss`, `step_hits` and `steps`, and `hits` and `examples` of last steps.
        **Raises:** as for `loss`.
        """
        return {
            "loss": jnp.sum(self._losses(outputs, targets)),
            "step_hits": accuracy(outputs, targets, reduction="sum"),
            "steps": jnp.asarray(targets.size),
            "hits": accuracy(outputs[..., -1, :], targets[..., -1], reduction="sum"),
            "examples": jnp.asarray(targets[..., -1].size),
        }

    def report(self, tally: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The mean `loss` of a step, the share of last states that are right as `accuracy`, of all as `step_accuracy`.

        **Arguments:** `tally`: sums over all minibatches.
        """
        return {
            "loss": share(tally["loss"], tally["steps"]),
            "accuracy": share(tally["hits"], tally["examples"]),
            "step_accuracy": share(tally["step_hits"], tally["steps"]),
        }

    @contract
    def predict(self, outputs: Float[AnyArray, "*batch t states"]) -> Integer[Array, "*batch t"]:
        """The likeliest state after each step.

        **Arguments:** `outputs`: logits `(*batch, t, states)`.
        **Returns:** numbers of states, `(*batch, t)`.
        **Raises:** `ContractError` if there is no axis of steps.
        """
        return jnp.argmax(outputs, axis=-1)

    @contract
    def record(
        self, outputs: Float[AnyArray, "*batch t states"], targets: Integer[AnyArray, "*batch t"]
    ) -> dict[str, Array]:
        """The likeliest of the last states.

        **Arguments:** as for `loss`.
        **Returns:** `classes`, `(*batch,)`.
        **Raises:** as for `loss`.
        """
        del targets
        return {"classes": self.predict(outputs[..., -1:, :])[..., 0]}

    def headline_of(self, records: Mapping[str, np.ndarray], targets: PyTree) -> float:
        """The share of last states that are the class kept.

        **Arguments:** `records`: `classes`, `(*batch,)`; `targets`: as for `loss`.
        """
        return float(np.mean(np.asarray(records["classes"]) == np.asarray(targets)[..., -1]))

    def _losses(self, outputs: AnyArray, targets: AnyArray) -> Array:
        losses = cross_entropy(outputs, targets, reduction="none")
        if not self.commitment:
            return losses
        logits = jnp.take_along_axis(jnp.asarray(outputs), jnp.asarray(targets)[..., None], axis=-1)[..., 0]
        return losses - self.commitment * logits
