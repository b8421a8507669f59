import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.functional import logeig, reeig

FLOOR = 0.1
FUNCTIONS = {"reeig": reeig, "logeig": logeig}
EACH = pytest.mark.parametrize("name", FUNCTIONS)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def with_eigenvalues(*values):
    turn = np.linalg.qr(draw(len(values), len(values)))[0]
    return turn @ np.diag(values) @ turn.T


MATRICES = {
    "identity": np.eye(3),
    "pair": with_eigenvalues(1.0, 1.0, 2.0),
    "nearly a pair": with_eigenvalues(1.0, 1.0 + 1e-7, 2.0),
    "close": with_eigenvalues(1.0, 1.001, 1.002),
    "apart": with_eigenvalues(0.2, 1.0, 30.0),
    "below": with_eigenvalues(-3.0, -3.0, 1.0),
    "not symmetric": with_eigenvalues(-1.0, 0.5, 2.0) + np.array([[0, 1.0, 2], [-1, 0, 3], [-2, -3, 0]]),
}


def by_numpy(name, x):
    values, vectors = np.linalg.eigh((x + x.T) / 2)
    values = np.maximum(values, FLOOR)
    return vectors @ np.diag(np.log(values) if name == "logeig" else values) @ vectors.T


@jax.jit
def derivatives(x, direction, weight):
    """Value, forward and reverse derivative; second derivative forward over reverse, and reverse over reverse."""

    def all_of(function):
        def loss(x):
            return jnp.vdot(weight, function(x, FLOOR))

        value, change = jax.jvp(lambda x: function(x, FLOOR), (x,), (direction,))
        slope, second = jax.jvp(jax.grad(loss), (x,), (direction,))
        back = jax.grad(lambda x: jnp.vdot(jax.grad(loss)(x), direction))(x)
        return value, change, slope, second, back

    return {name: all_of(function) for name, function in FUNCTIONS.items()}


def test_functions_of_eigenvalues_by_hand():
    # Eigenvalues 3 and 1, of (1, 1) and (1, −1).
    x = jnp.array([[2.0, 1.0], [1.0, 2.0]])
    np.testing.assert_allclose(reeig(x, 2.0), [[2.5, 0.5], [0.5, 2.5]], rtol=1e-6)
    np.testing.assert_allclose(logeig(x), np.full((2, 2), np.log(3) / 2), rtol=1e-5)
    np.testing.assert_allclose(reeig(-x), 1e-4 * np.eye(2), atol=1e-9)
    np.testing.assert_allclose(logeig(-x), np.log(1e-6) * np.eye(2), rtol=1e-6, atol=1e-5)


@pytest.mark.parametrize("matrix", MATRICES)
def test_derivatives_are_those_of_finite_differences_also_where_eigenvalues_repeat(x64, matrix):
    x, direction, weight = MATRICES[matrix], draw(3, 3, seed=1), draw(3, 3, seed=2)
    for name, (value, change, slope, second, back) in derivatives(x, direction, weight).items():
        here, ahead, behind = (by_numpy(name, x + step * direction) for step in (0, 1e-4, -1e-4))
        np.testing.assert_allclose(value, here, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(change, (ahead - behind) / 2e-4, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(np.vdot(slope, direction), np.vdot(weight, change), rtol=1e-10)
        bend = np.vdot(weight, (ahead - 2 * here + behind) / 1e-8)
        np.testing.assert_allclose(np.vdot(second, direction), bend, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(back, second, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("matrix", MATRICES)
def test_derivatives_in_single_precision_are_those_in_double_precision(matrix):
    arguments = [a.astype(np.float32) for a in (MATRICES[matrix], draw(3, 3, seed=1), draw(3, 3, seed=2))]
    single = derivatives(*arguments)
    with jax.enable_x64(True):
        double = jax.tree.map(np.asarray, derivatives(*(a.astype(np.float64) for a in arguments)))
    for name in FUNCTIONS:
        for ours, exact in zip(single[name], double[name], strict=True):
            size = max(float(np.max(np.abs(exact))), 1e-2)
            np.testing.assert_allclose(np.asarray(ours, float) / size, exact / size, atol=2e-4)


def test_the_slope_of_the_logarithm_is_right_where_its_curvature_is_beyond_the_range_of_floats():
    x = 1e-22 * jnp.eye(2)
    slope = jax.jit(jax.grad(lambda x: jnp.trace(logeig(x, 1e-30))))(x)
    np.testing.assert_allclose(slope * 1e-22, np.eye(2), rtol=1e-5, atol=1e-6)


def test_a_third_derivative_is_refused():
    with pytest.raises(ValueError, match=r"has first and second derivatives, not a third: differentiate it twice"):
        jax.eval_shape(jax.jacfwd(jax.jacfwd(jax.jacfwd(logeig))), jnp.eye(2))


@EACH
def test_functions_of_eigenvalues_commute_with_rotations_and_take_any_leading_axes(x64, name):
    function, x = FUNCTIONS[name], draw(2, 5, 4, 4)
    turn = np.linalg.qr(draw(4, 4, seed=1))[0]
    y = function(x)
    np.testing.assert_allclose(function(turn @ x @ turn.T), turn @ y @ turn.T, rtol=1e-9, atol=1e-9)
    assert np.array_equal(y, np.swapaxes(y, -1, -2))
    np.testing.assert_allclose(function(x[1, 2]), y[1, 2], rtol=1e-12, atol=1e-12)
    assert function(x[:0]).shape == (0, 5, 4, 4)


@EACH
def test_functions_of_eigenvalues_keep_half_precision(name):
    x = jnp.asarray(draw(2, 3, 3), jnp.bfloat16)
    y = FUNCTIONS[name](x)
    assert np.array_equal(y, FUNCTIONS[name](x.astype(jnp.float32)).astype(jnp.bfloat16))
    assert np.isnan(FUNCTIONS[name](jnp.full((2, 2), np.nan))).all()


@EACH
def test_functions_of_eigenvalues_refuse_what_does_not_fit(name):
    with pytest.raises(ContractError, match="not square"):
        FUNCTIONS[name](jnp.ones((2, 3, 4)))
    for eps in (0.0, -1.0):
        with pytest.raises(ValueError, match=rf"`eps` \(={eps}\) must be positive and finite"):
            FUNCTIONS[name](jnp.eye(2), eps)
