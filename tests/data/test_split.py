"""Splits."""

import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import DataSet, Splits, split, split_by_group, split_in_order, split_random, split_rows

FROZEN_TEST = [2, 3, 7, 22, 26, 34, 38, 40, 41, 42, 48, 52, 63, 69, 72, 79]


def numbers(data: DataSet) -> list[int]:
    """The examples by their number, which is their input."""
    return data.inputs[:, 0].astype(int).tolist()


@pytest.fixture
def numbered() -> DataSet:
    """80 examples of three classes of unequal size; an input is its own number."""
    targets = np.repeat([0, 1, 2], [40, 30, 10])
    return DataSet(np.arange(80, dtype=np.float32)[:, None], np.random.RandomState(3).permutation(targets))


def test_split_parts_are_disjoint_and_cover_everything(numbered):
    parts = split(numbered)
    seen = [np.asarray(part.inputs)[:, 0] for part in (parts.train, parts.validation, parts.test)]
    assert sorted(np.concatenate(seen).tolist()) == list(range(80))
    for part in seen:
        assert part.tolist() == sorted(part.tolist())


def test_split_takes_the_same_share_of_every_class(numbered):
    parts = split(numbered, validation=0.1, test=0.2)
    assert np.bincount(parts.validation.targets).tolist() == [4, 3, 1]
    assert np.bincount(parts.test.targets).tolist() == [8, 6, 2]
    assert np.bincount(parts.train.targets).tolist() == [28, 21, 7]


def test_split_depends_on_its_seed_alone(numbered):
    again, other = split(numbered).test, split(numbered, seed=1).test
    assert again.fingerprint() == split(numbered).test.fingerprint()
    assert other.fingerprint() != again.fingerprint()


def test_split_of_seed_0_is_frozen(numbered):
    assert split(numbered).validation.inputs[:, 0].astype(int).tolist() == [10, 34, 45, 49, 51, 58, 62, 67]


@pytest.mark.parametrize(("validation", "test"), [(0.0, 0.2), (0.1, 0.0), (0.5, 0.5), (-0.1, 0.2)])
def test_split_refuses_shares_that_leave_nothing(numbered, validation, test):
    with pytest.raises(ValueError, match="must be positive and leave a part to train on"):
        split(numbered, validation=validation, test=test)


def test_split_refuses_a_class_that_is_too_small():
    data = DataSet(np.zeros((5, 1), np.float32), np.zeros(5, np.int32))
    with pytest.raises(ValueError, match="class 0 has 5 examples, too few for shares of `validation`"):
        split(data, validation=0.05, test=0.2)


def test_split_refuses_targets_that_are_no_class_numbers():
    data = DataSet(np.zeros((5, 1), np.float32), np.zeros((5, 2), np.float32))
    with pytest.raises(ValueError, match=r"`data.targets` \(=float32\[5, 2\]\) must be class numbers"):
        split(data)
    with pytest.raises(ValueError, match=r"`data.targets` \(=None\) must be class numbers"):
        split(DataSet(np.zeros((5, 1), np.float32)))


def test_nothing_cannot_be_split():
    for function in (split, split_random, split_in_order):
        with pytest.raises(ValueError, match="there are 0 examples, too few"):
            function(DataSet(np.zeros((0, 1)), np.zeros(0, int)))


def test_split_and_splits_take_data_sets_alone(numbered):
    with pytest.raises(ContractError, match=r"data.*it takes a DataSet"):
        split(np.zeros(3))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match=r"test.*it takes a DataSet"):
        Splits(numbered, numbered, None)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_split_refuses_a_seed_out_of_range(numbered, seed):
    with pytest.raises(ValueError, match=rf"`seed` \(={seed}\) must be from 0 to below 2\*\*32"):
        split(numbered, seed=seed)


def test_split_random_takes_shares_of_all_whatever_the_targets_are(numbered):
    for data in (numbered, DataSet(numbered.inputs, numbered.inputs * 0.5), DataSet(numbered.inputs)):
        parts = split_random(data)
        assert [len(part) for part in (parts.train, parts.validation, parts.test)] == [56, 8, 16]
        assert sorted(numbers(parts.train) + numbers(parts.validation) + numbers(parts.test)) == list(range(80))
        assert numbers(parts.test) == FROZEN_TEST
    assert numbers(split_random(numbered, seed=1).test) != FROZEN_TEST


def test_split_in_order_tests_on_the_last_examples(numbered):
    parts = split_in_order(numbered, validation=0.1, test=0.2)
    assert [numbers(part) for part in (parts.train, parts.validation, parts.test)] == [
        list(range(56)),
        list(range(56, 64)),
        list(range(64, 80)),
    ]


def test_split_by_group_keeps_every_group_in_one_part(numbered):
    groups = np.random.RandomState(0).randint(0, 10, 80) * 7
    parts = split_by_group(numbered, groups, validation=0.2, test=0.3)
    of = [set(groups[numbers(part)]) for part in (parts.train, parts.validation, parts.test)]
    assert [len(part) for part in of] == [5, 2, 3]
    assert len(set.union(*of)) == 10


def test_split_rows_are_those_of_the_split(numbered):
    classes = np.asarray(numbered.targets)
    for rows, parts in (
        (split_rows(80, seed=3), split_random(numbered, seed=3)),
        (split_rows(80, seed=3, classes=classes), split(numbered, seed=3)),
        (
            split_rows(80, seed=3, groups=classes, validation=0.34, test=0.34),
            split_by_group(numbered, classes, seed=3, validation=0.34, test=0.34),
        ),
        (split_rows(80, order="kept"), split_in_order(numbered)),
    ):
        assert rows.of(numbered).fingerprint() == parts.fingerprint()
        assert rows.train.tolist() == numbers(parts.train)


def test_the_fingerprint_of_splits_sees_every_part(numbered):
    prints = {
        split(numbered).fingerprint(),
        split(numbered, seed=1).fingerprint(),
        split_random(numbered).fingerprint(),
    }
    assert len(prints) == 3
    parts = split(numbered)
    assert Splits(parts.train, parts.test, parts.validation).fingerprint() not in prints


def test_splits_without_classes_say_what_is_too_few():
    data = DataSet(np.zeros((4, 1)))
    for function in (split_random, split_in_order):
        with pytest.raises(ValueError, match=r"there are 4 examples, too few for shares of `validation` \(=0\.1\)"):
            function(data)
        with pytest.raises(ValueError, match="must be positive and leave a part to train on"):
            function(data, validation=0.5, test=0.5)
    with pytest.raises(ValueError, match="there are 2 groups, too few for shares of"):
        split_by_group(data, np.array([1, 1, 2, 2]))
    with pytest.raises(ContractError, match="groups"):
        split_by_group(data, np.array([1, 1, 2]))
    with pytest.raises(ValueError, match=r'`order="kept"`, `classes` and `groups` are three ways to split: give one'):
        split_rows(4, order="kept", groups=np.zeros(4, int))
    with pytest.raises(IndexError, match="there are 4 examples"):
        split_rows(80).of(data)
