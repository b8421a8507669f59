"""Splits: examples parted into train, validation and test, the same on every machine."""

from collections.abc import Mapping

import equinox as eqx
import numpy as np

from matrinox.contract import contract
from matrinox.data.examples import DataSet


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
    targets = np.asarray(data.targets)
    if targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        raise ValueError(
            f"`data.targets` (={targets.dtype}{list(targets.shape)}) must be class numbers (examples,): "
            "split by class needs one integer per example."
        )
    in_validation, in_test, in_train = (
        data.take(rows) for rows in rows_of_shares(targets, {"validation": validation, "test": test}, seed)
    )
    return Splits(train=in_train, validation=in_validation, test=in_test)


def rows_of_shares(labels: np.ndarray, shares: Mapping[str, float], seed: int) -> list[np.ndarray]:
    """The rows of each share of each class, and last those of the rest, which is trained on; each in rising order.

    **Arguments:** `labels`: class numbers `(examples,)`; `shares`: by the name of the caller's argument.
    **Raises:** `ValueError` as `split`.
    """
    if not 0 <= seed < 2**32:
        raise ValueError(f"`seed` (={seed}) must be from 0 to below 2**32: choose a seed such as 0.")
    named = " and ".join(f"`{name}` (={share})" for name, share in shares.items())
    if not (min(shares.values()) > 0 and sum(shares.values()) < 1):
        raise ValueError(f"{named} must be positive and leave a part to train on: choose shares such as 0.1 and 0.2.")
    # The stream of RandomState is frozen for good, unlike that of default_rng: a split outlives the NumPy that made it.
    random = np.random.RandomState(seed)
    parts: list[list[np.ndarray]] = [[] for _ in range(len(shares) + 1)]
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        counts = [round(share * len(members)) for share in shares.values()]
        if min(counts) < 1 or sum(counts) >= len(members):
            raise ValueError(
                f"class {label} has {len(members)} examples, too few for shares of {named}: "
                "each part needs one at least."
            )
        for part, chosen in zip(parts, np.split(members, np.cumsum(counts)), strict=True):
            part.append(chosen)
    return [np.sort(np.concatenate(part)) for part in parts]
