"""Examples: what is trained on, asked for by number, also while tracing; `DataSet` holds them in memory."""

import hashlib
from abc import abstractmethod
from collections.abc import Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jaxtyping import Integer, PyTree, Shaped

from matrinox.contract import AnyArray, contract

_HASHED_AT_ONCE = 2**24


class Examples(eqx.Module):
    """Inputs and targets by number, from 0 to below `len(examples)`, inside compiled programs too.

    What is held on disk or comes as a stream is a `Source` or a `Stream` instead, which a loader reads.
    """

    name: eqx.AbstractVar[str]
    """What the examples are called in logs."""

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def gather(self, rows: Array) -> tuple[PyTree, PyTree]:
        """The examples of these numbers, which nothing checks: it is called while tracing.

        **Arguments:** `rows`: integers, `(batch,)`.
        **Returns:** inputs and targets, each with a leading axis `batch`; targets are `None` where there are none.
        """

    @abstractmethod
    def fingerprint(self) -> str:
        """SHA-256 of what decides the examples, in hexadecimal: equal examples, equal fingerprint."""


@contract
class DataSet(Examples):
    """Examples held in memory: `inputs[i]` belongs with `targets[i]`.

    **Arguments:** `inputs`: `(examples, …)`; `targets`: `(examples, …)`, for classification class numbers
    `(examples,)`, or `None` for a task that makes its own; `name`: what the examples are called in logs.
    **Raises:** `ContractError` if there are not as many inputs as targets; `ValueError` for what is no number, and for
    a number that does not fit into the 32 bits that JAX holds by default.
    """

    inputs: Shaped[Array, "examples ..."]
    targets: Shaped[Array, "examples ..."] | None
    name: str = eqx.field(static=True)

    def __init__(
        self,
        inputs: Shaped[AnyArray, "examples ..."],
        targets: Shaped[AnyArray, "examples ..."] | None = None,
        *,
        name: str = "data",
    ):
        self.inputs = _held("inputs", inputs)
        self.targets = None if targets is None else _held("targets", targets)
        self.name = name

    @staticmethod
    def of_samples(samples: Sequence[Any], *, name: str = "samples") -> "DataSet":
        """Samples one by one as a data set.

        **Arguments:** `samples`: pairs `(input, target)` of arrays or numbers, all of one shape; `name`: as above.
        **Returns:** a data set of `len(samples)` examples, in that order.
        **Raises:** `ValueError` if there is none, one is no pair of arrays, or one is of another shape than the first.
        """
        if not samples:
            raise ValueError("`samples` has 0 samples, which must be 1 or more: give pairs (input, target).")
        columns: tuple[list[np.ndarray], list[np.ndarray]] = ([], [])
        for number, sample in enumerate(samples):
            if not isinstance(sample, tuple | list) or len(sample) != 2:
                raise ValueError(
                    f"`samples[{number}]` (={type(sample).__name__}) must be a pair (input, target): give both."
                )
            for what, column, value in zip(("input", "target"), columns, sample, strict=True):
                try:
                    array = np.asarray(value)
                except ValueError as error:
                    raise ValueError(
                        f"the {what} of `samples[{number}]` must be an array: its rows are of unequal length."
                    ) from error
                if column and array.shape != column[0].shape:
                    raise ValueError(
                        f"the {what} of `samples[{number}]` has shape {array.shape}, which must be that of "
                        f"`samples[0]`, {column[0].shape}: bring all samples to one shape."
                    )
                column.append(array)
        return DataSet(*(np.stack(column) for column in columns), name=name)

    def __len__(self) -> int:
        return self.inputs.shape[0]

    def gather(self, rows: Integer[AnyArray, " batch"]) -> tuple[PyTree, PyTree]:
        """The inputs and targets of these numbers; see `take` for a data set of them, with numbers that are checked.

        **Arguments:** `rows`: `(batch,)`.
        **Returns:** inputs and targets, `(batch, …)`; `None` for targets that there are not.
        **Raises:** `ContractError` if `rows` is not one axis of integers.
        """
        return self.inputs[rows], None if self.targets is None else self.targets[rows]

    def take(self, indices: Integer[AnyArray, " count"]) -> "DataSet":
        """The examples at `indices`, in that order.

        **Arguments:** `indices`: `(count,)`, each from 0 to below the number of examples.
        **Returns:** a data set of `count` examples.
        **Raises:** `ContractError` if `indices` is not one axis of integers; `IndexError` if one is out of range, but
        under `jit`, where no value is known.
        """
        if not isinstance(indices, Tracer):
            require_rows("indices", np.asarray(indices), len(self))
        return DataSet(*self.gather(indices), name=self.name)

    def fingerprint(self) -> str:
        """SHA-256 over dtype, shape and bytes of inputs and targets, in hexadecimal: equal data, equal fingerprint."""
        return fingerprint_of_arrays(self.inputs, self.targets)


@contract
class PublishedSet(DataSet):
    """A data set with its published test part in it, which is not split anew: some of that would be trained on.

    **Arguments:** as for `DataSet`.
    **Raises:** as `DataSet`.
    """

    def __init__(
        self, inputs: Shaped[AnyArray, "examples ..."], targets: Shaped[AnyArray, "examples ..."], *, name: str
    ):
        super().__init__(inputs, targets, name=name)


def require_no_test_part(data: DataSet) -> None:
    """Refuses to part what is parted."""
    if isinstance(data, PublishedSet):
        raise ValueError(
            f"`data` (={data.name!r}) must not be split anew, as some of its published test part would be trained on: "
            f"use load_splits({data.name!r}), or split a part of it (`data.take`)."
        )


def fingerprint_of_arrays(*arrays: AnyArray | None) -> str:
    """SHA-256 over dtype, shape and bytes of each `(examples, …)`, a piece at a time: one may be larger than memory."""
    digest = hashlib.sha256()
    for array in arrays:
        if array is not None:
            values = np.asarray(array)
            digest.update(f"{values.dtype.str}{values.shape}".encode())
            rows = max(1, _HASHED_AT_ONCE * len(values) // max(1, values.nbytes))
            for at in range(0, len(values), rows):
                digest.update(np.ascontiguousarray(values[at : at + rows]).tobytes())
    return digest.hexdigest()


def _held(name: str, array: AnyArray) -> Array:
    """The array as JAX holds it, which would wrap what is too large and say nothing."""
    if not isinstance(array, np.ndarray):
        return jnp.asarray(array)
    if not (jnp.issubdtype(array.dtype, jnp.number) or array.dtype == bool):
        raise ValueError(
            f"`{name}` (={array.dtype}{list(array.shape)}) must be numbers: number the classes, and leave out "
            "what there is not."
        )
    with np.errstate(over="ignore"):
        narrow = array.astype(jax.dtypes.canonicalize_dtype(array.dtype), copy=False)
    if narrow.dtype != array.dtype:
        is_lost = narrow != array if array.dtype.kind in "iu" else np.isinf(narrow) & np.isfinite(array)
        if np.any(is_lost):
            raise ValueError(
                f"`{name}` holds {array[is_lost][0]}, which {narrow.dtype} does not: bring the numbers into its range, "
                "or let JAX hold 64 bits (jax_enable_x64)."
            )
    return jnp.asarray(narrow)


def require_rows(name: str, numbers: np.ndarray, examples: int) -> None:
    """Refuses numbers that no example has."""
    outside = numbers[(numbers < 0) | (numbers >= examples)]
    if outside.size:
        raise IndexError(
            f"`{name}` holds {outside[0]}, and there are {examples} examples: choose {name} from 0 to below {examples}."
        )
