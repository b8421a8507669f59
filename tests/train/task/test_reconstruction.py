import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.special
import sklearn.metrics

from matrinox.contract import ContractError
from matrinox.data import DataSet
from matrinox.train import Reconstruction, evaluate


def draw():
    rng = np.random.default_rng(0)
    return rng.normal(size=(5, 3, 2)).astype(np.float32), rng.uniform(size=(5, 3, 2)).astype(np.float32)


def double(x):
    return 2 * x


def test_without_targets_the_inputs_are_to_be_given_back():
    x, _ = draw()
    seen = evaluate(double, DataSet(jnp.asarray(x)), Reconstruction(), batch=2, predictions=True)
    square = np.mean(x.astype(np.float64) ** 2)
    assert seen.figures == pytest.approx({"loss": square, "rmse": square**0.5}, rel=1e-6)
    np.testing.assert_array_equal(seen.predictions, 2 * x)


def test_only_what_the_mask_leaves_counts():
    """Whole patches at a time, and figures of three minibatches, the last one smaller, are those of all entries."""
    outputs, values = draw()
    mask = np.random.default_rng(1).uniform(size=(5, 3)) > 0.5
    task = Reconstruction()
    due = sklearn.metrics.mean_squared_error(values[mask], outputs[mask])
    hidden = np.where(mask[..., None], values, np.nan)
    loss, slope = jax.jit(jax.value_and_grad(task.loss))(jnp.asarray(outputs), (hidden, mask))
    assert float(loss) == pytest.approx(due, rel=1e-6)
    assert ((slope != 0).all(-1) == mask).all()
    tallies = [task.tally(outputs[at : at + 2], (hidden[at : at + 2], mask[at : at + 2])) for at in (0, 2, 4)]
    total = {name: sum(np.asarray(tally[name], np.float64) for tally in tallies) for name in tallies[0]}
    assert task.report(total) == pytest.approx({"loss": due, "rmse": due**0.5}, rel=1e-6)
    every = np.broadcast_to(mask[..., None], values.shape)
    assert task.loss(outputs, (hidden, every)) == loss
    assert task.loss(outputs, (hidden, np.zeros(5, bool))) == 0


def test_shares_are_told_by_logits():
    logits, values = draw()
    task = Reconstruction("bce")
    shares = scipy.special.expit(logits.astype(np.float64))
    due = -(values * np.log(shares) + (1 - values) * np.log1p(-shares)).mean()
    assert float(task.loss(logits, values)) == pytest.approx(due, rel=1e-6)
    np.testing.assert_allclose(task.predict(logits), shares, rtol=1e-6)
    figures = task.report(task.tally(logits, values))
    assert figures == pytest.approx({"loss": due, "rmse": np.mean((shares - values) ** 2) ** 0.5}, rel=1e-6)


def test_what_does_not_fit_is_refused():
    x = jnp.ones((5, 3))
    with pytest.raises(ContractError, match="target"):
        Reconstruction().loss(x, jnp.ones((5, 2)))
    with pytest.raises(
        ValueError, match=r"the mask of shape \(3,\) must be of the first axes of the targets, \(5, 3\)"
    ):
        Reconstruction().loss(x, (x, jnp.ones(3, bool)))
    with pytest.raises(ValueError, match=r"`targets` \(of 3 parts\) must be an array, or a pair of values and a mask"):
        Reconstruction().loss(x, (x, x, x))
    with pytest.raises(ContractError, match="mask"):
        Reconstruction().loss(x, (x, jnp.ones(5)))
    with pytest.raises(ValueError, match="not one of 'mse', 'bce'"):
        Reconstruction("l2")  # pyright: ignore[reportArgumentType]
