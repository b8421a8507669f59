"""Folds."""

import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import DataSet, Fold, folds

FROZEN = [[2, 5, 8, 9], [0, 4, 6, 10], [1, 3, 7]]
GROUPS = np.array([5, 5, 5, 5, 2, 2, 2, 9, 9, 1, 4])


@pytest.fixture
def numbered() -> DataSet:
    """11 examples; an input is its own number."""
    return DataSet(np.arange(11), np.array([0, 0, 0, 0, 1, 1, 1, 1, 1, 2, 2]))


def held_out(data, k, **options):
    return [fold.held_out.inputs.tolist() for fold in folds(data, k, **options)]


def test_every_example_is_held_out_once_and_trained_on_otherwise(numbered):
    for options in ({}, {"by": "class"}, {"by": "order"}, {"groups": GROUPS}):
        parts = list(folds(numbered, 3, **options))
        assert sorted(row for fold in parts for row in fold.held_out.inputs.tolist()) == list(range(11))
        for fold in parts:
            rows = fold.train.inputs.tolist(), fold.held_out.inputs.tolist()
            assert rows[0] == sorted(set(range(11)) - set(rows[1]))
            assert rows[1] == sorted(rows[1])


def test_folds_differ_in_size_by_one_at_most(numbered):
    for options in ({}, {"by": "class"}, {"by": "order"}):
        assert sorted(map(len, held_out(numbered, 3, **options))) == [3, 4, 4]
    assert [len(rows) for rows in held_out(numbered, 11)] == [1] * 11


def test_folds_by_class_have_their_share_of_every_class(numbered):
    for k in (2, 3, 4):
        counts = [np.bincount(fold.held_out.targets, minlength=3) for fold in folds(numbered, k, by="class")]
        assert np.ptp(counts, axis=0).max() <= 1


def test_folds_in_order_hold_out_one_piece_each(numbered):
    assert held_out(numbered, 3, by="order") == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9, 10]]


def test_groups_are_held_out_together_and_largest_first(numbered):
    parts = held_out(numbered, 3, groups=GROUPS)
    for group in np.unique(GROUPS):
        members = set(np.flatnonzero(group == GROUPS).tolist())
        assert sum(members <= set(rows) for rows in parts) == 1
    assert sorted(map(len, parts)) == [3, 4, 4]


def test_folds_depend_on_their_seed_alone_and_those_of_seed_0_are_frozen(numbered):
    assert held_out(numbered, 3) == held_out(numbered, 3)
    assert held_out(numbered, 3) != held_out(numbered, 3, seed=1)
    assert held_out(numbered, 3) == FROZEN


def test_folds_refuse_what_they_cannot_part(numbered):
    for k in (1, 12):
        with pytest.raises(ValueError, match=rf"`k` \(={k}\) must be from 2 to the number of examples \(=11\)"):
            folds(numbered, k)
    with pytest.raises(ValueError, match=r"`k` \(=6\) must be from 2 to the number of groups \(=5\)"):
        folds(numbered, 6, groups=GROUPS)
    with pytest.raises(ValueError, match=r"`by` \(='order'\) must be 'random' beside `groups`: leave out either"):
        folds(numbered, 2, by="order", groups=GROUPS)
    with pytest.raises(ValueError, match=r"`data.targets` .* must be class numbers"):
        folds(DataSet(np.zeros(4), np.zeros(4)), 2, by="class")
    with pytest.raises(ValueError, match=r"`seed` \(=-1\) must be from 0"):
        folds(numbered, 2, seed=-1)
    with pytest.raises(ContractError, match="groups"):
        folds(numbered, 2, groups=GROUPS[:5])
    with pytest.raises(ContractError, match="held_out"):
        Fold(numbered, None)  # pyright: ignore[reportArgumentType]
