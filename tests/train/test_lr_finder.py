"""The learning-rate finder."""

import dataclasses
import sys

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.data import DataSet, RowLoader, load_splits
from matrinox.train import SGD, AdamW, Constant, Momentum, Recipe, fit, freeze
from matrinox.train.lr_finder import FoundRate, find_learning_rate
from matrinox.train.task.regression import Regression

KEY = jax.random.key(0)


@pytest.fixture(scope="module")
def digits():
    return load_splits("digits-features").train


@pytest.fixture(scope="module")
def network():
    """A hidden layer of four 4×4 neurons."""
    keys = jax.random.split(KEY)
    return nn.Sequential(
        [
            nn.Fold(n=4),
            nn.Dense(p=4, q=4, n=4, key=keys[0]),
            nn.ReLU(),
            nn.FlattenLinear(features=10, p=4, n=4, key=keys[1]),
        ]
    )


def of(losses, *, diverged=False):
    """As found at rates from 1e-4 to 1."""
    return FoundRate(np.geomspace(1e-4, 1.0, len(losses)), np.asarray(losses, float), diverged)


def test_the_suggestion_trains_better_than_a_hundredth_of_it_and_than_the_rate_that_diverges(digits, network):
    recipe = Recipe(steps=60, steps_per_round=20, optimiser=Momentum())
    before = jax.tree.map(lambda leaf: leaf.copy() if eqx.is_array(leaf) else leaf, network)
    found = find_learning_rate(network, digits, recipe, key=KEY)
    assert found.diverged
    assert eqx.tree_equal(network, before)

    def loss(rate):
        optimiser = dataclasses.replace(recipe.optimiser, learning_rate=float(rate))
        return fit(network, digits, None, dataclasses.replace(recipe, optimiser=optimiser), key=KEY).rounds[-1].loss

    good, small, large = (loss(rate) for rate in (found.suggestion, found.suggestion / 100, found.learning_rates[-1]))
    assert good < 0.5 * small
    assert good < 0.5 * large


def test_losses_are_those_of_gradient_descent_at_rates_that_grow_by_a_factor():
    """Worked out: y = w x, x = 1 and target 0, so that a step of rate r takes w to (1 − 2 r) w."""

    class Factor(eqx.Module):
        w: jax.Array

        def __call__(self, x):
            return self.w * x

    data = DataSet(np.ones((4, 1), np.float32), np.zeros((4, 1), np.float32), name="ones")
    optimiser = SGD(0.5, clip=None, scheduler=Constant())
    recipe = Recipe(steps=1, batch=4, task=Regression(), optimiser=optimiser)
    found = find_learning_rate(Factor(jnp.ones(())), data, recipe, key=KEY, lowest=0.01, highest=10.0, steps=20)
    rates = np.geomspace(0.01, 10.0, 20)
    w = np.concatenate([[1.0], np.cumprod(1 - 2 * rates)])
    assert found.learning_rates == pytest.approx(rates[: len(found.losses)])
    assert found.losses == pytest.approx(w[: len(found.losses)] ** 2, rel=1e-3, abs=1e-9)
    assert found.diverged


def test_a_loader_and_frozen_parts_go_as_in_fit(blobs, linear):
    model, loader = linear(2, 3), RowLoader(blobs, batch=8, key=KEY)
    recipe = Recipe(steps=1, optimiser=AdamW(), average=0.9)
    found = find_learning_rate(model, loader, recipe, key=KEY, steps=12, highest=1.0, frozen=freeze(model, "bias"))
    again = find_learning_rate(model, loader, recipe, key=KEY, steps=12, highest=1.0, frozen=freeze(model, "bias"))
    assert found.learning_rates == pytest.approx(np.geomspace(1e-6, 1.0, 12))
    assert found.losses.tolist() == again.losses.tolist()
    assert not found.diverged


def test_a_model_with_a_state_is_given_what_it_was_left_with(blobs):
    class Counting(eqx.Module):
        """Logits that are larger from call to call."""

        weight: jax.Array
        calls: eqx.nn.StateIndex

        def __call__(self, x, state):
            calls = state.get(self.calls) + 1
            return calls * x @ self.weight, state.set(self.calls, calls)

    model, state = eqx.nn.make_with_state(lambda: Counting(jnp.ones((2, 3)), eqx.nn.StateIndex(jnp.zeros(()))))()
    model = eqx.tree_at(lambda model: model.weight, model, jnp.asarray([[0.0, 1.0, 2.0], [0.0, 0.0, 1.0]]))
    recipe = Recipe(steps=1, batch=90, optimiser=SGD(clip=None))
    found = find_learning_rate(model, blobs, recipe, key=KEY, state=state, lowest=1e-9, highest=1e-8, steps=10)

    def loss(calls):
        logits = calls * np.asarray(blobs.inputs, np.float64) @ np.asarray(model.weight, np.float64)
        logits -= np.log(np.exp(logits).sum(-1, keepdims=True))
        return -logits[np.arange(90), np.asarray(blobs.targets)].mean()

    assert found.losses == pytest.approx([loss(calls) for calls in range(1, 11)], rel=1e-5)


def test_the_suggestion_is_a_tenth_of_the_rate_of_the_lowest_smoothed_loss():
    at = np.linspace(-4, 0, 81)
    found = of((at + 1) ** 2)
    assert found.suggestion == pytest.approx(1e-2)
    spike = found.losses.copy()
    spike[20] = -0.5
    assert of(spike).suggestion == pytest.approx(1e-2)
    assert of(spike).smoothed[20] == pytest.approx((spike[18:23]).mean())
    # Never below the lowest that was tried.
    assert of((at + 3.5) ** 2).suggestion == pytest.approx(1e-4)


def test_where_the_loss_fell_nowhere_nothing_is_suggested():
    with pytest.raises(ValueError, match=r"`learning_rates` \(from 0.0001 to 1\) hold none at which the loss fell"):
        _ = of(np.arange(20)).suggestion


def test_what_was_found_is_printed_without_arrays():
    falls = of((np.linspace(-4, 0, 41) + 1) ** 2, diverged=True)
    assert str(falls) == "FoundRate(suggestion 0.01: 41 steps at rates from 0.0001 to 1, where the loss diverged)"
    assert repr(of(np.arange(20))) == ("FoundRate(no rate at which the loss fell: 20 steps at rates from 0.0001 to 1)")


def test_the_plot_shows_losses_over_rates_and_the_suggestion_and_pyplot_knows_nothing_of_it(tmp_path):
    before, found = "matplotlib.pyplot" in sys.modules, of((np.linspace(-4, 0, 41) + 1) ** 2)
    (ax,) = found.plot().axes
    losses, smoothed, suggestion = ax.lines
    assert ax.get_xscale() == "log"
    assert losses.get_ydata().tolist() == found.losses.tolist()
    assert smoothed.get_ydata().tolist() == found.smoothed.tolist()
    assert suggestion.get_xdata()[0] == found.suggestion
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["suggestion 0.01"]
    assert len(of(np.arange(20)).plot().axes[0].lines) == 2
    found.save(tmp_path / "found.png")
    found.save(tmp_path / "found.svg")
    assert (tmp_path / "found.png").read_bytes().startswith(b"\x89PNG")
    assert b"<svg" in (tmp_path / "found.svg").read_bytes()
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_what_cannot_be_saved_leaves_the_older_file(tmp_path):
    found, path = of((np.linspace(-4, 0, 41) + 1) ** 2), tmp_path / "found.xyz"
    path.write_text("older")
    with pytest.raises(ValueError, match=r"Format 'xyz' is not supported"):
        found.save(path)
    assert path.read_text() == "older"
    with pytest.raises(FileNotFoundError):
        found.save(tmp_path / "none" / "found.png")


def test_without_matplotlib_the_plot_names_the_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'pip install "matrinox\[viz\]"'):
        of(np.arange(20)).plot()


@pytest.mark.parametrize(
    ("setting", "match"),
    [
        ({"lowest": 0.0}, r"`lowest` \(=0.0\) and `highest` \(=10.0\) must be 0 < lowest < highest"),
        ({"lowest": 1.0, "highest": 0.1}, r"`lowest` \(=1.0\) and `highest` \(=0.1\) must be"),
        ({"steps": 9}, r"`steps` \(=9\) must be at least 10: 100 are common"),
    ],
)
def test_settings_out_of_range_are_refused(blobs, linear, setting, match):
    with pytest.raises(ValueError, match=match):
        find_learning_rate(linear(2, 3), blobs, Recipe(steps=1), key=KEY, **setting)


def test_inputs_that_are_not_finite_are_told_from_a_rate_that_diverges(linear, blobs):
    broken = DataSet(np.full_like(blobs.inputs, np.nan), blobs.targets, name="broken")
    with pytest.raises(
        FloatingPointError, match=r"at the first step, before any rate is tried: .* of 'broken' is finite"
    ):
        find_learning_rate(linear(2, 3), broken, Recipe(steps=1, batch=8), key=KEY, steps=10)
