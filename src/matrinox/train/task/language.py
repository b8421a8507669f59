"""Language modelling: the next token at every place of a text."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Integer

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

    headline = "perplexity"
    percent = False

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

    def report(self, tally: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The `loss` in nats per token, `accuracy`, `perplexity`, `bits_per_token` and `bits_per_character`.

        The loss is what is lowered, label smoothing and class weights included; the other figures are without.

        **Arguments:** `tally`: sums over all minibatches.
        """
        nats = share(tally["nats"], tally["examples"])
        bits = nats / math.log(2)
        with np.errstate(over="ignore"):
            figures = {**super().report(tally), "perplexity": float(np.exp(nats)), "bits_per_token": bits}
        if self.characters_per_token is not None:
            figures["bits_per_character"] = bits / self.characters_per_token
        return figures
