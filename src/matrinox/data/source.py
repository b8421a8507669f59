"""Sources: examples on disk, read piece by piece in their order (`Stream`) or by number too (`Source`)."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator

import jax
import jax.tree_util as jtu
import numpy as np
from jaxtyping import Integer, PyTree

from matrinox.contract import AnyArray, contract
from matrinox.data.examples import require_rows
from matrinox.data.loader import Batch

_BLOCK = 256


class Stream(ABC):
    """Examples that are read one behind the other, such as the lines of a file: a `StreamLoader` gives minibatches."""

    name: str
    """What the examples are called in logs."""

    @abstractmethod
    def __len__(self) -> int:
        """How many examples there are."""

    @abstractmethod
    def blocks(self, first: int = 0) -> Iterator[Batch]:
        """The examples in order, in pieces of any size, from the example `first` on.

        **Arguments:** `first`: from 0 to the number of examples.
        **Returns:** an iterator of inputs and targets `(some, …)`; targets are `None` where there are none.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of what decides the examples, in hexadecimal."""

    def __repr__(self) -> str:
        return f"{type(self).__name__.lstrip('_')}({self.name!r}, {len(self)} examples)"

    @contract
    def take(self, rows: Integer[AnyArray, " count"]) -> "Stream":
        """The examples of these numbers alone, such as the training part of a split; the others are passed over.

        **Arguments:** `rows`: `(count,)`, rising, each from 0 to below the number of examples.
        **Returns:** a stream of `count` examples.
        **Raises:** `ContractError` if `rows` is not one axis of integers; `ValueError` if they do not rise;
        `IndexError` if one is out of range.
        """
        numbers = np.asarray(rows)
        require_rows("rows", numbers, len(self))
        if np.any(np.diff(numbers) <= 0):
            raise ValueError(
                f"`rows` must rise, as a stream ({self.name!r}) has one order: sort them, each named once."
            )
        return _Kept(self, numbers)


class _Part(Stream):
    """Some of the examples of a stream, by their numbers in it."""

    def __init__(self, whole: Stream, rows: np.ndarray):
        self.name, self._whole, self._rows = whole.name, whole, rows

    def __len__(self) -> int:
        return len(self._rows)

    def fingerprint(self) -> str:
        rows = np.ascontiguousarray(self._rows, "<i8").tobytes()
        return hashlib.sha256(self._whole.fingerprint().encode() + rows).hexdigest()


class _Kept(_Part):
    def blocks(self, first: int = 0) -> Iterator[Batch]:
        if first >= len(self):
            return
        at = int(self._rows[first])
        for block in self._whole.blocks(at):
            end = at + _size(block)
            upto = first + int(np.searchsorted(self._rows[first:], end))
            if upto > first:
                chosen = self._rows[first:upto] - at
                yield jax.tree.map(lambda array, chosen=chosen: array[chosen], block)
            if upto == len(self):
                return
            first, at = upto, end


class Source(Stream):
    """Examples that can be read by number as well: a `RowLoader` gives minibatches in an order of its own."""

    @abstractmethod
    def gather(self, rows: np.ndarray) -> tuple[PyTree, PyTree]:
        """The examples of these numbers, read now.

        **Arguments:** `rows`: `(batch,)`, each from 0 to below the number of examples.
        **Returns:** inputs and targets `(batch, …)`; targets are `None` where there are none.
        """

    def blocks(self, first: int = 0) -> Iterator[Batch]:
        """The examples in order, in pieces, from the example `first` on.

        **Arguments:** `first`: from 0 to the number of examples.
        **Returns:** an iterator of inputs and targets `(some, …)`; targets are `None` where there are none.
        """
        for at in range(first, len(self), _BLOCK):
            yield self.gather(np.arange(at, min(at + _BLOCK, len(self))))

    @contract
    def take(self, rows: Integer[AnyArray, " count"]) -> "Source":
        """The examples of these numbers alone, such as the training part of a split, read when they are asked for.

        **Arguments:** `rows`: `(count,)`, each from 0 to below the number of examples.
        **Returns:** a source of `count` examples, in that order.
        **Raises:** `ContractError` if `rows` is not one axis of integers; `IndexError` if one is out of range.
        """
        numbers = np.asarray(rows)
        require_rows("rows", numbers, len(self))
        return _Taken(self, numbers)


class _Taken(_Part, Source):
    _whole: Source

    def gather(self, rows: np.ndarray) -> tuple[PyTree, PyTree]:
        return self._whole.gather(self._rows[rows])


def in_batches(blocks: Iterable[Batch], batch: int) -> Iterator[Batch]:
    """The same examples in pieces of `batch`, of which the last may be smaller."""
    kept: list[Batch] = []
    have = 0
    for block in blocks:
        size, at = _size(block), 0
        while size - at >= batch - have:
            end = at + batch - have
            yield _joined([*kept, _cut(block, at, end)])
            kept, have, at = [], 0, end
        if at < size:
            kept.append(_cut(block, at, size))
            have += size - at
    if kept:
        yield _joined(kept)


def whole_of(stream: Stream, first: int = 0) -> Iterator[Batch]:
    """The examples of a stream from `first` on, of which there are as many as it said.

    **Raises:** `ValueError` where it ends before.
    """
    seen = first
    for block in stream.blocks(first):
        seen += _size(block)
        yield block
    if seen != len(stream):
        raise ValueError(
            f"{stream.name!r} has ended behind {seen} examples and had {len(stream)} when it was opened: it has "
            "changed since, so open it again."
        )


def _size(block: Batch) -> int:
    return len(jtu.tree_leaves(block)[0])


def _cut(block: Batch, at: int, end: int) -> Batch:
    return jax.tree.map(lambda array: array[at:end], block)


def _joined(parts: list[Batch]) -> Batch:
    return jax.tree.map(lambda *arrays: arrays[0] if len(arrays) == 1 else np.concatenate(arrays), *parts)
