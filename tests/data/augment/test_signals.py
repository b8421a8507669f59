"""Augmentation of signals."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import Gain, Roll, Stretch, Tilt, roll_signals, scale_signals, stretch_signals, tilt_signals
from matrinox.train.recipe import Recipe

KEY = jax.random.key(1)
# One program each, in place of one for every operation.
rolled = jax.jit(roll_signals, static_argnames="places")
stretched = jax.jit(stretch_signals, static_argnames="factor")
tilted = jax.jit(tilt_signals, static_argnames="rise")
scaled = jax.jit(scale_signals, static_argnames="spread")


@pytest.fixture(scope="module")
def signals():
    """200 signals of 9 places, no number of which is 0 or equals another."""
    return jax.random.uniform(jax.random.key(0), (200, 9), minval=1.0, maxval=2.0)


def test_roll_signals_moves_each_signal_in_a_circle(signals):
    """Every result is one of the five moves of its signal, done by NumPy; all five turn up."""
    moved = np.asarray(rolled(KEY, signals, places=2))
    seen = set()
    for signal, result in zip(np.asarray(signals), moved, strict=True):
        match = [move for move in range(-2, 3) if np.array_equal(np.roll(signal, move), result)]
        assert len(match) == 1
        seen.add(match[0])
    assert len(seen) == 5


def test_stretch_signals_is_numpys_interpolation_about_the_middle(signals):
    """A straight line shows by how much each was stretched; the same key stretches other signals alike."""
    ramp = jnp.broadcast_to(jnp.arange(9.0) - 4, signals.shape)
    slopes = np.asarray(stretched(KEY, ramp, factor=1.5), np.float64)[:, 5]
    lengths = 1 / slopes
    assert lengths.min() > 1 / 1.5
    assert lengths.max() < 1.5
    assert np.log(lengths).mean() == pytest.approx(0, abs=0.05)
    assert np.log(lengths).std() == pytest.approx(np.log(1.5) / np.sqrt(3), rel=0.1)
    due = [
        np.interp(4 + (np.arange(9) - 4) * slope, np.arange(9), signal)
        for slope, signal in zip(slopes, signals, strict=True)
    ]
    np.testing.assert_allclose(stretched(KEY, signals, factor=1.5), due, rtol=1e-5)


def test_tilt_signals_adds_a_line_through_the_middle(signals):
    added = np.asarray(tilted(KEY, signals, rise=0.5) - signals, np.float64)
    rises = added[:, -1] - added[:, 0]
    np.testing.assert_allclose(added, rises[:, None] * np.linspace(-0.5, 0.5, 9), atol=1e-6)
    assert np.abs(rises).max() < 0.5
    assert rises.std() == pytest.approx(0.5 / np.sqrt(3), rel=0.1)


def test_scale_signals_multiplies_each_signal_by_one_number(signals):
    gains = np.asarray(scaled(KEY, signals, spread=0.2) / signals, np.float64)
    np.testing.assert_allclose(gains, np.broadcast_to(gains[:, :1], gains.shape), rtol=1e-6)
    assert gains.min() > 0.8
    assert gains.max() < 1.2
    assert gains[:, 0].std() == pytest.approx(0.2 / np.sqrt(3), rel=0.1)


CONFIGS = {
    "roll": (Roll(3), lambda key, x: rolled(key, x, places=3), Roll(0)),
    "stretch": (Stretch(1.3), lambda key, x: stretched(key, x, factor=1.3), Stretch(1.0)),
    "tilt": (Tilt(0.7), lambda key, x: tilted(key, x, rise=0.7), Tilt(0.0)),
    "gain": (Gain(0.3), lambda key, x: scaled(key, x, spread=0.3), Gain(0.0)),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_does_what_its_function_does_by_example_and_nothing_at_its_least(name, signals):
    config, function, least = CONFIGS[name]
    compiled = jax.jit(config)
    given = compiled(KEY, signals)
    np.testing.assert_allclose(given, function(KEY, signals), rtol=1e-6)
    assert not jnp.array_equal(given, compiled(jax.random.key(2), signals))
    same = compiled(KEY, jnp.broadcast_to(signals[:1], signals.shape))
    assert len({each.tobytes() for each in np.asarray(same)}) > 1
    np.testing.assert_allclose(jax.jit(least)(KEY, signals), signals, rtol=1e-6)
    assert Recipe(steps=1, augment=(config,)).described()["augment"] == [
        {"kind": type(config).__name__, **dataclasses.asdict(config)}
    ]


@pytest.mark.parametrize("name", CONFIGS)
def test_signals_keep_batch_axes_and_dtype(name):
    config = jax.jit(CONFIGS[name][0])
    signals = jnp.arange(24, dtype=jnp.bfloat16).reshape(2, 3, 4)
    given = config(KEY, signals)
    assert (given.shape, given.dtype) == ((2, 3, 4), jnp.bfloat16)
    assert len({each.tobytes() for each in np.asarray(given.reshape(6, 4))}) == 6


def test_a_signal_without_an_axis_is_refused():
    for function in (roll_signals, stretch_signals, tilt_signals, scale_signals, Roll(), Stretch(), Tilt(), Gain()):
        with pytest.raises(ContractError, match=r"float32\[\]; it takes \(\*batch, t\)"):
            function(KEY, jnp.ones(()))


REFUSED = {
    "places": (roll_signals, Roll, (-1,), "must be 0 or more"),
    "factor": (stretch_signals, Stretch, (0.9, float("inf"), float("nan")), "must be 1 or more, and finite"),
    "rise": (tilt_signals, Tilt, (-0.1, float("inf"), float("nan")), "must be 0 or more, and finite"),
    "spread": (scale_signals, Gain, (-0.1, 1.0, float("nan")), "must be from 0 to below 1"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_values_out_of_range_are_refused(name):
    function, config, values, rule = REFUSED[name]
    for value in values:
        with pytest.raises(ValueError, match=rf"`{name}` \(={value}\) {rule}"):
            function(KEY, np.ones(8, np.float32), **{name: value})
        with pytest.raises(ValueError, match=rf"`{name}` \(={value}\) {rule}"):
            config(value)
    with pytest.raises(ValueError, match=rf"`{config.__name__}\.{name}` is 'much', not a"):
        config("much")
