"""Data sets, splits and minibatches."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import DataSet, Splits, minibatches, split


@pytest.fixture
def numbered() -> DataSet:
    """80 examples of three classes of unequal size; an input is its own number."""
    targets = np.repeat([0, 1, 2], [40, 30, 10])
    return DataSet(np.arange(80, dtype=np.float32)[:, None], np.random.RandomState(3).permutation(targets))


def test_a_data_set_refuses_another_number_of_targets():
    with pytest.raises(ContractError, match="examples is 3"):
        DataSet(np.zeros((3, 2), np.float32), np.zeros(4, np.int32))


def test_a_data_set_refuses_lists():
    with pytest.raises(ContractError):
        DataSet([[0.0], [1.0]], np.zeros(2, np.int32))  # pyright: ignore[reportArgumentType]


def test_take_keeps_inputs_with_their_targets(numbered):
    taken = numbered.take(np.array([7, 0, 7]))
    assert len(taken) == 3
    assert taken.inputs[:, 0].tolist() == [7, 0, 7]
    assert taken.targets.tolist() == [int(numbered.targets[i]) for i in (7, 0, 7)]


def test_take_refuses_indices_that_are_not_integers(numbered):
    with pytest.raises(ContractError):
        numbered.take(np.array([0.0, 1.0]))


@pytest.mark.parametrize("outside", [-1, 80, 99])
def test_take_refuses_indices_that_no_example_has(numbered, outside):
    with pytest.raises(IndexError, match=rf"`indices` holds {outside}, and there are 80 examples: choose"):
        numbered.take(np.array([3, outside]))


def test_take_works_under_jit(numbered):
    taken = jax.jit(lambda indices: numbered.take(indices).inputs)(np.array([7, 0]))
    assert taken[:, 0].tolist() == [7, 0]


def test_fingerprint_sees_every_number_the_dtype_and_the_shape(numbered):
    same = DataSet(np.array(numbered.inputs), np.array(numbered.targets), name="another name")
    assert same.fingerprint() == numbered.fingerprint()
    others = [
        DataSet(numbered.inputs.at[79, 0].add(1), numbered.targets),
        DataSet(numbered.inputs, numbered.targets.at[0].add(1)),
        DataSet(numbered.inputs[:, 0], numbered.targets),
        DataSet(numbered.inputs, numbered.targets.astype(jnp.int8)),
    ]
    prints = {data.fingerprint() for data in [numbered, *others]}
    assert len(prints) == 5


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


def test_minibatches_of_an_epoch_hold_every_example_once():
    rows = minibatches(jax.random.key(0), 12, 4, count=3)
    assert rows.shape == (3, 4)
    assert sorted(rows.reshape(-1).tolist()) == list(range(12))


def test_minibatches_of_two_epochs_come_in_different_orders():
    first, second = minibatches(jax.random.key(0), 12, 12, count=2)
    assert first.tolist() != second.tolist()


def test_minibatches_are_a_function_of_the_step_alone():
    """Cut anywhere, across epochs of 3 batches with 2 examples left over, the sequence is the same."""
    whole = minibatches(jax.random.key(5), 14, 4, count=11)
    for first in range(11):
        for count in range(12 - first):
            part = minibatches(jax.random.key(5), 14, 4, first=first, count=count)
            assert part.tolist() == whole[first : first + count].tolist()


@pytest.mark.parametrize("batch", [0, 13])
def test_minibatches_refuse_a_batch_that_an_epoch_cannot_fill(batch):
    with pytest.raises(ValueError, match=rf"`batch` \(={batch}\) must be between 1 and `examples` \(=12\)"):
        minibatches(jax.random.key(0), 12, batch, count=1)


def test_minibatches_refuse_a_negative_step():
    with pytest.raises(ValueError, match=r"`first` \(=-1\) must be 0 or more"):
        minibatches(jax.random.key(0), 12, 4, first=-1, count=1)
    with pytest.raises(ValueError, match=r"`count` \(=-1\) must be 0 or more"):
        minibatches(jax.random.key(0), 12, 4, count=-1)
