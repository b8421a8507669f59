"""Draws of a seed: what is drawn is a function of it, and of the distribution that is asked for."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.rand import choice, normal, permutation, uniform


def test_draws_of_a_seed_are_these_numbers_in_every_process():
    np.testing.assert_array_equal(uniform(3, (2,)), np.array([0.07405257225036621, 0.938144326210022], np.float32))
    np.testing.assert_allclose(normal(3, (2,)), [-1.4462569952011108, 1.5393810272216797], rtol=1e-6)
    assert permutation(3, 5).tolist() == [0, 4, 2, 1, 3]
    assert choice(3, 9, (4,)).tolist() == [6, 4, 4, 5]


def test_draws_of_a_seed_are_the_same_numbers_with_64_bits_switched_on():
    def drawn():
        p = np.array([0.2, 0.3, 0.5])
        draws = [choice(3, 9, (4,)), choice(3, 9, (4,), replace=False), choice(3, 3, (4,), p=p), permutation(3, 5)]
        return [each.tolist() for each in (*draws, choice(3, 3, (2,), replace=False, p=p), uniform(3, (2,)))]

    before = drawn()
    with jax.enable_x64(True):
        assert drawn() == before


def test_uniform_draws_stay_below_the_upper_bound_where_it_is_close():
    for low, high in ((1.0, 1.0000004), (1000.0, 1000.001), (-1000.001, -1000.0)):
        drawn = uniform(0, (1000,), low=low, high=high)
        assert np.float32(low) <= drawn.min() < drawn.max() < np.float32(high)
    # 1 and the next number in bfloat16, which is 1.0078125.
    drawn = uniform(0, (100,), low=1.0, high=1.01, dtype=jnp.bfloat16)
    assert set(np.asarray(drawn, np.float32)) == {1.0}


def test_draws_are_those_of_jax_for_the_key_of_the_seed():
    key = jax.random.key(5)
    np.testing.assert_array_equal(uniform(5, (3,), low=-1, high=2), jax.random.uniform(key, (3,), minval=-1, maxval=2))
    np.testing.assert_array_equal(normal(5, (3,)), jax.random.normal(key, (3,)))
    np.testing.assert_array_equal(permutation(5, 7), jax.random.permutation(key, 7))
    np.testing.assert_array_equal(choice(key, 7, (3,), replace=False), jax.random.choice(key, 7, (3,), replace=False))


def test_a_seed_may_be_an_int_of_numpy_an_array_or_traced():
    drawn = uniform(3, (2,))
    for seed in (np.int64(3), jnp.uint32(3), jnp.array(3)):
        np.testing.assert_array_equal(uniform(seed, (2,)), drawn)
    np.testing.assert_array_equal(jax.vmap(lambda seed: uniform(seed, (2,)))(jnp.arange(5))[3], drawn)


def test_uniform_draws_fill_their_bounds_evenly():
    drawn = np.asarray(uniform(0, (4000,), low=-2, high=6))
    assert drawn.min() >= -2
    assert drawn.max() < 6
    counts = np.histogram(drawn, bins=8, range=(-2, 6))[0]
    # A bin holds 500 ± 21.
    assert np.abs(counts - 500).max() < 5 * 21


def test_normal_draws_have_their_mean_and_deviation():
    drawn = np.asarray(normal(0, (4000,), mean=3.0, std=0.5))
    assert abs(drawn.mean() - 3) < 5 * 0.5 / np.sqrt(4000)
    assert abs(drawn.std() - 0.5) < 5 * 0.5 / np.sqrt(8000)
    np.testing.assert_array_equal(normal(0, (3,), mean=2.0, std=0.0), 2)


def test_a_permutation_holds_each_slice_once():
    rows = np.arange(12).reshape(6, 2)
    assert sorted(permutation(0, rows).tolist()) == rows.tolist()
    assert sorted(permutation(0, rows, axis=1).T.tolist()) == rows.T.tolist()
    assert sorted(permutation(0, 50).tolist()) == list(range(50)) != permutation(0, 50).tolist()


def test_choices_come_from_the_options_as_likely_as_told():
    rows = np.arange(8.0).reshape(4, 2)
    assert choice(0, rows, (5, 3)).shape == (5, 3, 2)
    assert sorted(choice(0, 6, (6,), replace=False).tolist()) == list(range(6))
    assert choice(0, rows[:0], (0,)).shape == (0, 2)
    drawn = np.asarray(choice(0, 3, (2000,), p=np.array([0.0, 0.25, 0.75])))
    assert set(drawn) == {1, 2}
    assert abs((drawn == 1).mean() - 0.25) < 5 * np.sqrt(0.25 * 0.75 / 2000)


def test_draws_agree_under_jit_and_take_dtypes():
    key = jax.random.key(1)
    np.testing.assert_array_equal(jax.jit(lambda key: uniform(key, (3,)))(key), uniform(key, (3,)))
    assert uniform(0, (2,), dtype=jnp.bfloat16).dtype == normal(0, (2,), dtype=jnp.bfloat16).dtype == jnp.bfloat16
    assert uniform(0).shape == ()


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: uniform(-1), r"`seed` \(=-1\) must be from 0"),
        (lambda: uniform(0, low=1.0, high=1.0), r"`high` \(=1.0\) must be above `low` \(=1.0\)"),
        (
            lambda: uniform(0, low=1.0, high=1.0 + 1e-12),
            r"`high` .* must be above `low` \(=1.0\) in float32 too: widen",
        ),
        (lambda: normal(0, (-1,)), r"`shape` \(=\(-1,\)\) must hold lengths of at least 0"),
        (lambda: normal(0, std=-1.0), r"`std` \(=-1.0\) must be at least 0"),
        (lambda: permutation(0, -2), r"`x` \(=-2\) must be at least 0"),
        (lambda: permutation(0, jnp.ones(3), axis=1), r"`axis` \(=1\) must be one of the 1 axes of `x`"),
        (lambda: choice(0, jnp.ones(())), r"`x` must have an axis"),
        (lambda: choice(0, 0, (1,)), r"`x` \(of length 0\) must hold at least one option"),
        (lambda: choice(0, 2, (3,), replace=False), r"`shape` \(=\(3,\)\) must hold at most 2 draws"),
        (
            lambda: choice(0, 3, (2,), replace=False, p=jnp.array([0.0, 1.0, 0.0])),
            r"`shape` \(=\(2,\)\) must hold at most 1 draws, as many as there are options that can be drawn",
        ),
        (lambda: choice(0, 3, p=jnp.ones(2) / 2), r"`p` \(of length 2\) must hold one chance for each of 3"),
        (lambda: choice(0, 2, p=jnp.array([0.7, 0.7])), r"`p` \(with a sum of 1.4\) must hold chances"),
        (lambda: choice(0, 2, p=jnp.array([1.5, -0.5])), r"`p` .* must hold chances of at least 0"),
    ],
    ids=[
        "seed",
        "bounds",
        "close bounds",
        "shape",
        "std",
        "count",
        "axis",
        "number",
        "empty",
        "draws",
        "likely draws",
        "length",
        "sum",
        "sign",
    ],
)
def test_what_cannot_be_drawn_is_refused(draw, message):
    with pytest.raises(ValueError, match=message):
        draw()
