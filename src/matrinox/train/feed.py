"""Feeds: the minibatches of a run by position, of examples or of a loader, stacked for one compiled call."""

import itertools
from collections.abc import Iterator, Sequence
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from matrinox.data.examples import DataSet, Examples
from matrinox.data.loader import Batch, Loader
from matrinox.data.loader_of import Data, loader_of
from matrinox.data.order import minibatches
from matrinox.data.source import Stream


def data_of(given: Data | Sequence[Any]) -> Data:
    """What holds examples, or samples one by one as a data set.

    **Raises:** `ValueError` for all inputs and all targets as two arrays, and as `DataSet.of_samples`.
    """
    if (
        isinstance(given, Sequence)
        and len(given) == 2
        and all(isinstance(each, jax.Array | np.ndarray) for each in given)
    ):
        shapes = " and ".join(str(np.shape(each)) for each in given)
        raise ValueError(
            f"the samples (=arrays {shapes}) must be pairs (input, target), one for each example: of two arrays, give "
            "`data.DataSet(x, y)`."
        )
    return given if isinstance(given, Examples | Stream | Loader) else DataSet.of_samples(given)


class Feed:
    """The minibatches of a run: `per_epoch` of them, then again in another order.

    **Arguments:** `data`: examples in memory or on disk, or samples one by one, shuffled by `key` into minibatches of
    `batch`, or a loader, which does both itself; `accumulate`: how many minibatches a step takes; `most`: how many
    steps a call takes at most.
    **Raises:** `ValueError` if there are fewer examples than a minibatch takes.
    """

    def __init__(
        self, data: Data | Sequence[Any], *, batch: int, accumulate: int, most: int | None = None, key: PRNGKeyArray
    ):
        given = data_of(data)
        data = given if isinstance(given, Examples) else loader_of(given, batch, key=key)
        self.data = data
        self.examples = data if isinstance(data, Examples) else None
        self.per_epoch = len(data) // batch if isinstance(data, Examples) else len(data)
        self.accumulate = accumulate
        self.most = most or 1
        self._batch, self._key = batch, key
        self._iterator: Iterator[Batch] | None = None
        self._at = 0
        if self.per_epoch < 1:
            raise ValueError(
                "`train` (a loader) must have at least one full minibatch: choose a smaller `batch` for it."
                if isinstance(given, Loader)
                else f"`batch` (={batch}) must be between 1 and the number of examples (={len(given)}): choose a "
                "smaller one."
            )

    def step_of_epoch(self, epoch: int) -> int:
        """The step at which so many epochs have been seen."""
        return -(-epoch * self.per_epoch // self.accumulate)

    def epoch_of(self, step: int) -> int:
        """The epoch in which a step began: the first is 1, as the first step is."""
        return (step - 1) * self.accumulate // self.per_epoch + 1

    def draw(self, position: int, steps: int) -> PyTree:
        """The minibatches of so many steps, for a call that takes at most `most`: the rest of it is filled up.

        **Arguments:** `position`: of the first minibatch; `steps`: at most `most`.
        **Returns:** numbers of examples `(most, accumulate · batch)`; of a loader, inputs and targets
        `(most, accumulate · batch, …)`.
        **Raises:** `ValueError` if a loader ends, or gives minibatches of several shapes.
        """
        count = steps * self.accumulate
        if isinstance(self.data, Examples):
            order = np.asarray(minibatches(self._key, len(self.data), self._batch, first=position, count=count))
            rows = order.reshape(steps, -1)
            return np.pad(rows, ((0, self.most - steps), (0, 0)))
        if self._iterator is None or self._at != position:
            self._iterator = self.data.batches(position)
        drawn = list(itertools.islice(self._iterator, count))
        if len(drawn) < count:
            raise ValueError(
                f"`train` (={self.data!r}) ended before minibatch {position + len(drawn) + 1}: its `batches` must go "
                "on without end, epoch behind epoch."
            )
        self._at = position + count

        def stacked(*parts: np.ndarray) -> np.ndarray:
            other = next((part.shape for part in parts if part.shape != parts[0].shape), None)
            if other is not None:
                raise ValueError(
                    f"`train` (={self.data!r}) gave minibatches of shapes {parts[0].shape} and {other}, which must be "
                    "of one shape: leave out the rest of an epoch."
                )
            whole = np.stack(parts)
            rows = whole.reshape(steps, -1, *whole.shape[2:])
            return np.concatenate([rows, np.broadcast_to(rows[-1:], (self.most - steps, *rows.shape[1:]))])

        return jax.tree.map(stacked, *drawn)
