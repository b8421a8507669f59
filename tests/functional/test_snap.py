import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import matrix_scan, snap, snapping_scan, squared_distances


def draw(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


# Compiled as one: each operation by itself takes longer.
scan = jax.jit(snapping_scan, static_argnames=("every", "method"))
snapped = jax.jit(snap)

# Two neurons with three entries each, of 2 × 2.
TABLE = draw(2, 3, 2, 2, seed=9)


def by_hand(a, u, h, every, position):
    """A loop in NumPy over the steps of one example."""
    states = []
    for t in range(len(a)):
        h = a[t] @ h + (0 if u is None else u[t])
        if (position + t + 1) % every == 0:
            distance = ((h[:, None] - TABLE) ** 2).sum((-2, -1))
            h = TABLE[np.arange(len(TABLE)), distance.argmin(-1)]
        states.append(h)
    return np.stack(states)


def test_distances_and_the_nearest_entry_worked_out_by_hand():
    table = jnp.array([[[[0.0]], [[10.0]]], [[[1.0]], [[4.0]]]])
    h = jnp.array([[[3.0]], [[3.0]]])
    assert squared_distances(h, table).tolist() == [[9, 49], [4, 1]]
    assert snap(h, table).tolist() == [[[0]], [[4]]]


def test_distances_match_finite_differences_and_numpy(x64):
    h = draw(4, 2, 2, 2)
    expected = np.linalg.norm(h[:, :, None] - TABLE, axis=(-2, -1)) ** 2
    np.testing.assert_allclose(squared_distances(h, TABLE), expected, rtol=1e-12)
    check_grads(jax.jit(squared_distances), (h, TABLE), order=1, modes=["rev"], rtol=1e-6, atol=1e-6)


def test_an_entry_snaps_to_itself_and_any_state_to_an_entry(x64):
    entries = np.moveaxis(TABLE, 1, 0)
    np.testing.assert_array_equal(snapped(entries, TABLE), entries)
    states = np.asarray(snapped(draw(3, 2, 2, 2), TABLE))
    assert all(any(np.array_equal(state, entry) for entry in TABLE[q]) for x in states for q, state in enumerate(x))


def test_the_gradient_of_snapping_goes_straight_through_and_to_the_chosen_entry(x64):
    h, weight = draw(2, 2, 2), draw(2, 2, 2, seed=1)
    to_h, to_table = jax.jit(jax.grad(lambda *given: jnp.sum(weight * snap(*given)), argnums=(0, 1)))(h, TABLE)
    np.testing.assert_allclose(to_h, weight)
    expected = np.zeros_like(TABLE)
    expected[np.arange(2), np.linalg.norm(h[:, None] - TABLE, axis=(-2, -1)).argmin(-1)] = weight
    np.testing.assert_allclose(to_table, expected)


@pytest.mark.parametrize("with_input", [False, True])
def test_a_snapping_scan_is_a_loop_that_snaps(x64, with_input):
    a, h = draw(3, 7, 2, 2, 2), draw(3, 2, 2, 2, seed=2)
    u = draw(3, 7, 2, 2, 2, seed=3) if with_input else None
    for every, position, method in (
        (3, [0, 1, 2], "associative"),
        (1, [0, 0, 0], "associative"),
        (9, [0, 2, 8], "sequential"),
    ):
        expected = [by_hand(a[i], None if u is None else u[i], h[i], every, position[i]) for i in range(3)]
        states = scan(a, u, h, TABLE, every=every, position=np.array(position), method=method)
        np.testing.assert_allclose(states, np.stack(expected), atol=1e-12)
    start = scan(a, u, h, TABLE, every=3)
    np.testing.assert_allclose(start[0], by_hand(a[0], None if u is None else u[0], h[0], 3, 0), atol=1e-12)


def test_before_the_first_snap_it_is_the_plain_scan_and_no_steps_give_no_states():
    a, h = draw(4, 2, 2, 2, dtype=np.float32), draw(2, 2, 2, dtype=np.float32)
    np.testing.assert_allclose(scan(a, None, h, TABLE, every=5), matrix_scan(a, None, h), rtol=1e-5)
    assert snapping_scan(a[:0], None, h, TABLE, every=5).shape == (0, 2, 2, 2)


def test_the_dtype_of_the_states_is_kept():
    a, h = jnp.asarray(draw(4, 2, 2, 2), jnp.bfloat16), jnp.asarray(draw(2, 2, 2), jnp.bfloat16)
    assert jax.eval_shape(squared_distances, h, jnp.asarray(TABLE, jnp.bfloat16)).dtype == jnp.bfloat16
    assert jax.eval_shape(snap, h, TABLE.astype(np.float32)).dtype == jnp.bfloat16
    states = scan(a, None, h, TABLE.astype(np.float32), every=2)
    assert states.dtype == jnp.bfloat16
    wide = scan(a.astype(jnp.float32), None, h.astype(jnp.float32), TABLE.astype(np.float32), every=2)
    np.testing.assert_array_equal(states, wide.astype(jnp.bfloat16))


def test_half_precision_snaps_to_the_nearest_in_float32():
    # In float16 both squares are infinite, and in bfloat16 both distances are equal.
    for dtype, rows in ((jnp.float16, ([1000, 0], [700, 0])), (jnp.bfloat16, ([16, 0.5], [16, 0.25]))):
        table = jnp.array([[[row, [0, 0]] for row in rows]], dtype)
        np.testing.assert_array_equal(snapped(jnp.zeros((1, 2, 2), dtype), table), table[:, 1])


def test_a_segment_without_steps_an_unknown_method_and_a_table_that_does_not_fit_are_refused():
    a, h = draw(4, 2, 2, 2, dtype=np.float32), draw(2, 2, 2, dtype=np.float32)
    with pytest.raises(ValueError, match=r"`every` \(=0\) must be at least 1: choose after how many steps"):
        snapping_scan(a, None, h, TABLE.astype(np.float32), every=0)
    with pytest.raises(ValueError, match=r"`method` \(='sequentiel'\) must be one of .*: did you mean 'sequential'\?"):
        snapping_scan(a[:0], None, h, TABLE.astype(np.float32), every=2, method="sequentiel")
    with pytest.raises(ContractError, match=r"axis 0 is 3, q is 2"):
        snap(h, draw(3, 3, 2, 2, dtype=np.float32))
