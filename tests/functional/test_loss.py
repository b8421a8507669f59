import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import cross_entropy, mse

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


@EACH_REDUCTION
def test_cross_entropy_equals_its_formula_in_numpy(x64, reduction):
    logits, target = draw(), distributions(1)
    log_odds = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    expected = REDUCTIONS[reduction](-(target * log_odds).sum(-1))
    np.testing.assert_allclose(cross_entropy(logits, target, reduction=reduction), expected, rtol=1e-12)


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
    check_grads(jax.jit(cross_entropy), (draw(0), distributions(1)), order=1)
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


@pytest.mark.parametrize("loss", [mse, cross_entropy])
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


@pytest.mark.parametrize("loss", [mse, cross_entropy])
@pytest.mark.filterwarnings("error")
def test_numpy_double_precision_is_taken_without_a_warning(loss):
    assert loss(draw(), distributions()).dtype == jnp.float32
