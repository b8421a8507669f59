"""The minibatches of a run."""

import itertools

import jax
import numpy as np
import pytest

from matrinox.data import DataSet, Loader, NpyFiles, minibatches
from matrinox.train.feed import Feed

KEY = jax.random.key(0)


class Counting(Loader):
    """Three minibatches of two in an epoch: the numbers from 0 on."""

    name, batch = "counting", 2

    def __init__(self):
        self.begun = []

    def __len__(self):
        return 3

    def batches(self, first=0):
        self.begun.append(first)
        for position in itertools.count(first):
            yield np.array([2 * position, 2 * position + 1]), None

    def once(self):
        return iter(())

    def fingerprint(self):
        return "counting"


def test_the_minibatches_of_examples_are_those_of_their_order_filled_up():
    data = DataSet(np.zeros((9, 1)), np.zeros(9, int))
    feed = Feed(data, batch=2, accumulate=2, most=3, key=KEY)
    due = np.asarray(minibatches(KEY, 9, 2, first=3, count=4)).reshape(2, 4)
    drawn = feed.draw(3, 2)
    assert feed.per_epoch == 4
    assert drawn.shape == (3, 4)
    assert drawn[:2].tolist() == due.tolist()


def test_a_loader_is_read_on_where_it_was_left_and_begun_anew_elsewhere():
    loader = Counting()
    feed = Feed(loader, batch=99, accumulate=2, most=2, key=KEY)
    inputs, targets = feed.draw(0, 1)
    assert inputs.tolist() == [[0, 1, 2, 3], [0, 1, 2, 3]]
    assert targets is None
    assert feed.draw(2, 2)[0].tolist() == [[4, 5, 6, 7], [8, 9, 10, 11]]
    assert feed.draw(1, 1)[0][0].tolist() == [2, 3, 4, 5]
    assert loader.begun == [0, 1]
    assert feed.per_epoch == 3


def test_a_feed_refuses_a_minibatch_that_no_epoch_fills(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((9, 1)))
    for data in (DataSet(np.zeros((9, 1))), NpyFiles(tmp_path / "x.npy")):
        with pytest.raises(ValueError, match=r"`batch` \(=10\) must be between 1 and the number of examples \(=9\)"):
            Feed(data, batch=10, accumulate=1, key=KEY)
    short = Counting()
    short.__class__ = type("Short", (Counting,), {"__len__": lambda self: 0})
    with pytest.raises(ValueError, match=r"`train` \(a loader\) must have at least one full minibatch"):
        Feed(short, batch=10, accumulate=1, key=KEY)


def test_epochs_end_behind_the_step_that_takes_their_last_minibatch():
    """Three minibatches an epoch, two a step: the second step takes the last of the first epoch and begins another."""
    feed = Feed(Counting(), batch=99, accumulate=2, key=KEY)
    assert [feed.step_of_epoch(epoch) for epoch in (1, 2, 3, 4)] == [2, 3, 5, 6]
    assert [feed.epoch_of(step) for step in (1, 2, 3, 4, 5, 6)] == [1, 1, 2, 3, 3, 4]


def test_a_feed_refuses_a_loader_that_ends_or_gives_several_shapes():
    class Short(Counting):
        def batches(self, first=0):
            return itertools.islice(super().batches(first), 3)

    with pytest.raises(ValueError, match=r"`train` \(=Short\('counting', .*ended before minibatch 4: its `batches`"):
        Feed(Short(), batch=2, accumulate=2, most=2, key=KEY).draw(0, 2)

    class Uneven(Counting):
        def batches(self, first=0):
            return ((np.zeros((2 - position % 2, 5)), None) for position in itertools.count(first))

    with pytest.raises(ValueError, match=r"gave minibatches of shapes \(2, 5\) and \(1, 5\), which must be of one sha"):
        Feed(Uneven(), batch=2, accumulate=2, most=2, key=KEY).draw(0, 2)
