"""`StreamLoader`: minibatches of examples that are read one behind the other, mixed by a shuffle buffer."""

import itertools
from collections.abc import Iterator
from typing import Any

import jax
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PRNGKeyArray

from matrinox.contract import contract
from matrinox.data.loader import Batch, EpochLoader
from matrinox.data.source import Stream, in_batches, whole_of

_DRAWS = 4096


class StreamLoader(EpochLoader):
    """Minibatches from a stream: `buffer` examples are held, one of them at random is given, the next takes its place.

    A position is found again by replaying which examples the buffer held, for which none is read, and then reading the
    stream from the oldest of these on. A buffer as large as the stream makes a full permutation of every epoch.

    **Arguments:** `stream`: such as a CSV file, or a source; `batch`: examples in a minibatch; `key`: of the draws, or
    `None` for minibatches in the order of the stream; `buffer`: how many examples are held, 1 or more.
    **Raises:** `ValueError` for a `batch` or `buffer` below 1; `ContractError` for another type.
    """

    @contract
    def __init__(self, stream: Stream, batch: int, *, key: PRNGKeyArray | None, buffer: int = 1024):
        super().__init__(stream.name, len(stream), batch, key)
        if buffer < 1:
            raise ValueError(f"`buffer` (={buffer}) must be 1 or more: choose how many examples are mixed.")
        self.buffer = min(buffer, self.examples)
        self._stream = stream

    def epoch(self, number: int, first: int) -> Iterator[Batch]:
        """The minibatches of an epoch, counted from 0, from the minibatch `first` in it on."""
        if self.key is None:
            blocks = whole_of(self._stream, first * self.batch)
            yield from itertools.islice(in_batches(blocks, self.batch), len(self) - first)
            return
        turns = _turns(self.examples, self.buffer, jax.random.fold_in(self.key, number))
        held, rows = list(range(self.buffer)), iter(range(self.buffer, self.examples))
        for slot, last in itertools.islice(turns, first * self.batch):
            held[slot] = held[last] if last is not None else next(rows)
        yield from self._mixed(held, turns, first)

    def once(self) -> Iterator[Batch]:
        """Every example once, in its own order, as evaluation wants them; the last minibatch may be smaller.

        **Returns:** an iterator of inputs and targets `(batch or fewer, …)`.
        """
        return in_batches(whole_of(self._stream), self.batch)

    def fingerprint(self) -> str:
        """SHA-256 of what decides the minibatches, in hexadecimal: of the stream, `batch`, `key` and `buffer`."""
        return self.digest(self._stream.fingerprint(), self.buffer)

    def _mixed(self, held: list[int], turns: Iterator[tuple[int, int | None]], first: int) -> Iterator[Batch]:
        """The minibatches from `first` on, given the numbers of the examples that the buffer held there."""
        given = first * self.batch
        left = min(self.buffer, self.examples - given)
        places = {row: slot for slot, row in enumerate(held[:left])}
        start, head = min(places), min(self.buffer + given, self.examples)
        examples = _one_by_one(whole_of(self._stream, start))
        # In memory of its own: an example that is only seen would hold on to the block that it came in.
        buffer: Any = None
        for row, (leaves, treedef) in zip(range(start, head), examples, strict=False):
            if buffer is None:
                buffer = [np.empty((self.buffer, *leaf.shape), leaf.dtype) for leaf in leaves], treedef
            if row in places:
                _put(buffer[0], places[row], leaves)
        store, treedef = buffer
        for _ in range(first, len(self)):
            batch = [np.empty((self.batch, *leaf.shape[1:]), leaf.dtype) for leaf in store]
            for index, (slot, last) in enumerate(itertools.islice(turns, self.batch)):
                _put(batch, index, [leaf[slot] for leaf in store])
                _put(store, slot, [leaf[last] for leaf in store] if last is not None else next(examples)[0])
            yield jtu.tree_unflatten(treedef, batch)


def _turns(examples: int, buffer: int, key: PRNGKeyArray) -> Iterator[tuple[int, int | None]]:
    """For each example in turn, the slot that it is taken from, and the slot that fills it when no more examples come.

    The remainder of 32 random bits is uneven by less than buffer / 2³².
    """
    bits = (int(bits) for draw in itertools.count() for bits in _draw(key, draw))
    left = buffer
    for come in range(buffer, buffer + examples):
        slot = next(bits) % left
        if come < examples:
            yield slot, None
        else:
            left -= 1
            yield slot, left


def _draw(key: PRNGKeyArray, number: int) -> np.ndarray:
    return np.asarray(jax.random.bits(jax.random.fold_in(key, number), (_DRAWS,), np.uint32))


def _one_by_one(blocks: Iterator[Batch]) -> Iterator[tuple[list[np.ndarray], Any]]:
    for block in blocks:
        leaves, treedef = jtu.tree_flatten(block)
        for row in zip(*leaves, strict=True):
            yield list(row), treedef


def _put(arrays: list[np.ndarray], place: int, values: list[np.ndarray]) -> None:
    for array, value in zip(arrays, values, strict=True):
        array[place] = value
