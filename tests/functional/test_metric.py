import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.metrics

from matrinox.contract import ContractError
from matrinox.functional import accuracy, bits_per_character, confusion_matrix, perplexity, r2, top_k_accuracy


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


LOGITS, IDS = draw(0, 40, 5), np.random.default_rng(1).integers(0, 5, 40)


def test_metrics_worked_out_by_hand():
    logits = jnp.array([[0.0, 2.0, 1.0], [3.0, 2.0, 1.0], [0.0, 0.0, 1.0], [1.0, 1.0, 1.0]])
    ids = jnp.array([2, 0, 1, 0])
    assert accuracy(logits, ids) == 0.5
    assert accuracy(logits, ids, reduction="none").tolist() == [0, 1, 0, 1]
    # Of the zeros in the third row the first one counts.
    assert top_k_accuracy(logits, ids, k=2, reduction="sum") == 3
    assert confusion_matrix(jnp.argmax(logits, -1), ids, classes=3).tolist() == [[2, 0, 0], [0, 0, 1], [0, 1, 0]]
    assert r2(jnp.array([1.0, 2.0, 4.0]), jnp.array([1.0, 2.0, 3.0])) == 0.5
    np.testing.assert_allclose(perplexity(jnp.zeros((3, 8)), jnp.arange(3)), 8, rtol=1e-6)
    np.testing.assert_allclose(bits_per_character(jnp.zeros((3, 8)), jnp.arange(3), characters_per_token=2), 1.5)


def test_counts_of_classes_equal_scikit_learn():
    predicted = LOGITS.argmax(-1)
    due = sklearn.metrics.accuracy_score(IDS, predicted)
    np.testing.assert_allclose(accuracy(LOGITS, IDS), due, rtol=1e-6)
    np.testing.assert_allclose(accuracy(LOGITS, np.eye(5)[IDS]), due, rtol=1e-6)
    for k in (1, 2, 4):
        due = sklearn.metrics.top_k_accuracy_score(IDS, LOGITS, k=k)
        np.testing.assert_allclose(top_k_accuracy(LOGITS, IDS, k=k), due, rtol=1e-6)
    found = confusion_matrix(predicted.astype(np.uint8), IDS, classes=5)
    np.testing.assert_array_equal(found, sklearn.metrics.confusion_matrix(IDS, predicted))


def test_units_of_language_equal_numpy(x64):
    log_odds = LOGITS - np.log(np.exp(LOGITS).sum(-1, keepdims=True))
    nats = -log_odds[np.arange(40), IDS]
    np.testing.assert_allclose(perplexity(LOGITS, IDS), np.exp(nats.mean()), rtol=1e-12)
    each = bits_per_character(LOGITS, IDS, characters_per_token=4.5, reduction="none")
    np.testing.assert_allclose(each, nats / np.log(2) / 4.5, rtol=1e-12)


def test_r2_equals_scikit_learn_also_far_from_0():
    target = draw(2, 40, 3)
    prediction = target + 0.3 * draw(3, 40, 3)
    # A target that never changes, predicted exactly, and one that is not.
    target[:, 2], prediction[:, 2] = 1.1, np.float32(1.1)
    for mean, least in ((0, 1e-6), (1e4, 1e-6)):
        due = (target + mean).astype(np.float32), (prediction + mean).astype(np.float32)
        theirs = sklearn.metrics.r2_score(*(each.astype(np.float64) for each in due), multioutput="raw_values")
        np.testing.assert_allclose(r2(due[1], due[0], reduction="none"), theirs, rtol=least)
        np.testing.assert_allclose(r2(due[1], due[0]), theirs.mean(), rtol=least)
    assert r2(jnp.array([1.0, 2.0]), jnp.array([1.1, 1.1])) == 0
    assert np.isnan(r2(jnp.array([1.0, jnp.nan]), jnp.array([1.1, 1.1])))


def test_ignored_examples_and_ids_that_are_no_class_count_nowhere():
    target = np.where(IDS == 3, -100, IDS)
    kept = target != -100
    np.testing.assert_allclose(accuracy(LOGITS, target, ignored=-100), accuracy(LOGITS[kept], IDS[kept]), rtol=1e-6)
    assert top_k_accuracy(LOGITS, target, k=5, ignored=-100, reduction="sum") == kept.sum()
    assert top_k_accuracy(LOGITS, target, k=5) == pytest.approx(kept.mean())
    np.testing.assert_allclose(perplexity(LOGITS, target, ignored=-100), perplexity(LOGITS[kept], IDS[kept]), rtol=1e-6)
    found = confusion_matrix(np.array([0, 1, 2, -1, 1]), np.array([0, -1, 1, 1, 7]), classes=2)
    assert found.tolist() == [[1, 0], [0, 0]]


def test_of_nothing_no_metric_has_a_figure():
    """Neither the 0 nor the 1 that a sum or a product of nothing would give."""
    padding = np.full(40, -100)
    for metric in (accuracy, perplexity, bits_per_character):
        assert np.isnan(metric(LOGITS, padding, ignored=-100))
        assert np.isnan(metric(LOGITS[:0], IDS[:0]))
    assert np.isnan(r2(LOGITS[:0], LOGITS[:0]))
    assert np.isnan(r2(LOGITS[:0], LOGITS[:0], reduction="none")).tolist() == [True] * 5


def test_a_single_example_is_predicted_exactly_or_not_at_all():
    assert (r2(LOGITS[:1], LOGITS[:1]), r2(LOGITS[:1], LOGITS[1:2])) == (1, 0)


def test_metrics_agree_under_jit_and_vmap():
    rows = np.eye(5)[IDS]
    assert jax.vmap(accuracy)(LOGITS, IDS).tolist() == accuracy(LOGITS, IDS, reduction="none").tolist()
    assert jax.jit(accuracy)(LOGITS, rows) == accuracy(LOGITS, rows)
    batched = jax.vmap(lambda p, t: confusion_matrix(p, t, classes=5))(LOGITS.argmax(-1)[:, None], IDS[:, None])
    np.testing.assert_array_equal(batched.sum(0), sklearn.metrics.confusion_matrix(IDS, LOGITS.argmax(-1)))
    each = jax.jit(jax.vmap(r2, in_axes=1))(LOGITS, rows)
    np.testing.assert_allclose(each, r2(LOGITS, rows, reduction="none"), rtol=1e-5)


def test_half_precision_counts_and_sums_in_single_precision():
    ones = jnp.ones((1000, 2), jnp.bfloat16)
    # A running sum of ones in bfloat16 stops at 256.
    total = accuracy(ones, jnp.zeros(1000, int), reduction="sum")
    assert (total, total.dtype) == (1000, jnp.float32)
    prediction, target = (jnp.asarray(draw(seed, 300), jnp.bfloat16) for seed in (0, 1))
    np.testing.assert_allclose(
        r2(prediction, target), r2(prediction.astype(jnp.float32), target.astype(jnp.float32)), rtol=1e-6
    )


def test_wrong_shapes_and_values_are_refused():
    for call in (
        lambda: accuracy(jnp.ones((5, 3)), jnp.zeros(4, int)),
        lambda: perplexity(jnp.ones((5, 3)), jnp.zeros(4, int)),
        lambda: confusion_matrix(jnp.zeros(5, int), jnp.zeros(4, int), classes=3),
        lambda: r2(jnp.ones((5, 1)), jnp.ones(5)),
    ):
        with pytest.raises(ContractError, match="target"):
            call()
    for k in (0, 4):
        with pytest.raises(ValueError, match=rf"`k` \(={k}\) must be from 1 to the number of classes \(=3\)"):
            top_k_accuracy(jnp.ones((5, 3)), jnp.zeros(5, int), k=k)
    with pytest.raises(ValueError, match=r"`classes` \(=0\) must be 1 or more: give the number of the model's logits"):
        confusion_matrix(jnp.zeros(5, int), jnp.zeros(5, int), classes=0)
    with pytest.raises(ValueError, match=r"`characters_per_token` \(=0\.0\) must be above 0 and finite: divide"):
        bits_per_character(jnp.ones((5, 3)), jnp.zeros(5, int), characters_per_token=0.0)
    for metric in (accuracy, perplexity, bits_per_character):
        with pytest.raises(ValueError, match=r"`ignored` \(=1\) must come with class ids: leave it out"):
            metric(LOGITS, np.eye(5)[IDS], ignored=1)
    with pytest.raises(ValueError, match="did you mean 'none'"):
        r2(jnp.ones(5), jnp.ones(5), reduction="nones")
