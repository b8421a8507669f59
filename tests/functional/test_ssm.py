import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import selective_scan, selective_step

P, S, N, T = 2, 3, 2, 5
WAYS = [(method, chunk) for method in ("associative", "sequential") for chunk in (None, 3, 8)]


def given(*batch, t=T, dtype=float):
    """u, Δ, A, B, C, D and h: steps above 0, and rates below."""

    def draw(seed, *shape):
        return np.random.default_rng(seed).normal(size=shape)

    u, delta = draw(0, *batch, t, P, N, N), np.exp(draw(1, *batch, t, P, N, N) - 1)
    A, D = -np.exp(draw(2, P, S, N, N)), draw(3, P, N, N)
    B, C = draw(4, *batch, t, S, N, N), draw(5, *batch, t, S, N, N)
    return [jnp.asarray(leaf, dtype) for leaf in (u, delta, A, B, C, D, draw(6, *batch, P, S, N, N))]


def by_loop(u, delta, A, B, C, D, h):
    """The oracle: loops over steps, neurons and states in NumPy, for one example."""
    h = np.array(h)
    y = np.zeros(u.shape)
    for t in range(len(u)):
        for p in range(u.shape[1]):
            y[t, p] = D[p] * u[t, p]
            for s in range(A.shape[1]):
                h[p, s] = np.exp(delta[t, p] * A[p, s]) * h[p, s] + delta[t, p] * B[t, s] * u[t, p]
                y[t, p] += C[t, s] * h[p, s]
    return h, y


def assert_close(ours, theirs, rtol):
    for one, other in zip(ours, theirs, strict=True):
        assert np.abs(np.subtract(one, other)).max() <= rtol * np.abs(other).max()


def test_two_steps_are_worked_out_by_hand():
    """One entry with two states, of decays ½ and ¼ in a step of 1: h = (1, 2)·u, and y reads (1, 1)."""
    u, delta = jnp.array([1.0, 2.0]).reshape(2, 1, 1, 1), jnp.ones((2, 1, 1, 1))
    A = jnp.log(jnp.array([0.5, 0.25])).reshape(1, 2, 1, 1)
    B, C = jnp.broadcast_to(jnp.array([1.0, 2.0]).reshape(2, 1, 1), (2, 2, 1, 1)), jnp.ones((2, 2, 1, 1))
    D = jnp.array(10.0).reshape(1, 1, 1)
    h, y = jax.jit(selective_scan)(u, delta, A, B, C, D)
    np.testing.assert_allclose(h.ravel(), [2.5, 4.5])
    np.testing.assert_allclose(y.ravel(), [3 + 10, 7 + 20])
    h, y = selective_step(jnp.ones((1, 2, 1, 1)), u[0], 2 * delta[0], A, B[0], C[0])
    np.testing.assert_allclose(h.ravel(), [0.25 + 2, 0.0625 + 4], rtol=1e-6)
    np.testing.assert_allclose(y.ravel(), [6.3125], rtol=1e-6)


def test_every_way_equals_loops_in_float64(x64):
    u, delta, A, B, C, D, h = leaves = given()
    ours = jax.jit(lambda *leaves: [selective_scan(*leaves, method=way, chunk=chunk) for way, chunk in WAYS])(*leaves)
    for way in ours:
        assert_close(way, by_loop(*leaves), 1e-12)
    bare = jax.jit(selective_scan)(u, delta, A, B, C)
    assert_close(bare, by_loop(u, delta, A, B, C, np.zeros_like(D), np.zeros_like(h)), 1e-12)


def test_every_way_and_the_steps_are_equal_in_values_and_gradients():
    leaves = given(2, t=4, dtype=jnp.float32)

    def stepped(u, delta, A, B, C, D, h):
        def step(h, taken):
            u, delta, B, C = taken
            return selective_step(h, u, delta, A, B, C, D)

        h, y = jax.lax.scan(step, h, tuple(jnp.moveaxis(leaf, 1, 0) for leaf in (u, delta, B, C)))
        return h, jnp.moveaxis(y, 0, 1)

    def run(forward):
        def loss(leaves):
            h, y = forward(*leaves)
            return jnp.sum(jnp.sin(y)) + jnp.sum(jnp.cos(h)), (h, y)

        gradients, result = jax.grad(loss, has_aux=True)(leaves)
        return [*result, *gradients]

    ways = [
        lambda *a, w=way, c=chunk: selective_scan(*a, method=w, chunk=c) for way, chunk in [WAYS[0], WAYS[1], WAYS[3]]
    ]
    theirs, *ours = jax.jit(lambda: [run(forward) for forward in (stepped, *ways)])()
    for way in ours:
        assert_close(way, theirs, 1e-5)
        assert all(np.any(leaf) for leaf in way)


def test_gradients_match_finite_differences(x64):
    run = jax.jit(lambda *leaves: selective_scan(*leaves, chunk=2))
    check_grads(run, given(t=3), order=1, modes=["rev"], rtol=1e-6, atol=1e-6)


def test_a_step_of_no_length_leaves_the_state():
    u, delta, A, B, C, D, h = given(2)
    scan = jax.jit(selective_scan, static_argnames="chunk")
    after, _ = scan(u, 0 * delta, A, B, C, D, h)
    np.testing.assert_array_equal(after, h)
    after, y = scan(*(leaf[:, :0] for leaf in (u, delta)), A, B[:, :0], C[:, :0], D, h, chunk=2)
    np.testing.assert_array_equal(after, h)
    assert y.shape == (2, 0, P, N, N)


def test_an_empty_batch_gives_an_empty_batch():
    for way, chunk in WAYS[:4]:
        h, y = jax.eval_shape(lambda *leaves, w=way, c=chunk: selective_scan(*leaves, method=w, chunk=c), *given(0))
        assert (h.shape, y.shape) == ((0, P, S, N, N), (0, T, P, N, N))


@pytest.mark.optimised
def test_chunks_hold_a_part_of_the_states():
    def bytes_of_gradient(chunk):
        shapes = [jax.ShapeDtypeStruct(leaf.shape, jnp.float32) for leaf in given(t=64)]

        def loss(*leaves):
            return jnp.sum(selective_scan(*leaves, chunk=chunk)[1] ** 2)

        compiled = jax.jit(jax.grad(loss, argnums=tuple(range(7)))).lower(*shapes).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert bytes_of_gradient(4) <= bytes_of_gradient(None) / 3


@pytest.mark.parametrize("method", ["associative", "sequential"])
def test_half_precision_is_computed_in_float32(method):
    leaves = given(dtype=jnp.bfloat16)
    run = jax.jit(selective_scan, static_argnames="method")
    h, y = run(*leaves, method=method)
    wide = run(*(leaf.astype(jnp.float32) for leaf in leaves), method=method)
    assert h.dtype == y.dtype == jnp.bfloat16
    np.testing.assert_array_equal(h, wide[0].astype(jnp.bfloat16))
    np.testing.assert_array_equal(y, wide[1].astype(jnp.bfloat16))
    # The state keeps its dtype, and y that of u, whatever that of steps and rates.
    u, delta, *rest = leaves
    types = jax.eval_shape(selective_scan, u, delta.astype(jnp.float32), *rest[:-1], rest[-1].astype(jnp.float32))
    assert [leaf.dtype for leaf in types] == [jnp.float32, jnp.bfloat16]
    first = [leaf[0] for leaf in (u, delta, *rest[1:3])]
    types = jax.eval_shape(selective_step, rest[-1].astype(jnp.float32), *first[:2], rest[0], *first[2:])
    assert [leaf.dtype for leaf in types] == [jnp.float32, jnp.bfloat16]


def test_what_does_not_fit_is_refused():
    u, delta, A, B, C, _, h = given(2)
    with pytest.raises(ContractError, match=r"selective_scan got delta .*axis -4 is 4, t is 5"):
        selective_scan(u, delta[:, 1:], A, B, C)
    with pytest.raises(ContractError, match=r"selective_scan got C .*axis -3 is 2, state is 3"):
        selective_scan(u, delta, A, B, C[:, :, :2])
    with pytest.raises(ContractError, match=r"selective_step got u .*axis -3 is 1, p is 2"):
        selective_step(h, u[:, 0, :1], delta[:, 0], A, B[:, 0], C[:, 0])
    with pytest.raises(ValueError, match=r"`method` \(='sequental'\) must be one of .*: did you mean 'sequential'\?"):
        selective_scan(u, delta, A, B, C, method="sequental")
    with pytest.raises(ValueError, match=r"`chunk` \(=0\) must be at least 1: choose how many steps"):
        selective_scan(u, delta, A, B, C, chunk=0)
