"""Loaders: minibatches by position, for examples that need not be in memory."""

from abc import ABC, abstractmethod
from collections.abc import Iterator

from jaxtyping import PyTree

Batch = tuple[PyTree, PyTree]
"""Inputs and targets of a minibatch, arrays of NumPy with a leading axis of examples; targets may be `None`."""


class Loader(ABC):
    """Minibatches of `batch` examples: an epoch has `len(loader)` of them, and each epoch an order of its own.

    What a minibatch holds is a pure function of its position, counted from 0 over all epochs, so that a run may stop
    and go on anywhere with no other state than a number.
    """

    name: str
    """What the examples are called in logs."""
    batch: int
    """Examples in a minibatch."""

    @abstractmethod
    def __len__(self) -> int:
        """How many full minibatches an epoch has."""

    @abstractmethod
    def batches(self, first: int = 0) -> Iterator[Batch]:
        """Full minibatches without end, from that position on.

        **Arguments:** `first`: the position to begin at, 0 or more.
        **Returns:** an iterator of inputs and targets `(batch, …)`.
        """

    @abstractmethod
    def once(self) -> Iterator[Batch]:
        """Every example once, in its own order, as evaluation wants them; the last minibatch may be smaller.

        **Returns:** an iterator of inputs and targets `(batch or fewer, …)`.
        """
