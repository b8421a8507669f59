import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
import scipy.special
import sklearn.metrics
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import binary_cross_entropy, cross_entropy, huber, kl_divergence, mae, mse
from matrinox.transforms import stop_gradient

REDUCTIONS = {"mean": np.mean, "sum": np.sum, "none": np.asarray}
EACH_REDUCTION = pytest.mark.parametrize("reduction", REDUCTIONS)
IDS = np.array([[2, 0, 1], [1, 1, 4]])


def draw(seed=0):
    return np.random.default_rng(seed).normal(size=(2, 3, 5))


def distributions(seed=0):
    weights = np.exp(draw(seed))
    return weights / weights.sum(-1, keepdims=True)


def test_losses_worked_out_by_hand():
    assert mse(jnp.array([1.0, 5.0]), jnp.array([2.0, 2.0])).item() == 5
    # Two classes of equal logits: log 2 each.
    np.testing.assert_allclose(cross_entropy(jnp.zeros((3, 2)), jnp.array([0, 1, 1]), reduction="sum"), 3 * np.log(2))


@EACH_REDUCTION
def test_mse_equals_its_formula_in_numpy(x64, reduction):
    prediction, target = draw(0), draw(1)
    expected = REDUCTIONS[reduction]((prediction - target) ** 2)
    np.testing.assert_allclose(mse(prediction, target, reduction=reduction), expected, rtol=1e-12)


def test_losses_of_numbers_equal_scikit_learn_and_optax(x64):
    prediction, target = draw(0), draw(1)
    flat = target.ravel(), prediction.ravel()
    np.testing.assert_allclose(mae(prediction, target), sklearn.metrics.mean_absolute_error(*flat), rtol=1e-12)
    each = huber(prediction, target, delta=0.5, reduction="none")
    error = np.abs(prediction - target)
    np.testing.assert_allclose(each, np.where(error < 0.5, error**2 / 2, 0.5 * (error - 0.25)), rtol=1e-12)
    for truths in (target > 0, (target > 0).astype(int), (target > 0).astype(float)):
        found = binary_cross_entropy(prediction, truths)
        due = sklearn.metrics.log_loss((target > 0).ravel(), scipy.special.expit(prediction).ravel())
        np.testing.assert_allclose(found, due, rtol=1e-12)
    shares = distributions(1)
    theirs = optax.losses.sigmoid_binary_cross_entropy(prediction, shares).sum()
    np.testing.assert_allclose(binary_cross_entropy(prediction, shares, reduction="sum"), theirs, rtol=1e-12)


@pytest.mark.parametrize("loss", [mse, mae, huber, binary_cross_entropy])
def test_entries_that_do_not_count_leave_no_trace(loss):
    prediction, target = (draw(seed).astype(np.float32) for seed in (0, 1))
    target = np.abs(target) % 1
    where = draw(2) > 0
    due = loss(prediction[where], target[where], reduction="none")
    prediction[~where], target[~where] = np.inf, np.nan
    for reduction, total in (("mean", due.mean()), ("sum", due.sum())):
        np.testing.assert_allclose(loss(prediction, target, where=where, reduction=reduction), total, rtol=1e-5)
    each, slope = jax.jit(jax.value_and_grad(lambda x: loss(x, target, where=where)))(jnp.asarray(prediction))
    assert np.isfinite(each)
    assert ((slope != 0) == where).all()
    assert (loss(prediction, target, where=where, reduction="none")[~where] == 0).all()


@EACH_REDUCTION
def test_cross_entropy_equals_its_formula_in_numpy(x64, reduction):
    logits, target = draw(), distributions(1)
    log_odds = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = REDUCTIONS[reduction](-(target * log_odds).sum(-1))
    np.testing.assert_allclose(cross_entropy(logits, target, reduction=reduction), expected, rtol=1e-12)


def test_kl_divergence_equals_scipy_and_has_the_slope_of_cross_entropy(x64):
    logits, target = draw(), distributions(1)
    target[0, 0] = [0, 0, 1, 0, 0]
    due = scipy.special.rel_entr(target, distributions()).sum(-1)
    np.testing.assert_allclose(kl_divergence(logits, target, reduction="none"), due, rtol=1e-12)
    # Log-probabilities are logits.
    np.testing.assert_allclose(kl_divergence(np.log(distributions()), target), due.mean(), rtol=1e-12)
    np.testing.assert_allclose(kl_divergence(np.log(distributions()), distributions()), 0, atol=1e-12)
    slopes = [jax.jit(jax.grad(loss))(logits, target) for loss in (kl_divergence, cross_entropy)]
    np.testing.assert_allclose(*slopes, rtol=1e-12)


def test_smoothing_is_that_of_optax_for_ids_and_rows(x64):
    logits = draw()
    for target in (IDS, np.eye(5)[IDS]):
        found = cross_entropy(logits, target, label_smoothing=0.2, reduction="none")
        theirs = optax.softmax_cross_entropy(logits, optax.smooth_labels(jnp.eye(5)[IDS], 0.2))
        np.testing.assert_allclose(found, theirs, rtol=1e-12)


def test_weights_of_classes_count_an_example_as_often_as_its_class_weighs(x64):
    logits, weights = draw(), np.array([1.0, 2.0, 0.0, 3.0, 0.5])
    log_odds = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    each = -np.take_along_axis(log_odds, IDS[..., None], -1)[..., 0]
    due = np.average(each, weights=weights[IDS])
    for target in (IDS, np.eye(5)[IDS]):
        np.testing.assert_allclose(cross_entropy(logits, target, weights=weights), due, rtol=1e-12)
        total = cross_entropy(logits, target, weights=weights, reduction="sum")
        np.testing.assert_allclose(total, (each * weights[IDS]).sum(), rtol=1e-12)
    # Of shared rows too the mean is by the weights of their examples.
    shares = distributions(2)
    own = shares @ weights
    due = -(shares * weights * log_odds).sum() / own.sum()
    np.testing.assert_allclose(cross_entropy(logits, shares, weights=weights), due, rtol=1e-12)
    # Every class of the smoothed target brings its own weight along.
    due = 0.9 * (each * weights[IDS]).sum() - 0.1 * (weights * log_odds).mean(-1).sum()
    found = cross_entropy(logits, IDS, weights=weights, label_smoothing=0.1)
    np.testing.assert_allclose(found, due / weights[IDS].sum(), rtol=1e-12)
    ruled_out = jnp.where(jnp.arange(5) == 2, -jnp.inf, logits)
    assert np.isfinite(cross_entropy(ruled_out, IDS, weights=weights))


@pytest.mark.parametrize("ignored", [-100, 1])
def test_ignored_targets_count_nowhere(ignored):
    logits, target = draw().astype(np.float32), np.where(IDS == 1, ignored, IDS)
    kept = target != ignored
    options = {"weights": np.arange(1.0, 6), "label_smoothing": 0.1}
    for given in ({}, options):
        due = cross_entropy(logits[kept], target[kept], **given)
        np.testing.assert_allclose(cross_entropy(logits, target, ignored=ignored, **given), due, rtol=1e-6)
    padded = np.where(kept[..., None], logits, np.nan)
    loss, slope = jax.jit(jax.value_and_grad(lambda logits: cross_entropy(logits, target, ignored=ignored)))(logits)
    assert (slope[~kept] == 0).all()
    np.testing.assert_allclose(cross_entropy(padded, target, ignored=ignored), loss, rtol=1e-6)
    assert cross_entropy(logits, np.full((2, 3), ignored), ignored=ignored) == 0
    assert np.isnan(cross_entropy(logits, np.full((2, 3), 7), ignored=ignored))
    with pytest.raises(ValueError, match=r"`ignored` \(=1\) must come with class ids: leave it out for targets of flo"):
        cross_entropy(logits, np.eye(5, dtype=np.float32)[IDS], ignored=1)


def test_a_detached_output_gives_a_figure_and_no_gradient():
    prediction, target = draw(0), draw(1)
    figure, slope = jax.value_and_grad(lambda x: mse(stop_gradient(x), target))(jnp.asarray(prediction))
    assert figure == mse(prediction, target)
    assert not slope.any()
    # A figure taken on the way leaves the gradient of the loss as it is.
    both = jax.grad(lambda x: mse(x, target) + mae(stop_gradient(x), target))(prediction)
    np.testing.assert_array_equal(both, jax.grad(mse)(prediction, target))


def test_cross_entropy_equals_optax(x64):
    logits = draw()
    theirs = optax.softmax_cross_entropy(logits, distributions(1))
    np.testing.assert_allclose(cross_entropy(logits, distributions(1), reduction="none"), theirs, rtol=1e-12)
    theirs = optax.softmax_cross_entropy_with_integer_labels(logits, IDS)
    np.testing.assert_allclose(cross_entropy(logits, IDS, reduction="none"), theirs, rtol=1e-12)


@EACH_REDUCTION
def test_class_ids_are_one_hot_rows(x64, reduction):
    logits = draw()
    expected = cross_entropy(logits, jnp.eye(5)[IDS], reduction=reduction)
    np.testing.assert_allclose(cross_entropy(logits, IDS, reduction=reduction), expected, rtol=1e-12)


def test_loss_gradients_match_finite_differences(x64):
    check_grads(jax.jit(mse), (draw(0), draw(1)), order=1)
    for of_numbers in (mae, huber, binary_cross_entropy):
        check_grads(jax.jit(of_numbers), (draw(0), distributions(1)), order=1, modes="rev")
    for of_classes in (cross_entropy, kl_divergence):
        check_grads(jax.jit(of_classes), (draw(0), distributions(1)), order=1, modes="rev")
    check_grads(jax.jit(lambda logits: cross_entropy(logits, jnp.asarray(IDS))), (draw(0),), order=1)


def test_losses_agree_under_jit_and_vmap(x64):
    logits, target = draw(), distributions(1)
    each = cross_entropy(logits, target, reduction="none")
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.vmap(cross_entropy)))(logits, target), each, rtol=1e-12)
    np.testing.assert_allclose(
        jax.vmap(jax.vmap(cross_entropy))(logits, jnp.asarray(IDS)),
        cross_entropy(logits, IDS, reduction="none"),
        rtol=1e-12,
    )
    np.testing.assert_allclose(jax.vmap(mse)(logits, target).mean(), jax.jit(mse)(logits, target), rtol=1e-12)


def test_cross_entropy_of_far_logits_is_finite():
    logits = jnp.array([[1e4, -1e4], [-1e4, 1e4]])
    assert cross_entropy(logits, jnp.array([0, 0]), reduction="none").tolist() == [0, 2e4]
    assert np.isfinite(jax.grad(lambda logits: cross_entropy(logits, jnp.array([0, 0])))(logits)).all()


def test_a_class_ruled_out_on_both_sides_adds_nothing():
    logits, target = jnp.array([[0.0, -jnp.inf]]), jnp.array([[1.0, 0.0]])
    loss, slope = jax.value_and_grad(cross_entropy)(logits, target)
    assert loss == 0
    assert np.isfinite(slope).all()
    assert jax.grad(cross_entropy, argnums=1)(logits, target).tolist() == [[0, 0]]


@pytest.mark.parametrize("wrong", [-1, 5, 1000])
def test_a_class_id_out_of_range_gives_nan(wrong):
    losses = jax.jit(lambda ids: cross_entropy(jnp.zeros((2, 5)), ids, reduction="none"))(jnp.array([0, wrong]))
    assert np.isnan(losses).tolist() == [False, True]


def test_half_precision_is_compared_in_single_precision():
    prediction, target = jnp.ones(1000, jnp.bfloat16), jnp.zeros(1000, jnp.bfloat16)
    # A running sum of ones in bfloat16 stops at 256.
    total = mse(prediction, target, reduction="sum")
    assert (total.item(), total.dtype) == (1000, jnp.float32)
    logits = jnp.asarray(draw(), jnp.bfloat16)
    loss = cross_entropy(logits, IDS)
    assert loss.dtype == jnp.float32
    np.testing.assert_allclose(loss, cross_entropy(logits.astype(jnp.float32), IDS), rtol=1e-6)
    assert jax.grad(lambda logits: cross_entropy(logits, IDS))(logits).dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("call", "fact"),
    [
        (lambda: mse(jnp.ones((5, 1)), jnp.ones(5)), "target"),
        (lambda: mse(jnp.ones(5), jnp.ones(4)), "target"),
        (lambda: mae(jnp.ones((5, 1)), jnp.ones(5)), "target"),
        (lambda: huber(jnp.ones((5, 1)), jnp.ones(5)), "target"),
        (lambda: binary_cross_entropy(jnp.ones((5, 1)), jnp.ones(5)), "target"),
        (lambda: kl_divergence(jnp.ones((5, 3)), jnp.ones((5, 4))), "target"),
        (lambda: mse(jnp.ones(5), jnp.ones(5), where=jnp.ones(4, bool)), "where"),
        (lambda: cross_entropy(jnp.ones((5, 3)), jnp.zeros(5, int), weights=jnp.ones(4)), "weights"),
        (lambda: cross_entropy(jnp.ones((5, 3)), jnp.ones((5, 4))), "axis -1 is 4, classes is 3"),
        (lambda: cross_entropy(jnp.ones((5, 3)), jnp.zeros(4, int)), "target"),
        (lambda: cross_entropy(jnp.ones((5, 3)), jnp.zeros(4, jnp.uint8)), "target"),
        (lambda: cross_entropy(jnp.ones((5, 3)), jnp.zeros((5, 3), int)), "int32"),
        (lambda: cross_entropy(jnp.ones(()), jnp.zeros((), int)), "0 axes"),
    ],
)
def test_losses_refuse_shapes_that_do_not_match(call, fact):
    with pytest.raises(ContractError, match=fact):
        call()


def test_values_out_of_range_are_refused():
    for delta in (0.0, np.inf, np.nan):
        with pytest.raises(ValueError, match=r"`delta` \(=.*\) must be above 0 and finite: choose the error"):
            huber(jnp.ones(5), jnp.ones(5), delta=delta)
    with pytest.raises(ValueError, match=r"`label_smoothing` \(=1\.0\) must be from 0 to below 1: 0\.1 is common"):
        cross_entropy(jnp.ones((5, 3)), jnp.zeros(5, int), label_smoothing=1.0)


EVERY_LOSS = [mse, mae, huber, binary_cross_entropy, cross_entropy, kl_divergence]


@pytest.mark.parametrize("loss", EVERY_LOSS)
def test_losses_refuse_an_unknown_reduction_and_name_the_nearest(loss):
    with pytest.raises(ValueError, match=r"`reduction` \(='average'\) must be 'mean', 'sum' or 'none': did you mean"):
        loss(jnp.ones((2, 3)), jnp.ones((2, 3)), reduction="average")
    with pytest.raises(ValueError, match="did you mean 'mean'"):
        loss(jnp.ones((2, 3)), jnp.ones((2, 3)), reduction="maen")


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint32, jnp.uint4])
def test_class_ids_may_be_of_any_integer_dtype(dtype):
    logits = draw().astype(np.float32)
    expected = cross_entropy(logits, IDS)
    assert cross_entropy(logits, IDS.astype(dtype)) == expected
    assert cross_entropy(logits, jnp.asarray(IDS, dtype)) == expected


def test_small_class_ids_fit_many_classes():
    logits = np.random.default_rng(0).normal(size=(2, 300)).astype(np.float32)
    ids = np.array([7, 255])
    assert cross_entropy(logits, ids.astype(np.uint8)) == cross_entropy(logits, ids)


def test_the_slope_along_a_target_is_minus_the_log_odds(x64):
    logits, target = draw(), np.eye(5)[IDS]
    slope = jax.grad(lambda target: cross_entropy(logits, target, reduction="sum"))(target)
    np.testing.assert_allclose(slope, -jax.nn.log_softmax(logits), rtol=1e-12)


@pytest.mark.parametrize("loss", EVERY_LOSS)
@pytest.mark.filterwarnings("error")
def test_numpy_double_precision_is_taken_without_a_warning(loss):
    assert loss(draw(), distributions()).dtype == jnp.float32
