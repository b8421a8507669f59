"""Steps per second of training: many steps in one compiled call against one step in each, as a loop in Python has it.

Run by `pytest -s tests/benchmarks/bench_loop.py`.
"""

import time

import equinox as eqx
import jax
import numpy as np
import pytest

from matrinox.data import minibatches
from matrinox.train import Stepper
from matrinox.zoo import create, entry
from matrinox.zoo.runs import splits_of

STEPS, TURNS = 38, 7


@pytest.mark.parametrize("name", ["mlp-digits", "cnn-digits"])
def bench_many_steps_in_one_call(name):
    """Both ways in turn, so that what else the machine does falls on both; the median of their ratios."""
    row = entry(name)
    data = splits_of(row.data).train
    stepper = Stepper.of(row.recipe, STEPS)
    start = stepper.start(create(name, key=jax.random.key(0)), key=jax.random.key(1))
    rows = minibatches(jax.random.key(2), len(data), row.recipe.batch, count=STEPS)
    one_step = eqx.filter_jit(lambda state, inputs, targets: stepper.step(state, inputs, targets))
    inputs, targets = np.asarray(data.inputs), np.asarray(data.targets)

    def many():
        state, taken = stepper.steps(start, data, rows, STEPS)
        return state, np.asarray(taken.loss)

    def one_by_one():
        state, losses = start, []
        for numbers in np.asarray(rows):
            state, loss, _ = one_step(state, inputs[numbers], targets[numbers])
            losses.append(loss)
        return state, np.array([float(loss) for loss in losses])

    (_, losses), (_, due) = many(), one_by_one()
    assert losses == pytest.approx(due, rel=1e-3)
    seconds = []
    for _ in range(TURNS):
        for way in (many, one_by_one):
            began = time.perf_counter()
            way()
            seconds.append(time.perf_counter() - began)
    rates = STEPS / np.array(seconds).reshape(TURNS, 2)
    ratio = np.median(rates[:, 0] / rates[:, 1])
    fast, slow = np.median(rates, axis=0)
    print(f"\n{name}: {fast:.0f} steps/s in one call, {slow:.0f} steps/s one by one: {ratio:.2f} ×")
