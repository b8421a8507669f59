"""Examples on disk: parts of a source, and blocks of any size cut into minibatches."""

import itertools

import jax
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import RowLoader, Source, Stream, StreamLoader
from matrinox.data.source import in_batches


class Numbers(Source):
    """Examples that are their own numbers."""

    name = "numbers"

    def __init__(self, examples):
        self.examples = examples

    def __len__(self):
        return self.examples

    def gather(self, rows):
        return rows[:, None], -rows

    def fingerprint(self):
        return str(self.examples)


def test_blocks_are_all_examples_in_order_from_any_one_on():
    for first in (0, 1, 256, 600):
        rows = np.concatenate([inputs[:, 0] for inputs, _ in Numbers(600).blocks(first)] or [np.zeros(0)])
        assert rows.tolist() == list(range(first, 600))


def test_what_is_taken_of_a_source_is_read_by_its_own_numbers():
    part = Numbers(10).take(np.array([7, 3, 3, 9]))
    assert (len(part), part.name) == (4, "numbers")
    inputs, targets = part.gather(np.array([3, 0]))
    assert inputs[:, 0].tolist() == [9, 7]
    assert targets.tolist() == [-9, -7]
    assert [inputs[:, 0].tolist() for inputs, _ in RowLoader(part, 3, key=None).once()] == [[7, 3, 3], [9]]
    again = part.take(np.array([0, 3]))
    assert next(again.blocks())[0][:, 0].tolist() == [7, 9]


def test_the_fingerprint_of_a_part_sees_the_whole_and_the_numbers():
    parts = [Numbers(10).take(np.array(rows)) for rows in ([1, 2], [2, 1], [1])]
    parts.append(Numbers(11).take(np.array([1, 2])))
    assert len({part.fingerprint() for part in parts}) == 4
    assert parts[0].fingerprint() == Numbers(10).take(np.array([1, 2], np.int8)).fingerprint()


def test_take_refuses_numbers_that_no_example_has():
    with pytest.raises(IndexError, match="`rows` holds 10, and there are 10 examples: choose rows from 0 to below 10"):
        Numbers(10).take(np.array([0, 10]))
    with pytest.raises(ContractError):
        Numbers(10).take(np.array([0.0]))


class Lines(Stream):
    """Examples that are their own numbers, one behind the other in blocks of `size`."""

    name = "lines"

    def __init__(self, examples, size=7, cut=None):
        self.examples, self.size, self.cut, self.read = examples, size, cut, []

    def __len__(self):
        return self.examples

    def blocks(self, first=0):
        for at in range(first, self.cut or self.examples, self.size):
            rows = np.arange(at, min(at + self.size, self.cut or self.examples))
            self.read += rows.tolist()
            yield rows[:, None], -rows

    def fingerprint(self):
        return str(self.examples)


def test_what_is_taken_of_a_stream_comes_in_its_order_from_any_example_on():
    rows = np.array([0, 1, 9, 30, 31, 32, 33, 34, 35, 36, 37, 99])
    for size in (1, 7, 100):
        part = Lines(100, size).take(rows)
        for first in range(len(rows) + 1):
            blocks = list(part.blocks(first))
            assert [row for inputs, _ in blocks for row in inputs[:, 0].tolist()] == rows[first:].tolist()
            assert [row for _, targets in blocks for row in targets.tolist()] == (-rows[first:]).tolist()
    whole = Lines(100)
    list(whole.take(np.array([50, 51])).blocks(1))
    assert min(whole.read) == 51
    assert max(whole.read) < 60


def test_take_of_a_stream_refuses_another_order():
    for rows in ([3, 2], [3, 3]):
        with pytest.raises(ValueError, match=r"`rows` must rise, as a stream \('lines'\) has one order: sort them"):
            Lines(10).take(np.array(rows))
    with pytest.raises(IndexError, match="`rows` holds 10"):
        Lines(10).take(np.array([10]))


@pytest.mark.parametrize("shuffled", [True, False])
def test_a_stream_that_ends_before_its_last_example_is_told(shuffled):
    loader = StreamLoader(Lines(20, cut=15), 4, key=jax.random.key(0) if shuffled else None, buffer=4)
    with pytest.raises(ValueError, match="'lines' has ended behind 15 examples and had 20 when it was opened: it has"):
        list(itertools.islice(loader.batches(), 5))
    with pytest.raises(ValueError, match="has ended behind 15 examples"):
        list(loader.once())


def test_sources_and_loaders_say_what_they_are():
    assert repr(Numbers(10)) == "Numbers('numbers', 10 examples)"
    assert repr(RowLoader(Numbers(10), 3, key=None)) == "RowLoader('numbers', 3 minibatches of 3)"


def test_blocks_of_any_size_are_cut_into_equal_ones_and_a_rest():
    for sizes in ([7], [1, 1, 5], [3, 0, 3, 1], [2, 5], []):
        numbers = np.arange(sum(sizes))
        blocks = [(block, None) for block in np.split(numbers, np.cumsum(sizes)[:-1])] if sizes else []
        cut = [inputs.tolist() for inputs, _ in in_batches(blocks, 3)]
        assert cut == ([[0, 1, 2], [3, 4, 5], [6]] if sizes else [])
