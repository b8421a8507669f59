"""Contrastive learning: which two of many views are of one example."""

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Integer, PRNGKeyArray, PyTree, Shaped

from matrinox.contract import AnyArray, contract
from matrinox.data.augment import Augmentation, two_views
from matrinox.functional import cosine_similarities, info_nce
from matrinox.train.task.base import Tally, Task, share


@dataclass(frozen=True)
class Contrastive(Task):
    """Two views of each example are to be more alike than those of different ones, by InfoNCE in both directions.

    Both views go through the model in one batch of twice the examples. What an example is told from are the others of
    its minibatch: loss and accuracy belong to a size of minibatch, and are lower and higher in a smaller one.

    **Arguments:** `augment`: what makes a view of an example, one change behind the other, such as
    `(Shift(1), Noise(0.1))`; `temperature`: of the similarities, above 0; `pairs`: whether the targets are partners of
    the inputs, of one shape, in place of a second view.
    **Raises:** `ValueError` if `temperature` is not above 0, an augmentation is no function, or nothing tells views
    apart.
    **Source:** Chen et al. 2020, "A simple framework for contrastive learning of visual representations"; Oord et al.
    2018, "Representation learning with contrastive predictive coding".
    """

    augment: tuple[Augmentation, ...] = ()
    temperature: float = 0.1
    pairs: bool = False

    headline = "accuracy"
    percent = True

    def __post_init__(self):
        if not isinstance(self.augment, tuple) or not all(map(callable, self.augment)):
            raise ValueError(f"`augment` (={self.augment!r}) must be a tuple of augmentations: such as (Noise(0.1),).")
        if type(self.temperature) not in (int, float) or not 0 < self.temperature < float("inf"):
            raise ValueError(f"`temperature` (={self.temperature!r}) must be a number above 0: 0.1 is common.")
        if type(self.pairs) is not bool:
            raise ValueError(f"`pairs` (={self.pairs!r}) must be True or False: do the targets hold partners?")
        if not (self.pairs or self.augment):
            raise ValueError("`augment` (=()) must change something without `pairs`: give such as (Noise(0.1),).")

    @contract
    def prepare(
        self, inputs: Shaped[AnyArray, "batch *shape"], targets: PyTree, *, key: PRNGKeyArray
    ) -> tuple[Shaped[Array, "2*batch ..."], Integer[Array, " batch"]]:
        """Both views of every example in one batch, first all first ones; as targets, which second view is its own.

        **Arguments:** `inputs`: `(batch, *shape)`; `targets`: with `pairs` the partners `(batch, *shape)`, else not
        used; `key`: of the views.
        **Returns:** `(2 · batch, …)`, and `(batch,)` numbers from 0.
        **Raises:** `ValueError` if there are no partners, with `pairs`; `ContractError` if they are of another shape.
        """
        if self.pairs and targets is None:
            raise ValueError("`targets` (=None) must be the partners of the inputs with `pairs`: give data with both.")
        views = two_views(key, inputs, targets if self.pairs else None, augment=self.augment)
        return views, jnp.arange(inputs.shape[0])

    @contract
    def loss(
        self, outputs: Float[AnyArray, "views *features"], targets: Integer[AnyArray, " batch"]
    ) -> Float[Array, ""]:
        """InfoNCE of both halves of the outputs, averaged over both directions.

        **Arguments:** `outputs`: `(2 · batch, *features)`, of matrix neurons too: `(2 · batch, p, n, n)`; `targets`:
        as `prepare` gives them.
        **Returns:** the mean loss, a 0-d array.
        **Raises:** `ValueError` if there are not two outputs for each target; `ContractError` if they are no floats.
        """
        first, second = self._views(outputs, targets)
        return info_nce(first, second, temperature=self.temperature)

    @contract
    def tally(self, outputs: Float[AnyArray, "views *features"], targets: Integer[AnyArray, " batch"]) -> Tally:
        """Sums of the loss, of hits in both directions and of examples.

        **Arguments:** as for `loss`.
        **Returns:** 0-d arrays `loss`, `hits`, `examples`.
        **Raises:** `ValueError` if there are not two outputs for each target; `ContractError` if they are no floats.
        """
        alike = cosine_similarities(*self._views(outputs, targets))
        own = jnp.arange(len(alike))
        hits = jnp.sum(jnp.argmax(alike, axis=1) == own) + jnp.sum(jnp.argmax(alike, axis=0) == own)
        examples = jnp.asarray(len(alike), jnp.float32)
        return {"loss": self.loss(outputs, targets) * examples, "hits": hits, "examples": examples}

    def report(self, tally: Mapping[str, np.ndarray]) -> dict[str, float]:
        """The mean loss, and as `accuracy` the share of views whose most similar one of the other kind is their own."""
        examples = tally["examples"]
        return {"loss": share(tally["loss"], examples), "accuracy": share(tally["hits"], 2 * examples)}

    @contract
    def predict(self, outputs: Float[AnyArray, "views *features"]) -> Float[Array, "_ *features"]:
        """What the model gives for the first view of each example.

        **Arguments:** `outputs`: `(2 · batch, *features)`.
        **Returns:** `(batch, *features)`.
        **Raises:** `ContractError` if `outputs` is not of floats or has no axis.
        """
        return jnp.asarray(outputs)[: outputs.shape[0] // 2]

    def _views(self, outputs: AnyArray, targets: AnyArray) -> tuple[Array, Array]:
        batch, views = targets.shape[0], outputs.shape[0]
        if views != 2 * batch:
            raise ValueError(
                f"`outputs` has {views} rows, which must be two for each of the {batch} examples: the model must keep "
                "the axis of examples."
            )
        return jnp.asarray(outputs)[:batch], jnp.asarray(outputs)[batch:]
