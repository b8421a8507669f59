"""State tracking."""

import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import DataSet
from matrinox.train import StateTracking, evaluate

LOGITS = np.random.default_rng(0).normal(size=(5, 4, 3)).astype(np.float32)
TARGETS = np.random.default_rng(1).integers(0, 3, (5, 4))


def losses(logits, targets, commitment=0.0):
    """Of each step, in float64."""
    wide = np.float64(logits)
    right = np.take_along_axis(wide, targets[..., None], -1)[..., 0]
    return np.log(np.exp(wide).sum(-1)) - right - commitment * right


@pytest.mark.parametrize("commitment", [0.0, 0.3])
def test_loss_is_cross_entropy_and_the_negated_logit_of_the_right_state(commitment):
    loss = StateTracking(commitment).loss(LOGITS, TARGETS)
    assert float(loss) == pytest.approx(losses(LOGITS, TARGETS, commitment).mean(), rel=1e-6)


def test_until_wrong_steps_behind_the_first_wrong_one_do_not_count():
    logits = np.where(np.eye(3)[TARGETS] > 0, 5.0, LOGITS).astype(np.float32)
    wrong_at = {0: 0, 1: 2, 2: 3}
    for word, step in wrong_at.items():
        logits[word, step] = -logits[word, step]
    counts = np.ones((5, 4), bool)
    counts[0, 1:] = counts[1, 3:] = False
    task = StateTracking(0.2, until_wrong=True)
    assert float(task.loss(logits, TARGETS)) == pytest.approx(losses(logits, TARGETS, 0.2)[counts].mean(), rel=1e-5)


def test_figures_are_of_last_steps_and_of_all():
    def model(x):
        return x

    task = StateTracking(0.1, until_wrong=True)
    evaluation = evaluate(model, DataSet(LOGITS, TARGETS), task, batch=2, records=True, predictions=True)
    right = LOGITS.argmax(-1) == TARGETS
    due = {"loss": losses(LOGITS, TARGETS, 0.1).mean(), "accuracy": right[:, -1].mean(), "step_accuracy": right.mean()}
    assert evaluation.figures == pytest.approx(due, rel=1e-6)
    assert np.array_equal(evaluation.predictions, LOGITS.argmax(-1))
    assert np.array_equal(evaluation.records["classes"], LOGITS.argmax(-1)[:, -1])
    assert task.headline_of(evaluation.records, TARGETS) == pytest.approx(due["accuracy"])


@pytest.mark.parametrize("commitment", [-0.1, float("inf"), float("nan")])
def test_a_commitment_below_0_is_refused(commitment):
    with pytest.raises(ValueError, match=r"`commitment` \(=.*\) must be 0 or more, and finite"):
        StateTracking(commitment)


def test_a_task_refuses_targets_without_steps():
    with pytest.raises(ContractError, match="targets"):
        StateTracking().loss(jnp.asarray(LOGITS[:, 0]), jnp.asarray(TARGETS))
