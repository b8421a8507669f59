"""Splits: examples parted into train, validation and test, the same on every machine."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import equinox as eqx
import numpy as np
from jaxtyping import Integer

from matrinox.contract import AnyArray, contract
from matrinox.data.examples import DataSet, require_no_test_part

_EXAMPLES = "there are {count} examples"


@contract
class Splits(eqx.Module):
    """Three data sets without a common example: fit on `train`, choose on `validation`, report `test` once.

    **Raises:** `ContractError` if one is not a `DataSet`.
    """

    train: DataSet
    validation: DataSet
    test: DataSet

    def fingerprint(self) -> str:
        """SHA-256 over the three fingerprints, in hexadecimal: equal parts, equal fingerprint."""
        parts = "".join(part.fingerprint() for part in (self.train, self.validation, self.test))
        return hashlib.sha256(parts.encode()).hexdigest()


@dataclass(frozen=True, eq=False)
class SplitRows:
    """The numbers of the examples of three parts, each in rising order, for what is not in memory.

    A source takes them, as in `source.take(rows.train)`; `fit_csv` fits on them, as in `fit_csv(…, rows=rows.train)`.
    """

    train: np.ndarray
    validation: np.ndarray
    test: np.ndarray

    def of(self, data: DataSet) -> Splits:
        """The three parts of a data set.

        **Raises:** `IndexError` if it has fewer examples; `ValueError` if it was published in parts.
        """
        require_no_test_part(data)
        return Splits(*(data.take(rows) for rows in (self.train, self.validation, self.test)))


@contract
def split(data: DataSet, *, validation: float = 0.1, test: float = 0.2, seed: int = 0) -> Splits:
    """Splits by class: each class gives its share, rounded, to validation and to test, and the rest to train.

    **Arguments:** `data`: with class numbers `(examples,)` as targets; `validation`, `test`: shares of each class,
    between 0 and 1; `seed`: the same seed gives the same split on every machine and with every version of NumPy.
    **Returns:** the three parts, each in the order of `data`.
    **Raises:** `ValueError` if a share is not positive, if none is left to train on, if a class is too small, if `seed`
    is out of range, or if `data` was published in parts (`load_splits` gives these); `ContractError` if `data` is not
    a `DataSet`.
    """
    require_no_test_part(data)
    targets = class_numbers(data)
    in_validation, in_test, in_train = (
        data.take(rows) for rows in rows_of_shares(targets, {"validation": validation, "test": test}, seed)
    )
    return Splits(train=in_train, validation=in_validation, test=in_test)


@contract
def split_random(data: DataSet, *, validation: float = 0.1, test: float = 0.2, seed: int = 0) -> Splits:
    """Splits at random, whatever the targets are: for regression and for data without targets.

    **Arguments:** `data`; `validation`, `test`: shares of all examples, rounded; `seed`: the same seed gives the same
    split on every machine and with every version of NumPy.
    **Returns:** the three parts, each in the order of `data`.
    **Raises:** `ValueError` if a share is not positive, if none is left to train on, if there are too few examples, if
    `seed` is out of range, or if `data` was published in parts; `ContractError` if `data` is not a `DataSet`.
    """
    return split_rows(len(data), validation=validation, test=test, seed=seed).of(data)


@contract
def split_in_order(data: DataSet, *, validation: float = 0.1, test: float = 0.2) -> Splits:
    """Splits a series: the first examples are trained on, those behind them validate, and the last test.

    **Arguments:** `data`: in the order of time; `validation`, `test`: shares of all examples, rounded.
    **Returns:** the three parts, one behind the other.
    **Raises:** as `split_random`.
    """
    return split_rows(len(data), validation=validation, test=test, order="kept").of(data)


@contract
def split_by_group(
    data: DataSet,
    groups: Integer[AnyArray, " {len(data)}"],
    *,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
) -> Splits:
    """Splits by group, such as a patient or a speaker: all examples of a group are in one part.

    **Arguments:** `data`; `groups`: the group of each example, `(examples,)`; `validation`, `test`: shares of the
    groups, rounded; `seed`: as for `split_random`.
    **Returns:** the three parts, each in the order of `data`.
    **Raises:** as `split_random`, of groups; `ContractError` if there are not as many `groups` as examples.
    """
    return split_rows(len(data), validation=validation, test=test, seed=seed, groups=groups).of(data)


@contract
def split_rows(
    examples: int,
    *,
    validation: float = 0.1,
    test: float = 0.2,
    seed: int = 0,
    order: Literal["random", "kept"] = "random",
    classes: Integer[AnyArray, " {examples}"] | None = None,
    groups: Integer[AnyArray, " {examples}"] | None = None,
) -> SplitRows:
    """The numbers of the examples that `split_random` and its like put into each part, for what is not in memory.

    **Arguments:** `examples`: how many there are; `validation`, `test`, `seed`: as for `split`; `order`: `"kept"` for a
    series, of which the last examples test; `classes`: `(examples,)`, such as the `targets` of a source, to take the
    shares of each class; `groups`: `(examples,)`, to take the shares of the groups: one of the three.
    **Returns:** the numbers, three times `(some,)`.
    **Raises:** `ValueError` as `split`, and for two of `order="kept"`, `classes` and `groups`; `ContractError` if there
    are not as many classes or groups as examples.
    """
    if (order == "kept") + (classes is not None) + (groups is not None) > 1:
        raise ValueError('`order="kept"`, `classes` and `groups` are three ways to split: give one of them.')
    shares = {"validation": validation, "test": test}
    if order == "kept":
        in_validation, in_test = _counts(examples, shares, _EXAMPLES.format(count=examples))
        bounds = [examples - in_validation - in_test, examples - in_test]
        return SplitRows(*np.split(np.arange(examples), bounds))
    if groups is not None:
        names, members = np.unique(np.asarray(groups), return_inverse=True)
        chosen = rows_of_shares(np.zeros(len(names), int), shares, seed, told="there are {count} groups")
        parts = [np.flatnonzero(np.isin(members, rows)) for rows in chosen]
    elif classes is not None:
        parts = rows_of_shares(np.asarray(classes), shares, seed)
    else:
        parts = rows_of_shares(np.zeros(examples, int), shares, seed, told=_EXAMPLES)
    in_validation, in_test, in_train = parts
    return SplitRows(in_train, in_validation, in_test)


def rows_of_shares(
    labels: np.ndarray, shares: Mapping[str, float], seed: int, *, told: str = "class {label} has {count} examples"
) -> list[np.ndarray]:
    """The rows of each share of each class, and last those of the rest, which is trained on; each in rising order.

    **Arguments:** `labels`: class numbers `(examples,)`; `shares`: by the name of the caller's argument; `told`: what
    an error says of the class that is too small.
    **Raises:** `ValueError` as `split`.
    """
    check_seed(seed)
    if len(labels) == 0:
        raise ValueError("there are 0 examples, too few to split: give one at least for each part.")
    # The stream of RandomState is frozen for good, unlike that of default_rng: a split outlives the NumPy that made it.
    random = np.random.RandomState(seed)
    parts: list[list[np.ndarray]] = [[] for _ in range(len(shares) + 1)]
    for label in np.unique(labels):
        members = random.permutation(np.flatnonzero(labels == label))
        counts = _counts(len(members), shares, told.format(label=label, count=len(members)))
        for part, chosen in zip(parts, np.split(members, np.cumsum(counts)), strict=True):
            part.append(chosen)
    return [np.sort(np.concatenate(part)) for part in parts]


def class_numbers(data: DataSet) -> np.ndarray:
    """The targets, `(examples,)`, where they are class numbers.

    **Raises:** `ValueError` where they are not.
    """
    targets = data.targets
    if targets is None or targets.ndim != 1 or not np.issubdtype(targets.dtype, np.integer):
        found = None if targets is None else f"{targets.dtype}{list(targets.shape)}"
        raise ValueError(
            f"`data.targets` (={found}) must be class numbers (examples,), as each class is parted by itself: "
            "part others at random."
        )
    return np.asarray(targets)


def check_seed(seed: int) -> None:
    """Refuses what `RandomState` does not take."""
    if not 0 <= seed < 2**32:
        raise ValueError(f"`seed` (={seed}) must be from 0 to below 2**32: choose a seed such as 0.")


def _counts(count: int, shares: Mapping[str, float], told: str) -> list[int]:
    """How many of `count` each share is."""
    named = " and ".join(f"`{name}` (={share})" for name, share in shares.items())
    if not (min(shares.values()) > 0 and sum(shares.values()) < 1):
        raise ValueError(f"{named} must be positive and leave a part to train on: choose shares such as 0.1 and 0.2.")
    counts = [round(share * count) for share in shares.values()]
    if min(counts) < 1 or sum(counts) >= count:
        raise ValueError(f"{told}, too few for shares of {named}: each part needs one at least.")
    return counts
