"""Gradient descent."""

import optax
import pytest

from matrinox.train import SGD, Constant, Momentum

OPTIONS = {"learning_rate": 0.1, "clip": None, "scheduler": Constant()}


def test_sgd_equals_optax(model, same_steps):
    same_steps(SGD(**OPTIONS).build(10), optax.sgd(0.1), model)


@pytest.mark.parametrize("nesterov", [False, True])
def test_momentum_equals_optax(model, same_steps, nesterov):
    found = Momentum(**OPTIONS, momentum=0.8, nesterov=nesterov)
    same_steps(found.build(10), optax.sgd(0.1, momentum=0.8, nesterov=nesterov), model)


def test_momentum_is_nine_tenths_where_nothing_is_said():
    assert Momentum().momentum == 0.9


def test_a_momentum_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"`momentum` \(=1.0\) must be from 0 to below 1: it is what stays"):
        Momentum(momentum=1.0)
