"""The order of minibatches."""

import jax
import pytest

from matrinox.data import minibatches


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


def test_an_epoch_is_put_into_order_once_however_often_it_is_asked_for(monkeypatch):
    sorted_, permutation = [], jax.random.permutation
    monkeypatch.setattr(jax.random, "permutation", lambda *given: sorted_.append(given[1]) or permutation(*given))
    for first in range(6):
        minibatches(jax.random.key(77), 12, 4, first=first, count=1)
    assert sorted_ == [12, 12]
    minibatches(jax.random.key(77, impl="rbg"), 12, 4, count=1)
    minibatches(jax.random.key(77), 13, 4, first=3, count=1)
    assert sorted_ == [12, 12, 12, 13]


def test_no_minibatches_are_an_empty_array_of_their_shape():
    assert minibatches(jax.random.key(0), 12, 4, first=7, count=0).shape == (0, 4)


@pytest.mark.parametrize("batch", [0, 13])
def test_minibatches_refuse_a_batch_that_an_epoch_cannot_fill(batch):
    with pytest.raises(ValueError, match=rf"`batch` \(={batch}\) must be between 1 and `examples` \(=12\)"):
        minibatches(jax.random.key(0), 12, batch, count=1)


def test_minibatches_refuse_a_negative_step():
    with pytest.raises(ValueError, match=r"`first` \(=-1\) must be 0 or more"):
        minibatches(jax.random.key(0), 12, 4, first=-1, count=1)
    with pytest.raises(ValueError, match=r"`count` \(=-1\) must be 0 or more"):
        minibatches(jax.random.key(0), 12, 4, count=-1)
