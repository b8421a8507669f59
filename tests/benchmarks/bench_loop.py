"""Steps per second of training: many steps in one compiled call against one step in each.

Once as `fit` takes them, `steps_per_call=1` against a round in a call; once as bare compiled steps in a loop of Python,
which does nothing but hand in a minibatch and read the loss. Run by `pytest -s tests/benchmarks/bench_loop.py`.
"""

import dataclasses
import time

import equinox as eqx
import jax
import numpy as np
import pytest

from matrinox.data import minibatches
from matrinox.train import Hooks, Stepper, fit
from matrinox.zoo import create, entry

STEPS, TURNS = 38, 7


@pytest.mark.parametrize("name", ["mlp-digits", "cnn-digits"])
def bench_many_steps_in_one_call(name):
    """Both ways in turn, so that what else the machine does falls on both; the median of their ratios."""
    row = entry(name)
    data = row.data.splits(0).train
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
            losses.append(float(loss))
        return state, np.array(losses)

    (_, losses), (_, due) = many(), one_by_one()
    assert losses == pytest.approx(due, rel=1e-3)
    report(f"{name}, bare steps", [seconds_of(many, one_by_one) for _ in range(TURNS)], STEPS)


@pytest.mark.parametrize("name", ["mlp-digits", "cnn-digits"])
def bench_many_steps_in_one_call_of_fit(name):
    """Between the first round, which compiles, and the last; hooks are told of every step either way."""
    row, rounds = entry(name), 9
    data, model = row.data.splits(0).train, create(name, key=jax.random.key(0))
    recipe = dataclasses.replace(row.recipe, steps=rounds * STEPS, steps_per_round=STEPS)

    def seconds(steps_per_call):
        told = []
        hooks = Hooks(on_step=lambda now: None, on_round=lambda model, now: told.append(time.perf_counter()))
        settings = dataclasses.replace(recipe, steps_per_call=steps_per_call)
        fit(model, data, None, settings, key=jax.random.key(1), hooks=hooks)
        return told[-1] - told[0]

    turns = [(seconds(None), seconds(1)) for _ in range(3)]
    report(f"{name}, by fit", turns, (rounds - 1) * STEPS)


def seconds_of(*ways):
    """Of each, one behind the other, so that what else the machine does falls on all."""
    seconds = []
    for way in ways:
        began = time.perf_counter()
        way()
        seconds.append(time.perf_counter() - began)
    return seconds


def report(name, turns, steps):
    rates = steps / np.array(turns)
    fast, slow = np.median(rates, axis=0)
    ratio = np.median(rates[:, 0] / rates[:, 1])
    print(f"\n{name}: {fast:.0f} steps/s in one call, {slow:.0f} steps/s one by one: {ratio:.2f} ×")
