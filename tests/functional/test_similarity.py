import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import cosine_distance, cosine_similarities, info_nce

REDUCTIONS = {"mean": np.mean, "sum": np.sum, "none": np.asarray}


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def info_nce_in_numpy(first, second, temperature):
    x, y = (view.reshape(len(view), -1) for view in (first, second))
    x, y = (view / np.linalg.norm(view, axis=-1, keepdims=True) for view in (x, y))
    logits = x @ y.T / temperature
    there = np.log(np.exp(logits).sum(1)) - np.diag(logits)
    back = np.log(np.exp(logits).sum(0)) - np.diag(logits)
    return (there + back) / 2


def test_directions_worked_out_by_hand():
    along = jnp.array([[2.0, 0.0], [0.0, 3.0], [1.0, 1.0], [0.0, 0.0]])
    against = jnp.array([[5.0, 0.0], [0.0, -1.0], [-1.0, 1.0], [1.0, 1.0]])
    np.testing.assert_allclose(cosine_distance(along, against, reduction="none"), [0, 2, 1, 1], atol=1e-6)
    # Orthogonal features: the pair has cosine 1, each of the two others 0.
    one = info_nce(jnp.eye(3), 4 * jnp.eye(3), temperature=0.5)
    np.testing.assert_allclose(one, np.log(np.exp(2) + 2) - 2, rtol=1e-6)
    np.testing.assert_allclose(info_nce(jnp.ones((4, 2)), jnp.ones((4, 2))), np.log(4), rtol=1e-6)


def test_cosine_similarities_equal_numpy_for_every_two():
    first, second = (draw(seed, count, 2, 3).astype(np.float32) for seed, count in ((0, 4), (1, 5)))
    x, y = (view.reshape(len(view), -1).astype(np.float64) for view in (first, second))
    due = x @ y.T / np.outer(np.linalg.norm(x, axis=1), np.linalg.norm(y, axis=1))
    np.testing.assert_allclose(cosine_similarities(first, second), due, atol=1e-6)
    assert cosine_similarities(first[:0], second).shape == (0, 5)
    with pytest.raises(ContractError):
        cosine_similarities(first, second[:, :1])


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_losses_of_directions_equal_numpy_and_optax(x64, reduction):
    first, second = draw(0, 5, 2, 3), draw(1, 5, 2, 3)
    found = info_nce(first, second, temperature=0.3, reduction=reduction)
    np.testing.assert_allclose(found, REDUCTIONS[reduction](info_nce_in_numpy(first, second, 0.3)), rtol=1e-12)
    theirs = optax.losses.cosine_distance(first, second)
    found = cosine_distance(first, second, reduction=reduction)
    np.testing.assert_allclose(found, REDUCTIONS[reduction](theirs), rtol=1e-12)


def test_examples_that_do_not_count_leave_no_trace(x64):
    first, second, where = draw(0, 4, 3), draw(1, 4, 3), np.array([True, False, True, False])
    first[1], second[3] = np.nan, np.inf
    loss, slope = jax.jit(jax.value_and_grad(lambda x: cosine_distance(x, second, where=where)))(first)
    np.testing.assert_allclose(loss, optax.losses.cosine_distance(first[where], second[where]).mean(), rtol=1e-12)
    assert slope[~where].tolist() == np.zeros((2, 3)).tolist()


def test_gradients_match_finite_differences_also_along_the_temperature(x64):
    first, second = draw(0, 4, 3), draw(1, 4, 3)
    check_grads(jax.jit(cosine_distance), (first, second), order=1, modes="rev")
    check_grads(
        jax.jit(lambda x, y, t: info_nce(x, y, temperature=t)),
        (first, second, jnp.asarray(0.4)),
        order=1,
        modes="rev",
        rtol=1e-5,
    )


def test_a_vector_of_0_or_of_any_size_gives_finite_values_and_slopes():
    first = jnp.array([[0.0, 0.0], [1e-30, 1e-30], [1e30, 0.0]])
    second = jnp.array([[1.0, 0.0], [1.0, 1.0], [1.0, 1e-25]])
    distance, slope = jax.jit(jax.value_and_grad(lambda x: cosine_distance(x, second, reduction="sum")))(first)
    np.testing.assert_allclose(distance, 1, atol=1e-6)
    assert np.isfinite(slope).all()
    assert slope[0].tolist() == [0, 0]
    assert np.isfinite(jax.jit(jax.grad(info_nce))(first, second)).all()


def test_a_vector_that_is_not_finite_has_no_direction():
    second = jnp.eye(3)
    for wrong in (jnp.nan, jnp.inf):
        first = jnp.eye(3).at[1, 0].set(wrong)
        assert np.isnan(cosine_distance(first, second, reduction="none")).tolist() == [False, True, False]
        assert np.isnan(cosine_similarities(first, second)).all(axis=1).tolist() == [False, True, False]
        assert np.isnan(info_nce(first, second))


def test_neither_the_length_of_vectors_nor_the_order_of_pairs_matters(x64):
    first, second, order = draw(0, 5, 3), draw(1, 5, 3), np.array([3, 1, 4, 0, 2])
    lengths = np.arange(1.0, 6)[:, None]
    expected = info_nce(first, second)
    np.testing.assert_allclose(info_nce(lengths * first, second), expected, rtol=1e-12)
    np.testing.assert_allclose(info_nce(first[order], second[order]), expected, rtol=1e-12)
    np.testing.assert_allclose(info_nce(second, first), expected, rtol=1e-12)


def test_half_precision_is_compared_in_single_precision():
    first, second = (jnp.asarray(draw(seed, 4, 3), jnp.bfloat16) for seed in (0, 1))
    for loss in (info_nce, cosine_distance):
        found = loss(first, second)
        assert found.dtype == jnp.float32
        np.testing.assert_allclose(found, loss(first.astype(jnp.float32), second.astype(jnp.float32)), rtol=1e-6)


def test_wrong_shapes_temperatures_and_reductions_are_refused():
    for loss in (cosine_distance, info_nce):
        with pytest.raises(ContractError, match=r"got (target|second) float32\[4, 3\]"):
            loss(jnp.ones((5, 3)), jnp.ones((4, 3)))
        with pytest.raises(ValueError, match="did you mean 'sum'"):
            loss(jnp.ones((5, 3)), jnp.ones((5, 3)), reduction="summ")
    for temperature in (0.0, -1, float("nan"), jnp.asarray(0.0)):
        with pytest.raises(ValueError, match=r"`temperature` \(=.*\) must be above 0: 0.1 is common"):
            info_nce(jnp.ones((5, 3)), jnp.ones((5, 3)), temperature=temperature)
