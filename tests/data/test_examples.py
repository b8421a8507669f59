"""Data sets in memory."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import DataSet


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


def test_what_is_no_number_is_refused():
    for words in (np.array(["cat", "dog"]), np.array([None, None])):
        with pytest.raises(ValueError, match=r"`targets` \(=(<U3|object)\[2\]\) must be numbers: number the classes"):
            DataSet(np.zeros(2), words)
    with pytest.raises(ValueError, match=r"`inputs` \(=<U3\[2\]\) must be numbers"):
        DataSet.of_samples([("cat", 0), ("dog", 1)])


def test_a_number_that_32_bits_do_not_hold_is_refused_and_not_wrapped():
    for array, told in (
        (np.array([1, 2**31]), "2147483648, which int32"),
        (np.array([2**32], np.uint64), "4294967296, which uint32"),
        (np.array([np.inf, -1e39]), r"-1e\+39, which float32"),
    ):
        with pytest.raises(ValueError, match=f"`inputs` holds {told} does not: bring the numbers"):
            DataSet(array)
    data = DataSet(np.array([-(2**31), 2**31 - 1]), np.array([np.inf, np.nan]))
    assert data.inputs.tolist() == [-(2**31), 2**31 - 1]
    assert np.isinf(data.targets[0])
    assert DataSet(np.zeros(2, jnp.bfloat16), np.array([True, False])).inputs.dtype == jnp.bfloat16


def test_numbers_of_64_bits_are_kept_where_jax_holds_them(x64):
    assert DataSet(np.array([2**40])).inputs.tolist() == [2**40]


def test_samples_of_rows_of_unequal_length_are_named():
    with pytest.raises(ValueError, match=r"the input of `samples\[1\]` must be an array: its rows are of unequal"):
        DataSet.of_samples([([[1], [2]], 0), ([[1], [2, 3]], 1)])


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
