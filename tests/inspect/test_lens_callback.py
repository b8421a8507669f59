"""A lens as a training callback: in a loop of one's own, and in `fit`."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.data import DataSet
from matrinox.inspect import LensCallback
from matrinox.inspect.measured import Measured
from matrinox.train import AdamW, Cosine, Hooks, Recipe, fit

RANDOM = np.random.default_rng(0)
KEY = jax.random.key(0)


def tree(scale=1.0):
    return {"w": jnp.asarray(scale * np.array([[np.eye(2), 2 * np.eye(2), 4 * np.eye(2)]]))}


def test_it_keeps_the_least_the_median_and_the_largest_of_every_look():
    callback = LensCallback(every=10)
    for step in (0, 4, 9, 10, 12, 25, 30, 36):
        callback(tree(step + 1), step)
    assert callback.steps.tolist() == [0, 10, 25, 36]
    scales = np.array([1, 11, 26, 37])
    history = callback.history["['w']"]
    assert set(history) == set(Measured.SCALARS)
    assert history["spectral_norm"] == pytest.approx(scales[:, None] * [1, 2, 4])
    assert history["determinant"] == pytest.approx(scales[:, None] ** 2 * [1, 4, 16])
    assert callback.last["['w']"].spectral_norm.max() == 4 * 37


def test_weights_that_come_and_go_leave_gaps():
    callback = LensCallback()
    callback({"a": tree()["w"]}, 1)
    callback({"b": tree()["w"]}, 2)
    assert np.isnan(callback.history["['a']"]["symmetry"]).any(1).tolist() == [False, True]
    assert np.isnan(callback.history["['b']"]["symmetry"]).any(1).tolist() == [True, False]


class Classifier(eqx.Module):
    dense: nn.Dense

    def __call__(self, x, *, key=None):
        return jnp.trace(self.dense(x), axis1=-2, axis2=-1)


def drawn(key, shape, dtype=None):
    return jnp.asarray(RANDOM.normal(size=shape), jnp.float32)


def test_fit_calls_it_behind_every_round_and_it_looks_every_so_many_steps():
    x = RANDOM.normal(size=(40, 2, 2, 2)).astype(np.float32)
    data = DataSet(x, (x[:, 0, 0, 0] > 0).astype(np.int32), name="signs")
    model = Classifier(nn.Dense(p=2, q=2, n=2, initializer=drawn, key=KEY))
    callback, of_best = LensCallback(every=4, where="dense.**", x=x[:12]), LensCallback(where="dense.weight")
    recipe = Recipe(steps=12, batch=20, steps_per_round=2, optimiser=AdamW(learning_rate=2.0, scheduler=Cosine()))
    fitted = fit(model, data, data, recipe, key=KEY, hooks=Hooks(on_round=callback, on_best=of_best))
    improving = [now.step for i, now in enumerate(fitted.rounds) if all(now.beats(one) for one in fitted.rounds[:i])]
    assert callback.steps.tolist() == [2, 6, 10]
    assert of_best.steps.tolist() == improving
    assert len(improving) < len(fitted.rounds) == 6
    assert sorted(callback.history) == ["dense", "dense.weight"]
    norms = callback.history["dense.weight"]["spectral_norm"]
    assert norms.shape == (3, 3)
    assert len(np.unique(norms[:, 1])) == 3
    figure = callback.figure()
    assert [ax.get_title() for ax in figure.axes][:2] == ["spectral norm", "largest |determinant|"]
    middle = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}["dense.weight"]
    assert middle == pytest.approx(norms[:, 1])
    assert figure._repr_png_().startswith(b"\x89PNG")


def test_it_refuses_what_it_cannot_use():
    with pytest.raises(ValueError, match=r"`every` \(=0\) must be at least 1: choose how many steps pass"):
        LensCallback(every=0)
    callback = LensCallback()
    with pytest.raises(ValueError, match="nothing to plot before the first look"):
        callback.figure()
    callback(tree(), 5)
    with pytest.raises(ValueError, match=r"`now` \(=4\) must not be before 5: take a new callback"):
        callback(tree(), 4)
