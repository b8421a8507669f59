"""`loader_of`: whatever holds examples, in memory, on disk or behind a loader, as a loader."""

from jaxtyping import PRNGKeyArray

from matrinox.contract import contract
from matrinox.data.examples import Examples
from matrinox.data.loader import Loader
from matrinox.data.row_loader import RowLoader
from matrinox.data.source import Source, Stream
from matrinox.data.stream_loader import StreamLoader

Data = Examples | Stream | Loader
"""Whatever holds examples: in memory or made when asked for, on disk, or in minibatches."""


@contract
def loader_of(data: Data, batch: int, *, key: PRNGKeyArray | None) -> Loader:
    """The minibatches of examples; a loader has its own, and is given back as it is.

    **Arguments:** `data`; `batch`: examples in a minibatch; `key`: of their order, or `None` for their own.
    **Returns:** `data`, or a `RowLoader`, or a `StreamLoader` where examples cannot be asked for by number.
    **Raises:** `ValueError` for a `batch` below 1, but of a loader; `ContractError` for another type.
    """
    if isinstance(data, Loader):
        return data
    return (
        RowLoader(data, batch, key=key) if isinstance(data, Examples | Source) else StreamLoader(data, batch, key=key)
    )
