"""Folds: every example is held out once, by a model that was trained on the others (cross-validation)."""

from collections.abc import Iterator
from typing import Literal

import equinox as eqx
import numpy as np
from jaxtyping import Integer

from matrinox.contract import AnyArray, contract
from matrinox.data.examples import DataSet, require_no_test_part
from matrinox.data.split import check_seed, class_numbers


@contract
class Fold(eqx.Module):
    """What is held out, and the rest, which is trained on.

    **Raises:** `ContractError` if one is not a `DataSet`.
    """

    train: DataSet
    held_out: DataSet


@contract
def folds(
    data: DataSet,
    k: int,
    *,
    by: Literal["random", "class", "order"] = "random",
    groups: Integer[AnyArray, " {len(data)}"] | None = None,
    seed: int = 0,
) -> Iterator[Fold]:
    """k folds of about equal size, in each of which other examples are held out: each of them once.

    **Arguments:** `data`; `k`: from 2 to the number of examples; `by`: `"random"`; `"class"`, so that each fold has its
    share of every class, for class numbers `(examples,)` as targets; `"order"`, so that what is held out is in one
    piece; `groups`: the group of each example, `(examples,)`, where all of a group are held out together, the largest
    ones put first where fewest are; `seed`: the same seed gives the same folds on every machine.
    **Returns:** an iterator of k folds, each part in the order of `data`.
    **Raises:** `ValueError` if `k` is out of range or there are fewer groups, if targets are no class numbers, for
    `groups` beside another `by` than `"random"`, if `seed` is out of range, and if `data` was published in parts;
    `ContractError` if there are not as many `groups` as examples.
    """
    check_seed(seed)
    require_no_test_part(data)
    count, what = len(data), "examples"
    if groups is not None:
        count, what = len(np.unique(np.asarray(groups))), "groups"
    if not 2 <= k <= count:
        raise ValueError(f"`k` (={k}) must be from 2 to the number of {what} (={count}): choose fewer folds.")
    if groups is not None and by != "random":
        raise ValueError(f"`by` (={by!r}) must be 'random' beside `groups`: leave out either.")
    random = np.random.RandomState(seed)
    if groups is not None:
        fold_of = _by_group(np.asarray(groups), k, random)
    elif by == "class":
        fold_of = _by_class(class_numbers(data), k, random)
    else:
        # As many as the first folds have one more: their numbers in order, or mixed.
        fold_of = np.sort(np.arange(len(data)) % k)
        fold_of = random.permutation(fold_of) if by == "random" else fold_of
    return (Fold(data.take(np.flatnonzero(fold_of != at)), data.take(np.flatnonzero(fold_of == at))) for at in range(k))


def _by_class(targets: np.ndarray, k: int, random: np.random.RandomState) -> np.ndarray:
    """Members of class after class are dealt to the folds in turn, as cards are."""
    fold_of = np.empty(len(targets), int)
    order = np.concatenate([random.permutation(np.flatnonzero(targets == label)) for label in np.unique(targets)])
    fold_of[order] = np.arange(len(targets)) % k
    return fold_of


def _by_group(groups: np.ndarray, k: int, random: np.random.RandomState) -> np.ndarray:
    _, members, sizes = np.unique(groups, return_inverse=True, return_counts=True)
    shuffled = random.permutation(len(sizes))
    held, fold_of_group = np.zeros(k, int), np.empty(len(sizes), int)
    for group in shuffled[np.argsort(-sizes[shuffled], kind="stable")]:
        fold_of_group[group] = np.argmin(held)
        held[fold_of_group[group]] += sizes[group]
    return fold_of_group[members]
