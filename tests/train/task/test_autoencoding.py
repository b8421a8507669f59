"""What tasks of telling a changed input's own entries report."""

import jax.numpy as jnp
import numpy as np
import pytest
from sklearn.metrics import explained_variance_score, mean_squared_error

from matrinox.train import Denoising, MaskedReconstruction


def reported(task, *parts):
    tallies = [task.tally(outputs, targets) for outputs, targets in parts]
    return task.report({name: sum(np.asarray(each[name], np.float64) for each in tallies) for name in tallies[0]})


def test_figures_equal_scikit_learn_over_all_minibatches():
    """Values far from 0, errors that are not even about 0, and minibatches of two sizes."""
    random = np.random.RandomState(0)
    parts = []
    for examples in (5, 3):
        values = (100 + random.normal(size=(examples, 4, 2))).astype(np.float32)
        outputs = (values + 0.3 + 0.5 * random.normal(size=values.shape)).astype(np.float32)
        parts.append((outputs, (values, random.uniform(size=values.shape) < 0.4)))
    due, said = (
        np.concatenate([each[mask] for each, mask in pairs]).astype(np.float64)
        for pairs in ([(v, m) for _, (v, m) in parts], [(o, m) for o, (_, m) in parts])
    )
    figures = reported(MaskedReconstruction(), *parts)
    assert figures["loss"] == pytest.approx(mean_squared_error(due, said), rel=1e-5)
    assert figures["explained_variance"] == pytest.approx(explained_variance_score(due, said), rel=1e-5)
    assert figures["explained_variance"] > 1 - figures["loss"] / due.var() + 0.05
    first = parts[0]
    assert float(MaskedReconstruction().loss(*first)) == pytest.approx(reported(Denoising(), first)["loss"], rel=1e-5)


def test_values_that_do_not_vary_are_explained_by_what_is_exact_alone():
    values, counts = jnp.full((3, 4), 0.1), jnp.ones((3, 4), bool)
    assert reported(Denoising(), (values, (values, counts)))["explained_variance"] == 1
    wrong = jnp.linspace(0, 1, 12).reshape(3, 4)
    assert reported(Denoising(), (wrong, (values, counts)))["explained_variance"] == 0


def test_outputs_that_are_not_finite_explain_nothing_and_nothing_counted_has_no_figure():
    values, counts = jnp.linspace(0, 1, 12).reshape(3, 4), jnp.ones((3, 4), bool)
    for outputs, counted in ((jnp.full((3, 4), jnp.nan), counts), (values, ~counts)):
        assert np.isnan(list(reported(Denoising(), (outputs, (values, counted))).values())).all()


def test_logits_are_compared_and_explained_as_probabilities():
    values = jnp.array([[0.0, 1.0, 1.0, 0.0]])
    logits = jnp.array([[-1.0, 2.0, 1.0, 0.5]])
    figures = reported(Denoising(error="bce"), (logits, (values, jnp.ones((1, 4), bool))))
    said = 1 / (1 + np.exp(-np.asarray(logits, np.float64)))
    due = -np.where(values == 1, np.log(said), np.log(1 - said)).mean()
    assert figures["loss"] == pytest.approx(due, rel=1e-6)
    assert figures["explained_variance"] == pytest.approx(explained_variance_score(values[0], said[0]), rel=1e-5)
