"""Lion."""

import optax
import pytest

from matrinox.train import Constant, Lion


def test_lion_equals_optax(model, same_steps):
    found = Lion(0.01, b1=0.8, b2=0.95, clip=None, scheduler=Constant())
    same_steps(found.build(10), optax.lion(0.01, b1=0.8, b2=0.95, weight_decay=0.0), model)


def test_means_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"`b1` \(=1.5\) must be from 0 to below 1"):
        Lion(b1=1.5)
    with pytest.raises(ValueError, match=r"`b2` \(=-0.5\) must be from 0 to below 1"):
        Lion(b2=-0.5)
