"""Splits: examples parted into train, validation and test, the same on every machine."""

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
