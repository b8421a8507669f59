"""`RowLoader`: minibatches of examples that can be asked for by number, in memory or on disk."""

from collections.abc import Iterator

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray, PyTree

from matrinox.contract import ContractError, contract
from matrinox.data.examples import Examples
from matrinox.data.loader import Batch, EpochLoader
from matrinox.data.order import minibatches
from matrinox.data.source import Source, Stream


class RowLoader(EpochLoader):
    """Minibatches by number, each epoch in a permutation of its own: those that `minibatches` names.

    **Arguments:** `examples`: such as a `DataSet` in memory, or a source on disk; `batch`: examples in a minibatch;
    `key`: of the permutations, or `None` for minibatches in the order of the examples.
    **Raises:** `ValueError` for a `batch` below 1; `ContractError` for another type, such as a stream that has one
    order, of which a `StreamLoader` makes minibatches.

    >>> import numpy as np
    >>> from matrinox.data.examples import DataSet
    >>> loader = RowLoader(DataSet(np.arange(5)), batch=2, key=None)
    >>> [inputs.tolist() for inputs, _ in loader.once()]
    [[0, 1], [2, 3], [4]]
    """

    @contract
    def __init__(self, examples: Examples | Stream, batch: int, *, key: PRNGKeyArray | None):
        if not isinstance(examples, Examples | Source):
            raise ContractError(
                f"`examples` (={examples!r}) must be read by number, and are read one behind the other: give them to "
                "a `StreamLoader`, or read them into memory as a `DataSet`."
            )
        super().__init__(examples.name, len(examples), batch, key)
        self._rows = examples

    def epoch(self, number: int, first: int) -> Iterator[Batch]:
        """The minibatches of an epoch, counted from 0, from the minibatch `first` in it on."""
        if self.key is None:
            order = np.arange(len(self) * self.batch).reshape(len(self), self.batch)
        else:
            order = minibatches(self.key, self.examples, self.batch, first=number * len(self), count=len(self))
        for rows in np.asarray(order)[first:]:
            yield self._read(rows)

    def once(self) -> Iterator[Batch]:
        """Every example once, in its own order, as evaluation wants them; the last minibatch may be smaller.

        **Returns:** an iterator of inputs and targets `(batch or fewer, …)`.
        """
        for at in range(0, self.examples, self.batch):
            yield self._read(np.arange(at, min(at + self.batch, self.examples)))

    def fingerprint(self) -> str:
        """SHA-256 of what decides the minibatches, in hexadecimal: of the examples, `batch` and `key`."""
        return self.digest(self._rows.fingerprint())

    def _read(self, rows: np.ndarray) -> Batch:
        if isinstance(self._rows, Source):
            return self._rows.gather(rows)
        return jax.device_get(_gather(self._rows, jnp.asarray(rows)))


@eqx.filter_jit
def _gather(examples: Examples, rows: Array) -> tuple[PyTree, PyTree]:
    return examples.gather(rows)
