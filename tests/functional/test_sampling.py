import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.functional import keep_top_k, keep_top_p, sample_tokens

LOGITS = jnp.log(jnp.array([0.1, 0.4, 0.2, 0.25, 0.05]))
KEY = jax.random.key(0)


def kept(logits):
    return np.flatnonzero(np.isfinite(logits)).tolist()


def test_top_k_keeps_the_k_largest_and_renormalises_them():
    cut = keep_top_k(LOGITS, 2)
    assert kept(cut) == [1, 3]
    np.testing.assert_allclose(jax.nn.softmax(cut), [0, 0.4 / 0.65, 0, 0.25 / 0.65, 0], rtol=1e-6)


@pytest.mark.parametrize(("p", "ids"), [(0.39, [1]), (0.41, [1, 3]), (0.64, [1, 3]), (0.66, [1, 2, 3]), (1e-9, [1])])
def test_top_p_keeps_the_fewest_that_make_up_p_and_renormalises_them(p, ids):
    cut = keep_top_p(LOGITS, p)
    assert kept(cut) == ids
    shares = np.where(np.isfinite(cut), np.exp(LOGITS), 0)
    np.testing.assert_allclose(jax.nn.softmax(cut), shares / shares.sum(), rtol=1e-6)
    np.testing.assert_array_equal(keep_top_p(LOGITS, jnp.asarray(p)), cut)


def test_all_of_the_vocabulary_and_a_share_of_1_change_nothing():
    # Of 20,000 equal shares the sum comes to 1 before the last by rounding.
    for logits in (jax.random.normal(KEY, (3, 50)) * 20, jnp.zeros(20000), LOGITS.at[2].set(-jnp.inf)):
        np.testing.assert_array_equal(keep_top_k(logits, logits.shape[-1]), logits)
        np.testing.assert_array_equal(keep_top_p(logits, 1.0), logits)
        np.testing.assert_array_equal(keep_top_p(logits, jnp.asarray(1.0)), logits)


def test_of_equal_logits_the_smaller_ids_are_kept():
    ties = jnp.array([0.0, 1.0, 1.0, 0.0, 1.0])
    assert kept(keep_top_k(ties, 2)) == [1, 2]
    assert kept(keep_top_k(ties, 4)) == [0, 1, 2, 4]
    assert kept(keep_top_p(jnp.zeros(4), 0.5)) == [0, 1]
    assert sample_tokens(ties, temperature=0) == 1


def test_both_equal_a_loop_over_sorted_float64_probabilities():
    logits = np.random.default_rng(0).normal(size=(4, 3, 11)) * 2
    for row in np.ndindex(4, 3):
        order = np.argsort(-logits[row])
        shares = np.exp(logits[row][order]) / np.exp(logits[row]).sum()
        count = 1
        while shares[:count].sum() < 0.7:
            count += 1
        batched = keep_top_p(logits.astype(np.float32), 0.7)
        assert kept(batched[row]) == sorted(order[:count].tolist())
        assert kept(keep_top_k(logits.astype(np.float32), 5)[row]) == sorted(order[:5].tolist())


def test_draws_have_the_shares_of_the_tempered_and_cut_distribution():
    logits = jnp.broadcast_to(LOGITS, (20000, 5))
    options = {"key": KEY, "temperature": 0.5, "top_k": 3, "top_p": 0.8}
    ids = np.asarray(sample_tokens(logits, **options))
    # At temperature 1/2 the shares are squared: 0.16 and 0.0625 make up 0.85 of the three likeliest.
    expected = np.array([0, 0.16, 0, 0.0625, 0])
    shares = np.bincount(ids, minlength=5) / len(ids)
    np.testing.assert_allclose(shares, expected / expected.sum(), atol=0.015)
    assert kept(keep_top_p(keep_top_k(LOGITS, 3), 0.8)) == [1, 2, 3]
    np.testing.assert_array_equal(sample_tokens(logits, **options), ids)


def test_a_low_temperature_is_greedy_however_large_the_logits():
    logits = jnp.array([[1e30, 2e30, -1e30], [3.0, 1.0, 2.0]])
    for temperature in (0, 1e-30, 1e-45, jnp.asarray(1e-30)):
        ids = sample_tokens(logits, key=KEY, temperature=temperature)
        np.testing.assert_array_equal(ids, [1, 0])


def test_half_precision_stays_and_shares_are_summed_in_float32():
    # In bfloat16 the sum of 1,000 shares of 0.001 stops at 0.25.
    logits = jnp.zeros(1000, jnp.bfloat16)
    assert keep_top_p(logits, 0.5).dtype == keep_top_k(logits, 3).dtype == jnp.bfloat16
    assert abs(len(kept(keep_top_p(logits, 0.5))) - 500) <= 1


def test_what_is_out_of_range_is_refused():
    for k in (0, 6):
        with pytest.raises(ValueError, match=rf"`k` \(={k}\) must be between 1 and the vocabulary \(=5\): choose"):
            keep_top_k(LOGITS, k)
    for p in (0.0, -0.5, 1.5, float("nan")):
        with pytest.raises(ValueError, match=r"`p` \(=.*\) must be above 0 and at most 1: choose a share"):
            keep_top_p(LOGITS, p)
    for temperature in (-1.0, float("nan"), float("inf")):
        with pytest.raises(ValueError, match=r"`temperature` \(=.*\) must be 0 or more: choose 1 for"):
            sample_tokens(LOGITS, key=KEY, temperature=temperature)
    with pytest.raises(ValueError, match=r"`key` \(=None\) is needed at a `temperature` of 1.0: pass a key"):
        sample_tokens(LOGITS)
    with pytest.raises(ValueError, match=r"`top_k` \(=6\) must be between 1 and the vocabulary \(=5\): choose"):
        sample_tokens(LOGITS, key=KEY, top_k=6)
    with pytest.raises(ValueError, match=r"`top_p` \(=1.5\) must be above 0 and at most 1: choose a share"):
        sample_tokens(LOGITS, key=KEY, top_p=1.5)
    with pytest.raises(ContractError):
        keep_top_k(jnp.arange(5), 2)
