"""What every loader refuses."""

import jax
import numpy as np
import pytest

from matrinox.data import DataSet, Loader, RowLoader


def test_a_loader_refuses_a_batch_below_1():
    with pytest.raises(ValueError, match=r"`batch` \(=0\) must be 1 or more: choose how many"):
        RowLoader(DataSet(np.zeros(3)), 0, key=None)


def test_minibatches_refuse_a_batch_that_no_epoch_fills():
    loader = RowLoader(DataSet(np.zeros(3)), 4, key=None)
    assert len(loader) == 0
    with pytest.raises(ValueError, match=r"`batch` \(=4\) must be between 1 and the number of examples \(=3\)"):
        loader.batches()


def test_minibatches_refuse_a_negative_position():
    with pytest.raises(ValueError, match=r"`first` \(=-1\) must be 0 or more: count minibatches from 0"):
        RowLoader(DataSet(np.zeros(3)), 1, key=None).batches(-1)


def test_a_key_of_the_older_kind_is_the_same_key():
    data = DataSet(np.arange(8))
    new, old = (RowLoader(data, 4, key=make(7)) for make in (jax.random.key, jax.random.PRNGKey))
    assert np.array_equal(next(new.batches())[0], next(old.batches())[0])
    assert new.fingerprint() == old.fingerprint()


def test_what_is_no_minibatch_is_told_by_the_loader_that_gave_it():
    class Mine(Loader):
        name, batch = "any", 2

        def __init__(self, given):
            self.given = given

        def __len__(self):
            return 1

        def batches(self, first=0):
            return self.given

        def once(self):
            return self.given

        def fingerprint(self):
            return ""

    pair = np.zeros((2, 3)), None
    assert next(Mine(iter([pair])).batches()) is pair
    who = r" of Mine\('any', 1 minibatches of 2\) gave "
    for given, kind, due in (
        (None, TypeError, f"`once`{who}None, which must be an iterator of pairs"),
        ([{"x": 1}], TypeError, f"`once`{who}a minibatch of type dict, which must be a pair .*: yield `inputs, None`"),
        ([np.zeros((2, 2))], TypeError, f"`once`{who}a minibatch of type ndarray"),
        ([(1, 2, 3)], TypeError, f"`once`{who}a minibatch of 3 parts"),
        (
            [(pair[0], np.zeros(3))],
            ValueError,
            rf"{who}a minibatch of arrays \(2, 3\), \(3,\), which must be of as many",
        ),
        ([(pair[0], 7)], ValueError, r"arrays \(2, 3\), \(\), which must be of as many examples each: let their first"),
    ):
        with pytest.raises(kind, match=due):
            next(Mine(given).once())
    with pytest.raises(TypeError, match=f"`batches`{who}None"):
        Mine(None).batches()


def test_a_loader_of_ones_own_must_say_its_name_and_batch():
    class Silent(Loader):
        def __init__(self, **said):
            vars(self).update(said)

        def __len__(self):
            return 1

        def batches(self, first=0):
            return iter(())

        once = batches

        def fingerprint(self):
            return ""

    for said, due in (
        ({"name": "x"}, r"`batch` \(=None\) of Silent must be an integer: set it in the class or in `__init__`"),
        ({"name": "x", "batch": "2"}, r"`batch` \(='2'\) of Silent must be an integer"),
        ({"batch": 2}, r"`name` \(=None\) of Silent must be a text: set it in the class"),
    ):
        with pytest.raises(TypeError, match=due):
            Silent(**said)
    assert Silent(name="x", batch=np.int64(2)).batch == 2
