"""Minibatches of examples by number."""

import itertools

import jax
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import CsvColumn, CsvFile, CsvSchema, DataSet, RowLoader, minibatches


@pytest.fixture
def numbered() -> DataSet:
    """11 examples; an input is its own number, a target its negative."""
    return DataSet(np.arange(11)[:, None], -np.arange(11), name="numbered")


def taken(loader, first, count):
    return [inputs[:, 0].tolist() for inputs, _ in itertools.islice(loader.batches(first), count)]


def test_minibatches_are_those_that_minibatches_names(numbered):
    key = jax.random.key(3)
    loader = RowLoader(numbered, 3, key=key)
    assert (len(loader), loader.batch, loader.name) == (3, 3, "numbered")
    assert taken(loader, 0, 8) == minibatches(key, 11, 3, count=8).tolist()


@pytest.mark.parametrize("shuffled", [True, False])
def test_minibatches_from_any_position_are_those_of_the_endless_iterator(numbered, shuffled):
    loader = RowLoader(numbered, 3, key=jax.random.key(3) if shuffled else None)
    whole = taken(loader, 0, 10)
    for first in range(10):
        assert taken(loader, first, 10 - first) == whole[first:]


def test_a_minibatch_has_inputs_with_their_targets_as_arrays_of_numpy(numbered):
    inputs, targets = next(RowLoader(numbered, 4, key=jax.random.key(0)).batches())
    assert isinstance(inputs, np.ndarray)
    assert inputs.shape == (4, 1)
    assert np.array_equal(targets, -inputs[:, 0])


def test_without_a_key_every_epoch_is_in_order_and_drops_what_fills_no_minibatch(numbered):
    assert taken(RowLoader(numbered, 4, key=None), 0, 3) == [[0, 1, 2, 3], [4, 5, 6, 7], [0, 1, 2, 3]]


def test_once_gives_every_example_in_its_own_order(numbered):
    for batch, sizes in ((4, [4, 4, 3]), (20, [11])):
        given = [inputs[:, 0] for inputs, _ in RowLoader(numbered, batch, key=jax.random.key(0)).once()]
        assert [len(inputs) for inputs in given] == sizes
        assert np.concatenate(given).tolist() == list(range(11))


def test_targets_that_there_are_not_stay_none():
    loader = RowLoader(DataSet(np.arange(4)), 2, key=None)
    assert next(loader.batches())[1] is None
    assert [targets for _, targets in loader.once()] == [None, None]


def test_fingerprint_sees_the_examples_the_batch_and_the_key(numbered):
    other = numbered.take(np.arange(10))
    keys = [None, jax.random.key(0), jax.random.key(1), jax.random.key(0, impl="rbg")]
    loaders = [RowLoader(numbered, 3, key=key) for key in keys]
    loaders += [RowLoader(numbered, 2, key=None), RowLoader(other, 3, key=None)]
    assert len({loader.fingerprint() for loader in loaders}) == 6
    assert RowLoader(numbered, 3, key=jax.random.key(0)).fingerprint() == loaders[1].fingerprint()


def test_a_row_loader_refuses_what_is_no_examples():
    with pytest.raises(ContractError, match="RowLoader got examples as float64"):
        RowLoader(np.zeros(3), 1, key=None)  # pyright: ignore[reportArgumentType]


def test_a_row_loader_refuses_a_stream_and_names_the_loader_of_streams(tmp_path):
    (tmp_path / "x.csv").write_text("x\n0\n1\n2\n")
    lines = CsvFile(tmp_path / "x.csv", CsvSchema((CsvColumn("x", "float"),)))
    for stream in (lines, lines.take(np.array([0, 2]))):
        with pytest.raises(ContractError, match=r"`examples` \(=.*'x', .*\) must be read by number, .* `StreamLoader`"):
            RowLoader(stream, 1, key=None)
