from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import flatten, rotary, sinusoidal_positions

PAIRINGS = pytest.mark.parametrize("interleaved", [False, True])


def draw(*shape: int, dtype: Any = np.float64):
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def table_by_loops(t, features, start):
    """The formula of Vaswani et al., entry by entry."""
    rows = np.zeros((t, features))
    for s in range(t):
        for k in range(features):
            angle = (start + s) / 10000 ** (k // 2 * 2 / features)
            rows[s, k] = np.cos(angle) if k % 2 else np.sin(angle)
    return rows


def rotary_by_matrices(x, start, heads, interleaved):
    """Each head's features times a rotation matrix, place by place."""
    t, p, n, _ = x.shape
    f = p * n * n // heads
    y = np.zeros((t, heads, f))
    for s in range(t):
        turn = np.zeros((f, f))
        for k in range(f // 2):
            angle = (start + s) * 10000.0 ** (-2 * k / f)
            pair = [2 * k, 2 * k + 1] if interleaved else [k, k + f // 2]
            turn[np.ix_(pair, pair)] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
        y[s] = x[s].reshape(heads, f) @ turn.T
    return y.reshape(x.shape)


def test_the_sinusoidal_table_worked_out_by_hand():
    # Four features: wavelengths 2π and 2π · √10000.
    row = [np.sin(3), np.cos(3), np.sin(0.03), np.cos(0.03)]
    np.testing.assert_allclose(flatten(sinusoidal_positions(1, 1, 2, start_pos=3)), [row], rtol=1e-6)
    np.testing.assert_allclose(flatten(sinusoidal_positions(1, 4, 1, start_pos=3)), [row], rtol=1e-6)


@pytest.mark.parametrize(("p", "n"), [(2, 2), (1, 3), (1, 1)])
def test_the_sinusoidal_table_equals_its_formula_for_even_and_odd_counts(p, n, x64):
    ours = sinusoidal_positions(4, p, n, start_pos=5)
    np.testing.assert_allclose(ours.reshape(4, -1), table_by_loops(4, p * n * n, 5), rtol=1e-12)


def test_the_sinusoidal_table_is_of_single_precision_and_a_start_shifts_it():
    whole = sinusoidal_positions(9, 1, 3)
    assert whole.dtype == jnp.float32
    np.testing.assert_allclose(sinusoidal_positions(4, 1, 3, start_pos=5), whole[5:], rtol=1e-6)
    starts = jnp.array([[5], [0]], jnp.uint8)
    by_example = jax.jit(lambda starts: sinusoidal_positions(4, 1, 3, start_pos=starts))(starts)
    np.testing.assert_allclose(by_example[:, 0], jnp.stack([whole[5:], whole[:4]]), rtol=1e-6)


def test_positions_are_counted_beyond_what_a_small_dtype_of_the_start_holds():
    ours = sinusoidal_positions(10, 1, 2, start_pos=jnp.array(125, jnp.int8))
    np.testing.assert_allclose(ours, sinusoidal_positions(10, 1, 2, start_pos=125), rtol=1e-6)


def test_positions_may_be_negative_and_none():
    np.testing.assert_allclose(sinusoidal_positions(1, 2, 1, start_pos=-1)[0, :, 0, 0], [-np.sin(1), np.cos(1)])
    assert sinusoidal_positions(0, 2, 1).shape == (0, 2, 1, 1)
    assert rotary(jnp.ones((0, 2, 1, 1))).shape == (0, 2, 1, 1)


def test_rotary_worked_out_by_hand():
    # One pair: position 1 turns (1, 0) to (cos 1, sin 1), and position 2 turns (0, 1) to (−sin 2, cos 2).
    x = jnp.array([[1.0, 0.0], [0.0, 1.0]])[..., None, None]
    expected = [[np.cos(1), np.sin(1)], [-np.sin(2), np.cos(2)]]
    np.testing.assert_allclose(rotary(x, start_pos=1)[..., 0, 0], expected, rtol=1e-6)


@PAIRINGS
@pytest.mark.parametrize("heads", [1, 2])
def test_rotary_equals_a_product_with_rotation_matrices(heads, interleaved, x64):
    x = draw(4, 4, 3, 3)
    ours = rotary(x, start_pos=3, heads=heads, interleaved=interleaved)
    np.testing.assert_allclose(ours, rotary_by_matrices(x, 3, heads, interleaved), rtol=1e-11, atol=1e-12)


@PAIRINGS
def test_inner_products_depend_on_the_difference_of_positions_alone(interleaved, x64):
    q, k = draw(2, 1, 4, 2, 2)
    heads = {"heads": 2, "interleaved": interleaved}

    @jax.jit
    def score(i, j):
        return (
            jnp.sum(rotary(q, start_pos=i, **heads) * rotary(k, start_pos=j, **heads), (-2, -1)).reshape(2, 2).sum(-1)
        )

    near, moved, other = score(5, 3), score(105, 103), score(5, 4)
    np.testing.assert_allclose(near, moved, rtol=1e-9)
    assert (np.abs(near - other) > 1e-3).all()


def test_heads_turn_alike(x64):
    half = draw(3, 2, 3, 3)
    ours = rotary(np.concatenate([half, half], axis=1), heads=2)
    np.testing.assert_allclose(ours, np.concatenate([rotary(half)] * 2, axis=1), rtol=1e-12)


def test_rotary_keeps_the_norm_of_every_head(x64):
    x = draw(3, 4, 3, 3)
    y = rotary(x, start_pos=1000, heads=2)
    norms = [np.linalg.norm(np.reshape(z, (3, 2, -1)), axis=-1) for z in (x, y)]
    np.testing.assert_allclose(norms[0], norms[1], rtol=1e-12)
    assert np.abs(x - y).max() > 0.1


def test_interleaving_is_the_other_order_of_the_same_features(x64):
    x = draw(3, 2, 3, 3)
    order = np.arange(18).reshape(2, 9).T.ravel()
    ours = rotary(x.reshape(3, 18)[:, order].reshape(x.shape), interleaved=True)
    np.testing.assert_allclose(ours, rotary(x).reshape(3, 18)[:, order].reshape(x.shape), rtol=1e-12)


def test_a_start_for_each_example_is_that_of_each_example_alone():
    x, starts = draw(3, 4, 2, 3, 3, dtype=np.float32), jnp.array([7, 0, -2])
    ours = jax.jit(lambda x, starts: rotary(x, start_pos=starts))(x, starts)
    alone = [rotary(row, start_pos=start) for row, start in zip(x, (7, 0, -2), strict=True)]
    np.testing.assert_allclose(ours, jnp.stack(alone), rtol=1e-5, atol=1e-6)


def test_rotary_of_half_precision_turns_by_angles_of_single_precision():
    # In bfloat16 the position 1001 would round to 1000, one radian off.
    x = jnp.asarray(draw(1, 2, 3, 3), jnp.bfloat16)
    y = rotary(x, start_pos=1001)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(
        y.astype(jnp.float32), rotary(x.astype(jnp.float32), start_pos=1001), rtol=0.01, atol=0.01
    )


def test_rotary_gradient_matches_finite_differences(x64):
    check_grads(jax.jit(lambda x: rotary(x, start_pos=2, heads=2)), (draw(3, 4, 1, 1),), order=1)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        ({"heads": 0}, r"`heads` \(=0\) must be at least 1"),
        ({"heads": 2}, r"`p` \(=3\) must be divisible by `heads` \(=2\): choose `p` as a multiple of 2"),
        ({"heads": 3}, r"`p`·n·n / `heads` \(=9\) must be even, as features turn in pairs: choose an even number"),
        ({"base": 1.0}, r"`base` \(=1.0\) must be above 1, and finite: 10000 is common"),
    ],
)
def test_rotary_refuses_options_out_of_range(arguments, match):
    with pytest.raises(ValueError, match=match):
        rotary(jnp.ones((5, 3, 3, 3) if "heads" in arguments else (5, 2, 3, 3)), **arguments)


def test_sinusoidal_positions_refuse_sizes_and_a_base_out_of_range():
    for sizes, name in (((-1, 2, 3), "t"), ((4, 0, 3), "p"), ((4, 2, 0), "n")):
        least = 0 if name == "t" else 1
        with pytest.raises(ValueError, match=rf"`{name}` \(=.*\) must be at least {least}: choose a larger number"):
            sinusoidal_positions(*sizes)
    with pytest.raises(ValueError, match=r"`base` \(=inf\) must be above 1, and finite"):
        sinusoidal_positions(4, 2, 3, base=float("inf"))


def test_positions_that_are_no_integers_or_not_one_for_each_example_are_refused():
    x = jnp.ones((2, 5, 2, 3, 3))
    with pytest.raises(ContractError, match=r"rotary got start_pos as 1\.5"):
        rotary(x, start_pos=1.5)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match=r"rotary got start_pos int32\[3\].*\*batch is \(2,\)"):
        rotary(x, start_pos=jnp.arange(3))
    with pytest.raises(ContractError, match=r"sinusoidal_positions got start_pos float32\[\]"):
        sinusoidal_positions(4, 2, 3, start_pos=jnp.array(1.0))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match="axis -1 is 4, n is 3"):
        rotary(jnp.ones((5, 2, 3, 4)))
