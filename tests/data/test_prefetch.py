"""Reading ahead."""

import gc
import itertools
import threading

import jax
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import DataSet, Loader, RowLoader, prefetch


class Slow(Loader):
    """Counts what is read; raises at `broken`."""

    name, batch = "slow", 1

    def __init__(self, broken=None):
        self.broken, self.closed = broken, threading.Event()
        self.read = threading.Semaphore(0)
        self.reads = 0

    def __len__(self):
        return 100

    def batches(self, first=0):
        try:
            for number in itertools.count(first):
                if number == self.broken:
                    raise OSError(f"minibatch {number} cannot be read")
                self.reads += 1
                self.read.release()
                yield np.array([number]), None
        finally:
            self.closed.set()

    def once(self):
        return itertools.islice(self.batches(), 3)

    def fingerprint(self):
        return "slow"


def readers():
    return [thread for thread in threading.enumerate() if thread.name == "prefetch"]


def test_minibatches_read_ahead_are_those_of_the_loader():
    loader = RowLoader(DataSet(np.arange(7)), 2, key=jax.random.key(0))
    ahead = prefetch(loader)
    assert (len(ahead), ahead.batch, ahead.name) == (3, 2, "data")
    assert ahead.fingerprint() == loader.fingerprint()
    for mine, theirs in zip(itertools.islice(ahead.batches(2), 5), loader.batches(2), strict=False):
        assert np.array_equal(mine[0], theirs[0])
    assert [inputs.tolist() for inputs, _ in ahead.once()] == [[0, 1], [2, 3], [4, 5], [6]]
    assert readers() == []


def test_as_many_minibatches_are_read_ahead_as_depth_says():
    loader = Slow()
    iterator = prefetch(loader, depth=3).batches()
    next(iterator)
    # One was given, three wait.
    for _ in range(4):
        assert loader.read.acquire(timeout=10)
    assert not loader.read.acquire(timeout=0.05)
    assert loader.reads == 4


def test_an_exception_of_the_reader_comes_where_its_minibatch_was_due():
    iterator = prefetch(Slow(broken=2)).batches()
    assert [int(next(iterator)[0][0]) for _ in range(2)] == [0, 1]
    with pytest.raises(OSError, match="minibatch 2 cannot be read"):
        next(iterator)
    assert readers() == []
    with pytest.raises(StopIteration):
        next(iterator)


def test_a_position_that_the_loader_refuses_is_refused_at_once():
    with pytest.raises(ValueError, match=r"`first` \(=-1\) must be 0 or more"):
        prefetch(RowLoader(DataSet(np.arange(7)), 2, key=None)).batches(-1)


@pytest.mark.parametrize("how", ["closed", "dropped", "left"])
def test_no_thread_stays_behind_an_iterator_that_is_given_up(how):
    loader = Slow()
    iterator = prefetch(loader).batches()
    next(iterator)
    assert len(readers()) == 1
    if how == "closed":
        iterator.close()
    elif how == "dropped":
        del iterator
        gc.collect()
    else:
        with pytest.raises(KeyboardInterrupt):
            interrupted(iterator)
        del iterator
    assert readers() == []
    assert loader.closed.is_set()


def interrupted(iterator):
    for _ in iterator:
        raise KeyboardInterrupt


def test_no_thread_starts_before_the_first_minibatch_is_asked_for():
    iterator = prefetch(Slow()).batches()
    assert readers() == []
    del iterator


def test_prefetch_refuses_a_depth_below_1_and_what_is_no_loader():
    with pytest.raises(ValueError, match=r"`depth` \(=0\) must be 1 or more: choose how many"):
        prefetch(Slow(), depth=0)
    with pytest.raises(ContractError, match="loader"):
        prefetch(DataSet(np.zeros(3)))  # pyright: ignore[reportArgumentType]
