"""Optimisers."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.train import AdamW


def test_schedule_rises_linearly_to_the_peak_and_falls_along_a_cosine():
    schedule = AdamW(learning_rate=0.5, warmup=0.2).schedule(100)
    rates = np.array([schedule(step) for step in range(101)])
    assert rates[:21] == pytest.approx(0.5 * np.arange(21) / 20, abs=1e-6)
    assert rates[20:] == pytest.approx(0.25 * (1 + np.cos(np.pi * np.arange(81) / 80)), abs=1e-6)


@pytest.mark.parametrize("steps", [1, 2, 3])
def test_schedule_of_a_few_steps_is_finite_and_ends_at_zero(steps):
    schedule = AdamW(learning_rate=0.5, warmup=0.9).schedule(steps)
    assert np.isfinite([schedule(step) for step in range(steps + 1)]).all()
    assert float(schedule(steps)) == 0


def test_schedule_without_warmup_starts_at_the_peak():
    assert float(AdamW(learning_rate=0.5, warmup=0.0).schedule(10)(0)) == 0.5


def test_weight_decay_shrinks_weights_and_leaves_biases():
    layer = eqx.nn.Linear(3, 2, key=jax.random.key(0))
    optimiser = AdamW(learning_rate=0.1, weight_decay=0.5, warmup=0.0).build(10)
    still = jax.tree.map(jnp.zeros_like, layer)
    updates, _ = optimiser.update(still, optimiser.init(layer), layer)
    after = eqx.apply_updates(layer, updates)
    assert after.weight == pytest.approx(np.asarray(layer.weight) * (1 - 0.1 * 0.5), rel=1e-6)
    assert jnp.array_equal(after.bias, layer.bias)


def test_a_large_gradient_counts_as_one_of_norm_clip():
    optimiser = AdamW(clip=1.0, weight_decay=0.0).build(10)
    weight = {"w": jnp.zeros(2)}

    def moments(gradient):
        state = optimiser.update({"w": jnp.array(gradient)}, optimiser.init(weight), weight)[1]
        return jax.tree.leaves(state)

    for clipped, unit in zip(moments([300.0, 400.0]), moments([0.6, 0.8]), strict=True):
        assert clipped == pytest.approx(np.asarray(unit), rel=1e-5)


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"learning_rate": 0.0}, r"`learning_rate` \(=0.0\) must be positive"),
        ({"clip": -1.0}, r"`clip` \(=-1.0\) must be positive"),
        ({"weight_decay": -0.1}, r"`weight_decay` \(=-0.1\) must be 0 or more"),
        ({"learning_rate": "a"}, r"`AdamW.learning_rate` is 'a', not a number"),
        ({"clip": None}, r"`AdamW.clip` is None, not a number"),
        ({"warmup": 1.0}, r"`warmup` \(=1.0\) must be from 0 to below 1"),
    ],
)
def test_settings_out_of_range_are_refused(setting, match):
    with pytest.raises(ValueError, match=match):
        AdamW(**setting)


def test_a_schedule_of_no_steps_is_refused():
    with pytest.raises(ValueError, match=r"`steps` \(=0\) must be at least 1"):
        AdamW().build(0)
    with pytest.raises(ContractError, match=r"build got steps.* 2\.5 .*it takes an int"):
        AdamW().build(2.5)  # pyright: ignore[reportArgumentType]
