"""Data sets in memory: examples, stratified splits, and the order of minibatches."""

import hashlib

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.core import Tracer
from jaxtyping import Integer, PRNGKeyArray, Shaped

from matrinox.contract import AnyArray, contract


@contract
class DataSet(eqx.Module):
    """Examples held in memory: `inputs[i]` belongs with `targets[i]`.

    **Arguments:** `inputs`: `(examples, …)`; `targets`: `(examples, …)`, for classification
    class numbers `(examples,)`; `name`: what the examples are called in logs.
    **Raises:** `ContractError` if there are not as many inputs as targets.
    """

    inputs: Shaped[Array, "examples ..."]
    targets: Shaped[Array, "examples ..."]
    name: str = eqx.field(static=True)

    def __init__(
        self, inputs: Shaped[AnyArray, "examples ..."], targets: Shaped[AnyArray, "examples ..."], *, name: str = "data"
    ):
        self.inputs = jnp.asarray(inputs)
        self.targets = jnp.asarray(targets)
        self.name = name

    def __len__(self) -> int:
        return self.inputs.shape[0]

    def take(self, indices: Integer[AnyArray, " count"]) -> "DataSet":
        """The examples at `indices`, in that order.

        **Arguments:** `indices`: `(count,)`, each from 0 to below the number of examples.
        **Returns:** a data set of `count` examples.
        **Raises:** `ContractError` if `indices` is not one axis of integers; `IndexError` if one is out of range, but
        under `jit`, where no value is known.
        """
        if not isinstance(indices, Tracer):
            numbers = np.asarray(indices)
            outside = numbers[(numbers < 0) | (numbers >= len(self))]
            if outside.size:
                raise IndexError(
                    f"`indices` holds {outside[0]}, and there are {len(self)} examples: "
                    f"choose indices from 0 to below {len(self)}."
                )
        return DataSet(self.inputs[indices], self.targets[indices], name=self.name)

    def fingerprint(self) -> str:
        """SHA-256 over dtype, shape and bytes of inputs and targets, in hexadecimal: equal data, equal fingerprint."""
        digest = hashlib.sha256()
        for array in (np.asarray(self.inputs), np.asarray(self.targets)):
            digest.update(f"{array.dtype.str}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()


@contract
class Splits(eqx.Module):
    """Three data sets without a common example: fit on `train`, choose on `validation`, report `test` once.

    **Raises:** `ContractError` if one is not a `DataSet`.
    """

    train: DataSet
    validation: DataSet
    test: DataSet


@contract
def split(data: DataSet, *, validation: float = 0.1, test: float = 0.2, seed: int = 0) -> Splits:
    """Splits by class: each class gives its share, rounded, to validation and to test, and the rest to train.

    **Arguments:** `data`: with class numbers `(examples,)` as targets; `validation`, `test`: shares of each class,
    between 0 and 1; `seed`: the same seed gives the same split on every machine and with every version of NumPy.
    **Returns:** the three parts, each in the order of `data`.
    **Raises:** `ValueError` if a share is not positive, if none is left to train on, if a class is too small, or if
    `seed` is out of range; `ContractError` if `data` is not a `DataSet`.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"`seed` (={seed}) must be from 0 to below 2**32: choose a seed such as 0.")
    if not (validation > 0 and test > 0 and validation + test < 1):
        raise ValueError(
            f"`validation` (={validation}) and `test` (={test}) must be positive and leave a part to train on: "
            "choose shares such as 0.1 and 0.2."
        )
    targets = np.asarray(data.targets)
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        raise ValueError(
            f"`data.targets` (={targets.dtype}{list(targets.shape)}) must be class numbers (examples,): "
            "split by class needs one integer per example."
        )
    # The stream of RandomState is frozen for good, unlike that of default_rng: a split outlives the NumPy that made it.
    random = np.random.RandomState(seed)
    parts: tuple[list[np.ndarray], ...] = ([], [], [])
    for label in np.unique(targets):
        members = random.permutation(np.flatnonzero(targets == label))
        counts = round(validation * len(members)), round(test * len(members))
        if min(counts) < 1 or sum(counts) >= len(members):
            raise ValueError(
                f"class {label} has {len(members)} examples, too few for shares of `validation` (={validation}) and "
                f"`test` (={test}): each part needs one at least."
            )
        bounds = [counts[0], sum(counts)]
        for part, chosen in zip(parts, np.split(members, bounds), strict=True):
            part.append(chosen)
    in_validation, in_test, in_train = (data.take(np.sort(np.concatenate(part))) for part in parts)
    return Splits(train=in_train, validation=in_validation, test=in_test)


@contract
def minibatches(
    key: PRNGKeyArray, examples: int, batch: int, *, first: int = 0, count: int
) -> Integer[Array, "{count} {batch}"]:
    """Which examples the minibatches `first … first + count − 1` hold: each epoch is a new permutation, cut in batches.

    A pure function of key and position, so that training may stop and go on anywhere. What is left at the end of a
    permutation, less than one batch, waits for the next epoch.

    **Arguments:** `key`: one for the whole run; `examples`: how many there are; `batch`: examples in a minibatch;
    `first`: the step to begin at; `count`: how many minibatches.
    **Returns:** indices, `(count, batch)`.
    **Raises:** `ValueError` if `batch` is not between 1 and `examples`, or `first` or `count` is negative.
    """
    if not 1 <= batch <= examples:
        raise ValueError(f"`batch` (={batch}) must be between 1 and `examples` (={examples}): choose a smaller batch.")
    for name, value in (("first", first), ("count", count)):
        if value < 0:
            raise ValueError(f"`{name}` (={value}) must be 0 or more: count steps from 0.")
    in_epoch = examples // batch
    rows = []
    for epoch in range(first // in_epoch, -(-(first + count) // in_epoch)):
        order = np.asarray(jax.random.permutation(jax.random.fold_in(key, epoch), examples))
        rows.append(order[: in_epoch * batch].reshape(in_epoch, batch))
    if not rows:
        return jnp.zeros((0, batch), int)
    start = first % in_epoch
    return jnp.asarray(np.concatenate(rows)[start : start + count])
