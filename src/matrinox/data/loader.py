"""Loaders: minibatches by position, for examples that need not be in memory."""

import functools
import hashlib
import json
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator
from numbers import Integral
from typing import Any, TypeVar

import jax
import numpy as np
from jaxtyping import PRNGKeyArray, PyTree

from matrinox.contract.options import Options

_Built = TypeVar("_Built")
Batch = tuple[PyTree, PyTree]
"""Inputs and targets of a minibatch, arrays of NumPy with a leading axis of examples; targets may be `None`."""


class _Named(Options):
    """Asks of every loader, once it is built, for what its subclass must say beside its methods."""

    def __call__(cls: type[_Built], *args: Any, **kwargs: Any) -> _Built:
        loader = Options.__call__(cls, *args, **kwargs)
        for name, kind, what in (("name", str, "a text"), ("batch", Integral, "an integer")):
            given = getattr(loader, name, None)
            if not isinstance(given, kind):
                raise TypeError(
                    f"`{name}` (={given!r}) of {cls.__name__} must be {what}: set it in the class or in `__init__`, "
                    "as every loader says what its examples are called and how many are in a minibatch."
                )
        return loader


def _of_pairs(method: Callable[..., Iterator[Batch]], name: str) -> Callable[..., Iterator[Batch]]:
    """A method of a loader whose minibatches are looked at as they come."""

    @functools.wraps(method)
    def read(loader: Any, *args: Any, **kwargs: Any) -> Iterator[Batch]:
        found = method(loader, *args, **kwargs)
        if not isinstance(found, Iterable):
            raise TypeError(
                f"`{name}` of {loader!r} gave {found!r}, which must be an iterator of pairs (inputs, targets): yield "
                "minibatches, or return an iterator of them."
            )
        return (_pair(each, loader, name) for each in found)

    return read


def _pair(batch: Any, loader: Any, name: str) -> Batch:
    if not (isinstance(batch, tuple) and len(batch) == 2):
        came = f"{len(batch)} parts" if isinstance(batch, tuple) else f"type {type(batch).__name__}"
        raise TypeError(
            f"`{name}` of {loader!r} gave a minibatch of {came}, which must be a pair (inputs, targets): yield "
            "`inputs, None` where there are no targets."
        )
    shapes = [np.shape(leaf) for leaf in jax.tree.leaves(batch)]
    if len({shape[:1] for shape in shapes}) > 1 or () in shapes:
        raise ValueError(
            f"`{name}` of {loader!r} gave a minibatch of arrays {', '.join(map(str, shapes))}, which must be of as "
            "many examples each: let their first axes be equal."
        )
    return batch


class Loader(metaclass=_Named):
    """Minibatches of `batch` examples: an epoch has `len(loader)` of them, and each epoch an order of its own.

    What a minibatch holds is a pure function of its position, counted from 0 over all epochs, so that a run may stop
    and go on anywhere with no other state than a number. A subclass sets `name` and `batch`, and writes the methods
    below; its `fingerprint` covers all that decides the minibatches: the examples, their order, `batch`.

    **Raises:** `TypeError` for a subclass that sets no `name` or `batch`, or lacks a method, and for one whose methods
    give no iterator, or one of other than pairs; `ValueError` for a minibatch of not as many targets as inputs.

    >>> import hashlib
    >>> import itertools
    >>> import numpy as np
    >>> class Squares(Loader):
    ...     name, batch = "squares", 2
    ...     def __init__(self, examples):
    ...         self.numbers = np.arange(examples, dtype=np.float32)[:, None]
    ...     def __len__(self):
    ...         return len(self.numbers) // self.batch
    ...     def read(self, at):
    ...         numbers = self.numbers[at : at + self.batch]
    ...         return numbers, numbers**2
    ...     def batches(self, first=0):
    ...         return (self.read(position % len(self) * self.batch) for position in itertools.count(first))
    ...     def once(self):
    ...         return (self.read(at) for at in range(0, len(self.numbers), self.batch))
    ...     def fingerprint(self):
    ...         return hashlib.sha256(f"squares {len(self.numbers)} {self.batch}".encode()).hexdigest()
    >>> loader = Squares(5)
    >>> loader
    Squares('squares', 2 minibatches of 2)
    >>> [inputs[:, 0].tolist() for inputs, _ in itertools.islice(loader.batches(1), 3)]
    [[2.0, 3.0], [0.0, 1.0], [2.0, 3.0]]
    >>> [targets[:, 0].tolist() for _, targets in loader.once()]
    [[0.0, 1.0], [4.0, 9.0], [16.0]]
    """

    name: str
    """What the examples are called in logs."""
    batch: int
    """Examples in a minibatch."""

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        for name in ("batches", "once"):
            if name in vars(cls):
                setattr(cls, name, _of_pairs(vars(cls)[name], name))

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

    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of what decides the minibatches, in hexadecimal: a run goes on with the same alone."""

    def __repr__(self) -> str:
        return f"{type(self).__name__.lstrip('_')}({self.name!r}, {len(self)} minibatches of {self.batch})"


class EpochLoader(Loader):
    """A loader of `examples` that is read epoch by epoch, each in the order that `key` gives it.

    **Arguments:** `name`; `examples`: how many there are; `batch`: examples in a minibatch, 1 or more; `key`: of the
    order, or `None` for their own.
    **Raises:** `ValueError` for a `batch` below 1.
    """

    def __init__(self, name: str, examples: int, batch: int, key: PRNGKeyArray | None):
        if batch < 1:
            raise ValueError(f"`batch` (={batch}) must be 1 or more: choose how many examples a minibatch has.")
        self.name, self.examples, self.batch, self.key = name, examples, batch, key

    def __len__(self) -> int:
        return self.examples // self.batch

    @abstractmethod
    def epoch(self, number: int, first: int) -> Iterator[Batch]:
        """The minibatches of an epoch, counted from 0, from the minibatch `first` in it on."""

    def batches(self, first: int = 0) -> Iterator[Batch]:
        """Full minibatches without end, from that position on; those too few for a minibatch end an epoch unseen.

        **Arguments:** `first`: the position to begin at, 0 or more.
        **Returns:** an iterator of inputs and targets `(batch, …)`.
        **Raises:** `ValueError` if `first` is negative or there are fewer examples than a minibatch takes.
        """
        if first < 0:
            raise ValueError(f"`first` (={first}) must be 0 or more: count minibatches from 0.")
        if len(self) == 0:
            raise ValueError(
                f"`batch` (={self.batch}) must be between 1 and the number of examples (={self.examples}): choose a "
                "smaller batch."
            )
        return self._endless(first)

    def _endless(self, first: int) -> Iterator[Batch]:
        number, first = divmod(first, len(self))
        while True:
            yield from self.epoch(number, first)
            number, first = number + 1, 0

    def digest(self, *parts: str | int) -> str:
        """SHA-256 of what a loader of this kind is made of, of its batch and key."""
        key = None if self.key is None else [str(jax.random.key_impl(self.key)), self._words(self.key)]
        return hashlib.sha256(json.dumps([type(self).__name__, *parts, self.batch, key]).encode()).hexdigest()

    @staticmethod
    def _words(key: PRNGKeyArray) -> list[int]:
        return jax.random.key_data(key).tolist()
