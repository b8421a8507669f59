import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.train.task import Task
from matrinox.train.task.base import share


class Plain(Task):
    """What a user writes at least."""

    def loss(self, outputs, targets):
        return jnp.mean(outputs * targets)

    def tally(self, outputs, targets):
        return {"loss": jnp.sum(outputs * targets), "examples": jnp.asarray(outputs.size)}

    def report(self, tally):
        return {"loss": share(tally["loss"], tally["examples"])}


def test_a_task_of_ones_own_says_only_what_it_lowers_and_reports():
    task, x = Plain(), jnp.arange(3.0)
    assert task.prepare(x, None, key=jax.random.key(0)) == (x, None)
    assert task.predict(x) is x
    assert (task.headline, task.percent) == ("loss", False)
    assert task.report(task.tally(x, x)) == {"loss": 5 / 3}
    assert task.record(x, x) == {}
    assert not task.ascending


def test_a_task_that_keeps_nothing_of_each_example_says_so():
    with pytest.raises(
        ValueError, match="Plain keeps no records of which its loss could be made anew: give it `record`"
    ):
        Plain().headline_of({}, None)


def test_a_share_of_nothing_is_no_number():
    assert np.isnan(share(np.zeros(()), np.zeros(())))
    assert share(np.asarray(1), np.asarray(4)) == 0.25
