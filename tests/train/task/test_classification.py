"""Tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.train import Classification


def log_softmax(logits: np.ndarray) -> np.ndarray:
    logits = logits.astype(np.float64)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_loss_is_cross_entropy_against_the_smoothed_target(smoothing):
    logits = np.random.RandomState(0).normal(size=(2, 5, 4)).astype(np.float32)
    targets = np.random.RandomState(1).randint(0, 4, (2, 5))
    due = np.eye(4)[targets] * (1 - smoothing) + smoothing / 4
    by_hand = -(due * log_softmax(logits)).sum(-1).mean()
    assert float(Classification(smoothing).loss(logits, targets)) == pytest.approx(by_hand, rel=1e-6)


def test_loss_of_even_logits_is_the_log_of_the_number_of_classes():
    loss = Classification(0.3).loss(jnp.zeros((6, 7)), jnp.arange(6))
    assert float(loss) == pytest.approx(np.log(7), rel=1e-6)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("outside", [-1, 4, 17])
def test_a_target_that_is_no_class_makes_the_loss_nan(smoothing, outside):
    """A row of zeros in its place would be a loss of 0, the best there is."""
    loss = Classification(smoothing).loss
    assert np.isfinite(loss(jnp.zeros((3, 4)), np.array([0, 3, 1])))
    assert np.isnan(loss(jnp.zeros((3, 4)), np.array([0, outside, 1])))
    assert np.isnan(jax.jit(loss)(jnp.zeros((3, 4), jnp.bfloat16), np.array([0, outside, 1])))


def test_hits_are_where_the_largest_logit_is_the_target():
    logits = jnp.array([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0], [0.0, 0.0, 1.0]])
    task = Classification()
    assert task.predict(logits).tolist() == [1, 0, 2]
    assert task.hits(logits, np.array([1, 2, 2])).tolist() == [True, False, True]


def test_a_task_refuses_targets_of_another_batch_or_kind():
    task = Classification()
    for refused in (jnp.zeros(4, int), jnp.zeros((3, 1), int), jnp.zeros(3)):
        with pytest.raises(ContractError):
            task.loss(jnp.zeros((3, 2)), refused)
        with pytest.raises(ContractError):
            task.hits(jnp.zeros((3, 2)), refused)
    with pytest.raises(ContractError):
        task.predict(jnp.zeros(()))


@pytest.mark.parametrize("smoothing", [-0.1, 1.0, float("nan")])
def test_label_smoothing_out_of_range_is_refused(smoothing):
    with pytest.raises(ValueError, match=r"`label_smoothing` \(=.*\) must be from 0 to below 1"):
        Classification(smoothing)


def test_label_smoothing_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match=r"`Classification\.label_smoothing` is '0\.1', not a number"):
        Classification("0.1")  # pyright: ignore[reportArgumentType]
