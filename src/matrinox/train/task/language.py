"""Language modelling: the next token at every place of a text."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, PyTree

from matrinox.contract import AnyArray, contract
from matrinox.functional import cross_entropy
from matrinox.functional.metric import require_characters
from matrinox.train.task.base import Tally, share
from matrinox.train.task.classification import Classification


@dataclass(frozen=True)
class LanguageModelling(Classification):
    """The next token at every place of a text: classification of each, reported in the units of language models.

    **Arguments:** those of `Classification`, with `ignored` the id of padding; `characters_per_token`: of the text on
    average, for `bits_per_character`: 1 for a model of characters.
    **Raises:** `ValueError` for a value of another type or out of range.
    """

    characters_per_token: float | None = None

    headline = "nats_per_token"
    percent = False
    ascending = False
    gives = "logits of the next token"

    def __post_init__(self):
        super().__post_init__()
        if self.characters_per_token is not None:
            require_characters(self.characters_per_token)

    @contract
    def tally(self, outputs: Float[AnyArray, "*batch t tokens"], targets: Integer[AnyArray, "*batch t"]) -> Tally:
        """Sums as of `Classification`, where an example is a token, and of the cross-entropy without smoothing.

        **Arguments:** `outputs`: logits `(*batch, t, tokens)`; `targets`: the tokens that come next, `(*batch, t)`.
        **Returns:** 0-d arrays `loss`, `weight`, `hits`, `examples`, `nats`, and what the options ask for.
        **Raises:** `ContractError` if the leading axes differ or the targets are not integers.
        """
        nats = cross_entropy(outputs, targets, reduction="sum", ignored=self.ignored)
        return {**super().tally(outputs, targets), "nats": nats}

    @contract
    def record(
        self, outputs: Float[AnyArray, "*batch t tokens"], targets: Integer[AnyArray, "*batch t"]
    ) -> dict[str, Array]:
        """Of each text, how many tokens count and their cross-entropy without smoothing, added up.

        **Arguments:** `outputs`: logits `(*batch, t, tokens)`; `targets`: the tokens that come next, `(*batch, t)`.
        **Returns:** `nats`, `(*batch,)` in float32; `tokens`, `(*batch,)`.
        **Raises:** `ContractError` if the leading axes differ or the targets are not integers.
        """
        each = cross_entropy(outputs, targets, reduction="none", ignored=self.ignored)
        counts = jnp.ones(targets.shape, bool) if self.ignored is None else jnp.asarray(targets) != self.ignored
        return {"nats": jnp.sum(each, axis=-1), "tokens": jnp.sum(counts, axis=-1)}

    def headline_of(self, records: Mapping[str, np.ndarray], targets: PyTree) -> float:
        """The nats kept of all texts, by token.

        **Arguments:** `records`: `nats` and `tokens`, `(*batch,)`; `targets`: not used.
        """
        del targets
        return share(np.sum(records["nats"], dtype=np.float64), np.sum(records["tokens"]))

    def report(self, tally: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The `loss`, `accuracy`, `nats_per_token`, `perplexity`, `bits_per_token` and `bits_per_character`.

        The loss is what is lowered, label smoothing and class weights included; the other figures are without.

        **Arguments:** `tally`: sums over all minibatches.
        """
        nats = share(tally["nats"], tally["examples"])
        bits = nats / math.log(2)
        with np.errstate(over="ignore"):
            figures = {
                **super().report(tally),
                "nats_per_token": nats,
                "perplexity": float(np.exp(nats)),
                "bits_per_token": bits,
            }
        if self.characters_per_token is not None:
            figures["bits_per_character"] = bits / self.characters_per_token
        return figures
