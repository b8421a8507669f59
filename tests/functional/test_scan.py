import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import diagonal_scan, matrix_scan
from matrinox.functional.scan import matrix_product

P, N, T = 2, 2, 7
SCANS = {"diagonal": (diagonal_scan, np.multiply, np.ones), "matrix": (matrix_scan, np.matmul, lambda _: np.eye(N))}
every_scan = pytest.mark.parametrize("name", SCANS)


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def by_loop(name, a, u=None, h=None):
    """The oracle: a loop in NumPy."""
    _, product, one = SCANS[name]
    if h is None:
        h = one(a.shape[-2:]) if u is None else np.zeros(a.shape[-2:])
    states = []
    for t in range(a.shape[-4]):
        h = product(a[..., t, :, :, :], h)
        h = h if u is None else h + u[..., t, :, :, :]
        states.append(h)
    return np.stack(states, axis=-4)


def given(name, *batch, t=T):
    """Transitions, inputs and a state, of about one size: products neither vanish nor explode."""
    a = draw(0, *batch, t, P, N, N)
    # A matrix keeps the length of a column, an entry its size.
    a = np.linalg.qr(a)[0] if name == "matrix" else np.tanh(a)
    return a, draw(1, *batch, t, P, N, N), draw(2, *batch, P, N, N)


def test_states_are_worked_out_by_hand():
    a, u, h = jnp.array([2.0, 3.0, 0.5]).reshape(3, 1, 1, 1), jnp.ones((3, 1, 1, 1)), jnp.ones((1, 1, 1))
    for scan in (diagonal_scan, matrix_scan):
        for method in ("associative", "sequential"):
            states = jax.jit(lambda a, u, h, scan=scan, m=method: [scan(a, *r, method=m) for r in ((u,), (u, h), ())])
            assert [state.ravel().tolist() for state in states(a, u, h)] == [[1, 4, 3], [3, 10, 6], [2, 6, 3]]
    a = jnp.array([[[1.0, 2.0], [0.0, 1.0]], [[0.0, 1.0], [1.0, 0.0]]])[:, None]
    # The later transition stands on the left.
    assert matrix_scan(a)[1, 0].tolist() == [[0, 1], [1, 2]]
    assert diagonal_scan(a)[1, 0].tolist() == [[0, 2], [0, 0]]


@every_scan
@pytest.mark.parametrize("method", ["associative", "sequential"])
def test_scans_equal_a_loop_in_float64(x64, name, method):
    scan = SCANS[name][0]
    a, u, h = given(name, 3)

    @jax.jit
    def run(a, u, h):
        return [scan(a, *rest, method=method) for rest in ((u,), (u, h), (None,), (None, h))]

    for ours, rest in zip(run(a, u, h), ((u,), (u, h), (), (None, h)), strict=True):
        np.testing.assert_allclose(ours, by_loop(name, a, *rest), rtol=1e-12, atol=1e-12)


@every_scan
def test_methods_are_equal_in_values_and_gradients(name):
    scan = SCANS[name][0]
    terms = [jnp.asarray(leaf, jnp.float32) for leaf in given(name, 2, t=13)]
    weights = jnp.asarray(draw(3, 2, 13, P, N, N), jnp.float32)

    def run(method):
        def loss(a, u, h):
            states = scan(a, u, h, method=method)
            return jnp.sum(weights * states), states

        return jax.value_and_grad(loss, (0, 1, 2), has_aux=True)

    ((_, ours), our_gradients), ((_, theirs), their_gradients) = jax.jit(
        lambda *terms: (run("associative")(*terms), run("sequential")(*terms))
    )(*terms)
    for one, other in zip((ours, *our_gradients), (theirs, *their_gradients), strict=True):
        assert np.abs(one - other).max() <= 1e-5 * np.abs(other).max()
        assert np.any(other)


@every_scan
def test_gradients_match_finite_differences(x64, name):
    scan = SCANS[name][0]
    for method in ("associative", "sequential"):
        run = jax.jit(lambda *terms, method=method: (scan(*terms, method=method), scan(terms[0], method=method)))
        check_grads(run, given(name, t=3), order=1, modes=["rev"], rtol=1e-6, atol=1e-6)


@every_scan
def test_a_scan_goes_on_from_its_last_state(x64, name):
    scan = SCANS[name][0]
    a, u, h = given(name, 2)

    @jax.jit
    def run(a, u, h):
        first = scan(a[:, :3], u[:, :3], h)
        return scan(a, u, h), jnp.concatenate([first, scan(a[:, 3:], u[:, 3:], first[:, -1])], 1)

    np.testing.assert_allclose(*run(a, u, h), rtol=1e-12, atol=1e-12)


@every_scan
def test_no_steps_give_no_states(name):
    scan = SCANS[name][0]
    a, u, h = given(name, 2, t=0)
    for method in ("associative", "sequential"):
        for rest in ((u,), (u, h), (), (None, h)):
            assert scan(a, *rest, method=method).shape == (2, 0, P, N, N)


@every_scan
@pytest.mark.parametrize("method", ["associative", "sequential"])
def test_half_precision_is_computed_in_float32(name, method):
    scan = jax.jit(SCANS[name][0], static_argnames="method")
    a, u, h = (jnp.asarray(leaf, jnp.bfloat16) for leaf in given(name))
    states = scan(a, u, h, method=method)
    wide = scan(*(leaf.astype(jnp.float32) for leaf in (a, u, h)), method=method)
    assert states.dtype == jnp.bfloat16
    np.testing.assert_array_equal(states, wide.astype(jnp.bfloat16))
    # The state before does not widen what comes out, the terms do.
    types = [((a, u, h.astype(jnp.float32)), jnp.bfloat16), ((a, u.astype(jnp.float32), h), jnp.float32)]
    assert [jax.eval_shape(SCANS[name][0], *terms).dtype for terms, _ in types] == [dtype for _, dtype in types]


def products(scan, t, method):
    """How many products depend on each other, one after another, from the first step to the last."""
    x = jax.ShapeDtypeStruct((t, P, N, N), jnp.float32)
    jaxpr = jax.make_jaxpr(lambda a, u: scan(a, u, method=method))(x, x).jaxpr
    return depth(jaxpr, {})


def depth(jaxpr, before):
    for eqn in jaxpr.eqns:
        deepest = max((before.get(var, 0) for var in eqn.invars if not hasattr(var, "val")), default=0)
        inner = eqn.params.get("jaxpr")
        if inner is not None:
            closed = getattr(inner, "jaxpr", inner)
            own = depth(closed, {})
            deepest += own * eqn.params.get("length", 1)
        elif eqn.primitive.name in ("mul", "dot_general"):
            deepest += 1
        before |= dict.fromkeys(eqn.outvars, deepest)
    return max((before.get(var, 0) for var in jaxpr.outvars if not hasattr(var, "val")), default=0)


@every_scan
def test_an_associative_scan_is_deep_as_the_logarithm_of_the_steps(name):
    scan = SCANS[name][0]
    assert products(scan, 256, "sequential") == 256
    short, long = (products(scan, t, "associative") for t in (16, 256))
    # Each doubling adds the same: up the tree and down again.
    assert long - short <= 2 * 4
    assert long <= 2 * 8


def test_products_of_small_matrices_and_their_gradients_are_those_of_matmul(x64):
    operands = [(draw(n, 3, 2, n, n), draw(n + 10, 2, n, n)) for n in range(1, 7)]
    weights = [draw(n + 20, 3, 2, n, n) for n in range(1, 7)]

    def run(product):
        def each(pair, weight):
            y, pull = jax.vjp(product, *pair)
            return y, *pull(weight)

        return jax.jit(lambda operands: list(map(each, operands, weights)))(operands)

    for ours, theirs in zip(*map(jax.tree.leaves, (run(matrix_product), run(jnp.matmul))), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)


def test_a_scan_of_matrices_of_4_by_4_calls_no_routine_for_each():
    a = jax.ShapeDtypeStruct((6, 2, 4, 4), jnp.float32)
    for method in ("associative", "sequential"):
        assert "dot_general" not in str(jax.make_jaxpr(lambda a, m=method: matrix_scan(a, a, method=m))(a))


def test_shapes_that_differ_are_refused():
    a, u, h = given("matrix", 2)
    with pytest.raises(ContractError, match=r"matrix_scan got u float\d+\[2, 6, 2, 2, 2\]"):
        matrix_scan(a, u[:, 1:])
    with pytest.raises(ContractError, match=r"diagonal_scan got h float\d+\[2, 2, 2\]"):
        diagonal_scan(a, u, h[0])
    with pytest.raises(ContractError, match=r"matrix_scan got a .*not square"):
        matrix_scan(np.ones((3, 2, 2, 3)))


@every_scan
def test_an_unknown_method_is_refused(name):
    with pytest.raises(
        ValueError, match=r"`method` \(='assoc'\) must be one of \('associative', 'sequential'\): did you mean 'assoc"
    ):
        SCANS[name][0](*given(name), method="assoc")
    with pytest.raises(ValueError, match=r"`method` \(='sequentiel'\)"):
        SCANS[name][0](*given(name, t=0), method="sequentiel")
