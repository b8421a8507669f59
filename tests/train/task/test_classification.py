"""Tasks."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from matrinox.contract import ContractError
from matrinox.data import DataSet, RowLoader
from matrinox.train import Classification, evaluate


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


def test_rows_and_class_ids_are_the_same_target():
    logits = np.random.RandomState(0).normal(size=(6, 4)).astype(np.float32)
    ids = np.array([0, 3, 1, 1, 2, 0])
    rows = np.eye(4, dtype=np.float32)[ids]
    task = Classification(0.1, class_weights=(1.0, 2.0, 0.5, 3.0), top_k=2, confusion=True)
    assert float(task.loss(logits, rows)) == pytest.approx(float(task.loss(logits, ids)), rel=1e-6)
    assert task.hits(logits, rows).tolist() == task.hits(logits, ids).tolist()
    of_rows, of_ids = task.tally(logits, rows), task.tally(logits, ids)
    assert of_rows.keys() == of_ids.keys()
    for name, sums in of_rows.items():
        np.testing.assert_allclose(sums, of_ids[name], rtol=1e-6)


def test_figures_of_a_loader_are_those_of_all_examples_at_once():
    """Three minibatches, the last one smaller, against scikit-learn on the whole."""
    rng = np.random.RandomState(2)
    logits, ids = rng.normal(size=(11, 5)).astype(np.float32), rng.randint(0, 5, 11)
    ids[4] = -1
    task = Classification(class_weights=(1.0, 2.0, 0.5, 3.0, 1.0), ignored=-1, top_k=2, confusion=True)
    seen = evaluate(lambda x: x, RowLoader(DataSet(jnp.asarray(logits), jnp.asarray(ids)), batch=4, key=None), task)
    kept = ids >= 0
    due, likeliest = ids[kept], logits[kept].argmax(-1)
    nats = -log_softmax(logits[kept])[np.arange(10), due]
    figures = {
        "loss": np.average(nats, weights=np.array(task.class_weights)[due]),
        "accuracy": sklearn.metrics.accuracy_score(due, likeliest),
        "top_2_accuracy": sklearn.metrics.top_k_accuracy_score(due, logits[kept], k=2, labels=range(5)),
    }
    assert seen.figures == pytest.approx(figures, rel=1e-6)
    matrix = sklearn.metrics.confusion_matrix(due, likeliest, labels=range(5))
    assert seen.sums["confusion"].tolist() == matrix.tolist()
    assert task.report(task.tally(logits, ids)) == pytest.approx(figures, rel=1e-6)


def test_counts_of_many_minibatches_lose_no_digit():
    """A float32 sum of ones would stop at 2²⁴."""
    task = Classification()
    logits, ids = np.random.RandomState(3).normal(size=(17, 3)).astype(np.float32), np.arange(17) % 3
    many = {name: np.asarray(sums, np.float64) * 2**20 for name, sums in task.tally(logits, ids).items()}
    assert many["examples"] == 17 * 2**20
    assert task.report(many) == task.report(task.tally(logits, ids))


def test_the_headline_is_made_anew_of_the_classes_kept():
    logits = np.random.RandomState(4).normal(size=(90, 3)).astype(np.float32)
    ids = np.arange(90) % 4 - 1
    for task, targets in ((Classification(0.1, ignored=-1), ids), (Classification(), np.eye(3)[ids % 3].astype("f4"))):
        data = DataSet(jnp.asarray(logits), jnp.asarray(targets))
        seen = evaluate(lambda x: x, data, task, batch=40, records=True)
        assert seen.records["classes"].tolist() == logits.argmax(-1).tolist()
        assert task.headline_of(seen.records, targets) == seen.figures["accuracy"]
    assert Classification.ascending


def test_nothing_counted_has_no_figure():
    seen = evaluate(lambda x: x, DataSet(jnp.zeros((3, 2)), jnp.full(3, -1)), Classification(ignored=-1))
    assert np.isnan(list(seen.figures.values())).all()


def test_options_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"`Classification\.top_k` \(=0\) must be at least 1: choose a larger number"):
        Classification(top_k=0)
    with pytest.raises(ValueError, match=r"`k` \(=3\) must be from 1 to the number of classes \(=2\)"):
        Classification(top_k=3).tally(jnp.zeros((3, 2)), jnp.zeros(3, int))
    for weights in ((), (0.0, 0.0), (-1.0, 2.0), (1.0, float("nan"))):
        with pytest.raises(ValueError, match=r"`class_weights` \(=.*\) must be 0 or more, finite, and not all 0: give"):
            Classification(class_weights=weights)
    with pytest.raises(ContractError, match=r"weights"):
        Classification(class_weights=(1.0, 2.0, 3.0)).loss(jnp.zeros((3, 2)), jnp.zeros(3, int))
    with pytest.raises(ValueError, match=r"`ignored` \(=0\) must come with class ids"):
        Classification(ignored=0).loss(jnp.zeros((3, 2)), jnp.ones((3, 2)))
