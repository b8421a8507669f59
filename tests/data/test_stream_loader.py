"""Minibatches of examples that come one behind the other."""

import itertools

import jax
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import DataSet, Stream, StreamLoader


class Counting(Stream):
    """Examples that are their own numbers, in blocks of unequal sizes; it keeps note of what was read."""

    def __init__(self, examples, labelled=True):
        self.name, self.examples, self.labelled, self.read = "counting", examples, labelled, []

    def __len__(self):
        return self.examples

    def blocks(self, first=0):
        for size in itertools.cycle((1, 5, 2)):
            if first >= self.examples:
                return
            rows = np.arange(first, min(first + size, self.examples))
            self.read += rows.tolist()
            yield rows[:, None] * np.ones(3, int), -rows if self.labelled else None
            first += size

    def fingerprint(self):
        return str(self.examples)


def taken(loader, first, count):
    return [inputs[:, 0].tolist() for inputs, _ in itertools.islice(loader.batches(first), count)]


def flat(batches):
    return list(itertools.chain.from_iterable(batches))


@pytest.mark.parametrize("buffer", [1, 4, 13, 99])
def test_an_epoch_has_every_example_once_but_those_that_fill_no_minibatch(buffer):
    rows = flat(taken(StreamLoader(Counting(13), 1, key=jax.random.key(0), buffer=buffer), 0, 13))
    assert sorted(rows) == list(range(13))
    rows = flat(taken(StreamLoader(Counting(13), 4, key=jax.random.key(0), buffer=buffer), 0, 3))
    assert len(set(rows)) == 12


def test_minibatches_from_any_position_are_those_of_the_endless_iterator():
    for buffer in (1, 4, 10, 99):
        loader = StreamLoader(Counting(13), 3, key=jax.random.key(5), buffer=buffer)
        whole = taken(loader, 0, 13)
        for first in range(13):
            assert taken(loader, first, 13 - first) == whole[first:]
    loader = StreamLoader(Counting(13), 3, key=None)
    whole = taken(loader, 0, 9)
    assert whole[4:6] == [[0, 1, 2], [3, 4, 5]]
    for first in range(9):
        assert taken(loader, first, 9 - first) == whole[first:]


def test_no_example_comes_before_the_buffer_has_seen_it():
    rows = flat(taken(StreamLoader(Counting(60), 1, key=jax.random.key(1), buffer=8), 0, 60))
    assert all(row < place + 8 for place, row in enumerate(rows))
    assert rows != sorted(rows)


def test_a_buffer_of_all_examples_makes_every_permutation_about_as_often_as_another():
    """All 24 orders of 4 examples in 480 epochs: chi squared of 23 degrees of freedom is below its 99.9 % point."""
    loader = StreamLoader(Counting(4), 4, key=jax.random.key(2), buffer=4)
    _, counts = np.unique(np.array(taken(loader, 0, 480)), axis=0, return_counts=True)
    assert len(counts) == 24
    assert np.sum((counts - 20) ** 2 / 20) < 49.7


def test_epochs_come_in_different_orders_and_one_key_gives_one_order():
    loaders = [StreamLoader(Counting(12), 12, key=jax.random.key(seed)) for seed in (0, 0, 1)]
    (a, later), (b, _), (c, _) = (taken(loader, 0, 2) for loader in loaders)
    assert a == b
    assert a not in (later, c)


def test_a_position_is_found_without_reading_what_lies_before_the_oldest_example_held():
    stream = Counting(1000)
    taken(StreamLoader(stream, 10, key=jax.random.key(0), buffer=5), 90, 1)
    assert min(stream.read) > 800
    stream = Counting(1000)
    taken(StreamLoader(stream, 10, key=None), 90, 1)
    assert min(stream.read) == 900


def test_inputs_stay_with_their_targets_and_none_stays_none():
    inputs, targets = next(StreamLoader(Counting(13), 5, key=jax.random.key(0)).batches())
    assert inputs.shape == (5, 3)
    assert np.array_equal(targets, -inputs[:, 0])
    assert next(StreamLoader(Counting(13, labelled=False), 5, key=jax.random.key(0)).batches())[1] is None


def test_once_gives_every_example_in_its_own_order():
    given = [inputs[:, 0].tolist() for inputs, _ in StreamLoader(Counting(13), 5, key=jax.random.key(0)).once()]
    assert given == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9], [10, 11, 12]]


def test_fingerprint_sees_the_stream_the_batch_the_key_and_the_buffer():
    key = jax.random.key(0)
    loaders = [
        StreamLoader(Counting(13), 3, key=key, buffer=4),
        StreamLoader(Counting(12), 3, key=key, buffer=4),
        StreamLoader(Counting(13), 2, key=key, buffer=4),
        StreamLoader(Counting(13), 3, key=None, buffer=4),
        StreamLoader(Counting(13), 3, key=key, buffer=5),
    ]
    assert len({loader.fingerprint() for loader in loaders}) == 5


def test_a_stream_loader_refuses_a_buffer_below_1_and_what_is_no_stream():
    with pytest.raises(ValueError, match=r"`buffer` \(=0\) must be 1 or more: choose how many"):
        StreamLoader(Counting(3), 1, key=None, buffer=0)
    with pytest.raises(ContractError, match="stream"):
        StreamLoader(DataSet(np.zeros(3)), 1, key=None)  # pyright: ignore[reportArgumentType]
