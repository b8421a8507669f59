"""Splits."""

import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import DataSet, Splits, split


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


def test_split_and_splits_take_data_sets_alone(numbered):
    with pytest.raises(ContractError, match=r"data.*it takes a DataSet"):
        split(np.zeros(3))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match=r"test.*it takes a DataSet"):
        Splits(numbered, numbered, None)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("seed", [-1, 2**32])
def test_split_refuses_a_seed_out_of_range(numbered, seed):
    with pytest.raises(ValueError, match=rf"`seed` \(={seed}\) must be from 0 to below 2\*\*32"):
        split(numbered, seed=seed)
