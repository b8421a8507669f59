"""Schedules."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from matrinox.contract import ContractError
from matrinox.train import (
    Constant,
    Cosine,
    Exponential,
    Linear,
    MultiStep,
    OneCycle,
    StepDecay,
    WarmupStableDecay,
)

EVERY = {
    "constant": Constant(),
    "linear": Linear(),
    "cosine": Cosine(),
    "step decay": StepDecay(every=2),
    "multi-step": MultiStep(at=(0.5, 0.75)),
    "exponential": Exponential(factor=0.9),
    "warm-up, stable, decay": WarmupStableDecay(),
    "one cycle": OneCycle(),
}


def rates(scheduler, steps, **options):
    """At every step of a run, and at its end."""
    found = scheduler.build(0.5, steps, **options)(jnp.arange(101))
    return np.broadcast_to(np.asarray(found), 101)[: steps + 1]


def by_step(rate, steps):
    return 0.5 * np.array([rate(step) for step in range(steps + 1)])


@pytest.mark.parametrize(
    ("scheduler", "due"),
    [
        (Constant(), lambda i: 1),
        (Linear(end=0.2), lambda i: 1 - 0.8 * i / 20),
        (Cosine(end=0.2), lambda i: 0.2 + 0.8 * (1 + math.cos(math.pi * i / 20)) / 2),
        (StepDecay(every=6, factor=0.5, per="step"), lambda i: 0.5 ** (i // 6)),
        (StepDecay(every=0.3, factor=0.5, per="step"), lambda i: 0.5 ** (i // 6)),
        (MultiStep(at=(5, 12), per="step"), lambda i: 0.1 ** ((i >= 5) + (i >= 12))),
        (MultiStep(at=(0.25, 0.6), per="step"), lambda i: 0.1 ** ((i >= 5) + (i >= 12))),
        (Exponential(factor=0.9, per="step"), lambda i: 0.9**i),
        (WarmupStableDecay(warmup=0, decay=5, end=0.1), lambda i: 1 if i < 15 else 1 - 0.9 * (i - 15) / 5),
        (OneCycle(warmup=0, end=4.0), lambda i: 0.01 + 0.99 * (1 + math.cos(math.pi * i / 20)) / 2),
    ],
    ids=[
        "constant",
        "linear",
        "cosine",
        "step decay",
        "step decay by share",
        "multi-step",
        "multi-step by shares",
        "exponential",
        "warm-up, stable, decay",
        "one cycle",
    ],
)
def test_a_schedule_follows_its_formula(scheduler, due):
    assert rates(scheduler, 20) == pytest.approx(by_step(due, 20), rel=1e-5, abs=1e-7)


def test_a_warmup_rises_linearly_to_the_peak_and_the_rest_follows_behind_it():
    found = rates(Cosine(warmup=0.2), 100)
    assert found[:21] == pytest.approx(0.5 * np.arange(21) / 20, abs=1e-6)
    assert found[20:] == pytest.approx(0.25 * (1 + np.cos(np.pi * np.arange(81) / 80)), abs=1e-6)
    assert found.tolist() == rates(Cosine(warmup=20), 100).tolist()
    due = optax.warmup_cosine_decay_schedule(0.0, 0.5, 20, 100)(jnp.arange(101))
    assert found.tolist() == np.asarray(due).tolist()


def test_places_of_a_multi_step_count_from_the_start_of_the_run():
    found = rates(MultiStep(warmup=4, at=(3, 10), per="step"), 20)
    assert found[:4] == pytest.approx(0.5 * np.arange(4) / 4)
    assert found[4:] == pytest.approx(0.5 * 0.1 ** (1.0 + (np.arange(4, 21) >= 10)))


def test_one_cycle_equals_optax():
    found, due = rates(OneCycle(), 50), jax.vmap(optax.cosine_onecycle_schedule(50, 0.5))(jnp.arange(51))
    assert found == pytest.approx(np.asarray(due), rel=1e-4, abs=1e-7)
    assert found[[0, 15, 50]] == pytest.approx([0.5 / 25, 0.5, 0.5 / 25 / 1e4], rel=1e-2)


def test_warmup_stable_decay_is_a_trapezium():
    found = rates(WarmupStableDecay(warmup=0.1, decay=0.2), 100)
    due = np.interp(np.arange(101), [0, 10, 80, 100], [0, 0.5, 0.5, 0])
    assert found == pytest.approx(due, abs=1e-6)


@pytest.mark.parametrize("scheduler", EVERY.values(), ids=EVERY)
def test_by_the_epoch_a_rate_is_that_of_a_step_for_each_epoch_and_constant_within_it(scheduler):
    """Of four epochs of five steps, the last of which is cut short."""
    by_epoch, by_step = (type(scheduler)(**{**vars(scheduler), "per": per, "warmup": 0}) for per in ("epoch", "step"))
    schedule, due = by_epoch.build(0.5, 18, steps_per_epoch=5), by_step.build(0.5, 4)
    assert [float(schedule(step)) for step in range(18)] == [float(due(step // 5)) for step in range(18)]
    assert float(jax.jit(schedule)(jnp.int32(12))) == pytest.approx(float(due(2)), rel=1e-6)


def test_a_warmup_by_the_epoch_wastes_no_epoch_at_zero():
    found = rates(Constant(warmup=2, per="epoch"), 20, steps_per_epoch=5)
    assert found == pytest.approx(0.5 * np.repeat([1 / 3, 2 / 3, 1, 1, 1], 5)[:21])


@pytest.mark.parametrize("scheduler", EVERY.values(), ids=EVERY)
def test_a_run_of_a_few_steps_has_finite_rates_and_steps(scheduler):
    short = type(scheduler)(**{**vars(scheduler), "per": "step", "warmup": 0.7})
    if isinstance(scheduler, WarmupStableDecay):
        short = WarmupStableDecay(warmup=50, decay=50)
    for steps in (1, 2, 3):
        found = rates(short, steps)
        assert np.isfinite(found).all()
        assert (found >= 0).all()
        assert found.max() > 0


@pytest.mark.parametrize("scheduler", [Linear(warmup=0.9), Cosine(warmup=0.9), WarmupStableDecay(warmup=0.7)], ids=repr)
def test_what_falls_to_zero_is_there_at_the_end_however_short_the_run(scheduler):
    assert [rates(scheduler, steps)[-1] for steps in (1, 2, 3)] == pytest.approx([0, 0, 0], abs=1e-7)


@pytest.mark.parametrize(
    ("kind", "setting", "match"),
    [
        (Cosine, {"warmup": 1.0}, r"`warmup` \(=1.0\) must be from 0 and below 1: as a float it is a share"),
        (Cosine, {"warmup": -1}, r"`warmup` \(=-1\) must be at least 0: it counts steps or epochs"),
        (Cosine, {"warmup": "a"}, r"`Cosine.warmup` is 'a', not"),
        (Cosine, {"per": "steps"}, r"`Cosine.per` is 'steps', not one of 'step', 'epoch'"),
        (Linear, {"end": 1.5}, r"`end` \(=1.5\) must be from 0 to 1: it is a share of the peak"),
        (StepDecay, {"every": 0}, r"`every` \(=0\) must be at least 1"),
        (StepDecay, {"every": 0.0}, r"`every` \(=0.0\) must be above 0 and below 1"),
        (StepDecay, {"every": 1, "factor": 0.0}, r"`factor` \(=0.0\) must be positive and finite"),
        (MultiStep, {"at": ()}, r"`at` \(=\(\)\) must rise"),
        (MultiStep, {"at": (5, 5)}, r"`at` \(=\(5, 5\)\) must rise"),
        (MultiStep, {"at": (0.5, 6)}, r"must rise, all integers or all shares: write such as \(30, 60\)"),
        (MultiStep, {"at": (1,), "factor": -1.0}, r"`factor` \(=-1.0\) must be positive"),
        (Exponential, {"factor": math.inf}, r"`factor` \(=inf\) must be positive and finite"),
        (WarmupStableDecay, {"decay": 0}, r"`decay` \(=0\) must be at least 1"),
        (WarmupStableDecay, {"warmup": 0.5, "decay": 0.6}, r"`warmup` \(=0.5\) and `decay` \(=0.6\) must be 1 or less"),
        (OneCycle, {"start": 0.5}, r"`start` \(=0.5\) must be finite and at least 1: it is a divisor"),
        (OneCycle, {"end": math.nan}, r"`end` \(=nan\) must be finite and at least 1"),
    ],
)
def test_settings_out_of_range_are_refused(kind, setting, match):
    with pytest.raises(ValueError, match=match):
        kind(**setting)


def test_a_run_without_a_length_is_refused():
    with pytest.raises(ValueError, match=r"`steps` \(=0\) must be at least 1: a schedule needs a length"):
        Cosine().build(0.5, 0)
    with pytest.raises(ValueError, match=r"`steps_per_epoch` \(=0\) must be at least 1"):
        Cosine(per="epoch").build(0.5, 10, steps_per_epoch=0)
    with pytest.raises(ContractError, match=r"build got steps.* 2\.5 .*it takes an int"):
        Cosine().build(0.5, 2.5)  # pyright: ignore[reportArgumentType]
