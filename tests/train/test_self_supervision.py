"""Self-supervision on real digits: every objective is learnt, and what is learnt is of use to a linear read-out."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.data import DataSet, Noise, PrefixMask, RandomMask, load_builtin, minibatches, split
from matrinox.train import (
    AdamW,
    Contrastive,
    Denoising,
    MaskedReconstruction,
    Recipe,
    Stepper,
    evaluate,
    fit,
    linear_probe,
)


@pytest.fixture(scope="module")
def digits():
    """Images `(8, 8, 1)`, parted; the test part is not looked at."""
    return split(load_builtin("digits"), seed=0)


class Encoder(eqx.Module):
    """Images `(batch, 8, 8, 1)` to matrix neurons `(batch, q, 4, 4)`: each 4 × 4 patch is a neuron."""

    first: nn.Dense
    second: nn.Dense

    def __init__(self, q: int, *, key):
        keys = jax.random.split(key)
        self.first = nn.Dense(p=4, q=16, n=4, key=keys[0])
        self.second = nn.Dense(p=16, q=q, n=4, key=keys[1])

    def __call__(self, x):
        neurons = nn.Patches(4)(x).reshape(-1, 4, 4, 4)
        return self.second(jnp.matrix_transpose(jax.nn.relu(self.first(neurons))))


class Autoencoder(eqx.Module):
    """Images, or their pixels in a row, to the same: each neuron that comes out is a patch."""

    network: Encoder

    def __init__(self, *, key):
        self.network = Encoder(4, key=key)

    def __call__(self, x):
        y = self.network(x.reshape(-1, 8, 8, 1))
        return jnp.swapaxes(y.reshape(-1, 2, 2, 4, 4), 2, 3).reshape(x.shape)


OBJECTIVES = {
    "masked-vectors": MaskedReconstruction(PrefixMask(0.25)),
    "masked-patches": MaskedReconstruction(RandomMask(0.25), patch=(2, 2)),
    "denoising": Denoising(0.3),
}


@pytest.mark.parametrize("name", OBJECTIVES)
def test_an_objective_is_learnt_by_fit(name, digits):
    """Far more is told of held-out digits than by the untrained network, and than by the mean of what was hidden."""
    task = OBJECTIVES[name]
    train, held = (
        DataSet(part.inputs[..., 0].reshape(-1, 64) if name == "masked-vectors" else part.inputs)
        for part in (digits.train, digits.validation)
    )
    model = Autoencoder(key=jax.random.key(0))
    recipe = Recipe(steps=200, batch=64, steps_per_round=200, task=task, optimiser=AdamW(learning_rate=1e-2))
    fitted = fit(model, train, held, recipe, key=jax.random.key(1))
    before, after = (evaluate(each, held, task).figures for each in (model, fitted.model))
    assert after["loss"] < 0.5 * before["loss"]
    assert after["explained_variance"] > 0.4 > 0.1 > before["explained_variance"]


def test_contrastive_features_are_worth_more_to_a_linear_probe_than_untrained_ones(digits):
    """Over three seeds; steps are taken by the stepper that `fit` takes them by, compiled once for all seeds."""
    task, steps = Contrastive((Noise(0.3),), temperature=0.2), 300
    recipe = Recipe(steps=steps, batch=128, task=task, optimiser=AdamW(learning_rate=3e-3))
    stepper = Stepper.of(recipe, steps)
    losses, accuracies = [], []
    for seed in range(3):
        encoder = Encoder(2, key=jax.random.key(seed))
        state = stepper.start(encoder, key=jax.random.key(10 + seed))
        rows = minibatches(jax.random.key(20 + seed), len(digits.train), recipe.batch, count=steps)
        state, taken = stepper.steps(state, digits.train, rows, steps)
        assert int(taken.count) == steps
        both = encoder, state.model
        losses.append([evaluate(model, digits.validation, task).loss for model in both])
        probes = [
            linear_probe(model, digits.train, test=digits.validation, penalties=(0.01,), batch=2000) for model in both
        ]
        accuracies.append([probe.test["accuracy"] for probe in probes])
    (loss_before, loss_after), (untrained, pretrained) = np.mean(losses, 0), np.mean(accuracies, 0)
    assert loss_after < 0.7 * loss_before
    assert pretrained > untrained + 0.02
