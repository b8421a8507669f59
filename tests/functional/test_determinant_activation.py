import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox import functional
from matrinox.contract import ContractError
from matrinox.functional import elu_powered, elud, leaky_relud, relud, sigmoidd, softplusd, sss, sst, tanhd


def sigmoid(r):
    return 1 / (1 + np.exp(-r))


def by_root(f):
    """A matrix times f(r) / r, in NumPy."""

    def formula(x):
        det, n = np.linalg.det(x), len(x)
        root = np.sign(det) * abs(det) ** (1 / n)
        return x * f(root) / root

    return formula


def exponential(x):
    values, vectors = np.linalg.eig(x)
    return np.real(vectors @ np.diag(np.exp(values)) @ np.linalg.inv(vectors))


# What each makes of one matrix, in NumPy.
FORMULAS = {
    "relud": lambda x: x if np.linalg.det(x) > 0 else 0 * x,
    "leaky_relud": lambda x: x if np.linalg.det(x) > 0 else 0.01 * x,
    "elu_powered": lambda x: x if np.linalg.det(x) > 0 else exponential(x) - np.eye(len(x)),
    "elud": by_root(lambda r: r if r > 0 else np.exp(r) - 1),
    "sigmoidd": by_root(sigmoid),
    "tanhd": by_root(np.tanh),
    "softplusd": by_root(lambda r: np.log(1 + np.exp(r))),
    "sst": lambda x: np.tanh(x) @ np.tanh(x) / len(x),
    "sss": lambda x: sigmoid(x) @ sigmoid(x) / len(x),
}
EACH = pytest.mark.parametrize("name", FORMULAS)
SINGULAR = [(name, n) for n in (1, 2, 3, 4, 5) for name in FORMULAS if name != "elu_powered" or n in (3, 5)]
# Compiling takes all the time, so the compiler need not optimise.
compiled = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


@functools.cache
def values(n):
    return compiled(each(FORMULAS))(draw(n))


def each(names):
    """All of them as one function, which takes one compilation."""
    return lambda x: {name: getattr(functional, name)(x) for name in names}


def draw(n=3):
    """Four matrices, of determinants of both signs."""
    x = np.random.default_rng(n).normal(size=(4, n, n))
    x[:, 0] *= (np.sign(np.linalg.det(x)) * [1, 1, -1, -1])[:, None]
    return x


@EACH
@pytest.mark.parametrize("n", [2, 5])
def test_activations_equal_their_formulas(x64, name, n):
    x = draw(n)
    expected = [FORMULAS[name](matrix) for matrix in x]
    np.testing.assert_allclose(values(n)[name], expected, rtol=1e-11, atol=1e-13)


def test_activations_by_hand():
    positive, negative = jnp.array([[1.0, 2.0], [0.0, 4.0]]), jnp.array([[0.0, 4.0], [1.0, 0.0]])
    assert np.array_equal(relud(jnp.stack([positive, negative])), [positive, 0 * negative])
    assert np.array_equal(leaky_relud(negative, 0.5), negative / 2)
    # The square of [[0, 1], [0, 0]] is zero, so that its exponential is I + X.
    nilpotent = jnp.array([[0.0, 3.0], [0.0, 0.0]])
    np.testing.assert_allclose(elu_powered(nilpotent, 2.0), 2 * nilpotent, rtol=1e-6)
    # The roots of the determinants are 2 and −2.
    for activation, f in (
        (elud, np.expm1),
        (tanhd, np.tanh),
        (sigmoidd, sigmoid),
        (softplusd, lambda r: np.log1p(np.exp(r))),
    ):
        np.testing.assert_allclose(activation(negative), negative * f(-2) / -2, rtol=1e-6)
    np.testing.assert_allclose(elud(positive), positive, rtol=1e-6)
    np.testing.assert_allclose(tanhd(positive), positive * np.tanh(2) / 2, rtol=1e-6)
    assert np.array_equal(sst(100 * jnp.array([[0.0, 1.0], [-1.0, 0.0]])), [[-0.5, 0], [0, -0.5]])
    assert np.array_equal(sss(jnp.zeros((2, 2))), np.full((2, 2), 0.25))


TWINS = {
    "relud": functional.relu,
    "leaky_relud": functional.leaky_relu,
    "elu_powered": functional.elu,
    "elud": functional.elu,
    "sigmoidd": functional.sigmoid,
    "tanhd": functional.tanh,
    "softplusd": functional.softplus,
    "sst": lambda x: functional.tanh(x) ** 2,
    "sss": lambda x: functional.sigmoid(x) ** 2,
}


@EACH
def test_activations_equal_their_scalar_twins_when_n_is_1(x64, name):
    x = np.linspace(-3, 3, 12)
    np.testing.assert_allclose(
        getattr(functional, name)(x[:, None, None])[:, 0, 0], TWINS[name](x), rtol=1e-12, atol=1e-14
    )


@functools.cache
def slopes():
    """Of each, the change in a direction, forward; and what a cotangent makes of that direction, in reverse."""
    x, direction = draw(), draw(3)[::-1]

    @compiled
    def run(x):
        changes = jax.jvp(each(FORMULAS), (x,), (direction,))[1]
        pulled = {name: jax.vjp(getattr(functional, name), x)[1](x)[0] for name in FORMULAS}
        return changes, {name: jnp.vdot(back, direction) for name, back in pulled.items()}

    return x, direction, run(x)


@EACH
def test_gradients_match_finite_differences_on_either_side_of_the_gate(x64, name):
    x, direction, (changes, pulled) = slopes()
    after, before = (np.array([FORMULAS[name](matrix) for matrix in x + step * direction]) for step in (1e-6, -1e-6))
    expected = (after - before) / 2e-6
    np.testing.assert_allclose(changes[name], expected, rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(pulled[name], np.vdot(x, expected), rtol=1e-6, atol=1e-7)


@functools.cache
def at_every_rank(n):
    """Each activation's value and gradient at matrices of ranks 0 to n."""
    x = np.random.default_rng(n).normal(size=(n, n))
    x = jnp.asarray([x[:, :rank] @ x[:rank] for rank in range(n + 1)], jnp.float32)
    names = [name for name, side in SINGULAR if side == n]

    @compiled
    def run(x):
        pulled = {name: jax.vjp(getattr(functional, name), x) for name in names}
        return {name: (value, pull(jnp.ones_like(value))[0]) for name, (value, pull) in pulled.items()}

    return run(x)


@pytest.mark.parametrize(("name", "n"), SINGULAR)
def test_values_and_gradients_are_finite_at_singular_matrices_of_every_rank(name, n):
    value, gradient = at_every_rank(n)[name]
    assert np.isfinite(value).all()
    assert np.isfinite(gradient).all()


def test_the_gradient_at_zero_is_that_of_the_branch_in_which_zero_lies(x64):
    floor = 1e-7 ** (1 / 2)
    expected = {"relud": 0, "leaky_relud": 0.01, "elu_powered": 1, "elud": 1, "sst": 0, "sss": 0.125}
    expected |= {"tanhd": np.tanh(floor) / floor, "sigmoidd": sigmoid(floor) / floor}
    expected |= {"softplusd": np.log1p(np.exp(floor)) / floor}
    # Of entry (0, 0) by entry (0, 0).
    direction = jnp.array([[1.0, 0.0], [0.0, 0.0]])
    change = compiled(lambda x: jax.jvp(each(FORMULAS), (x,), (direction,))[1])(jnp.zeros((2, 2)))
    for name, slope in expected.items():
        np.testing.assert_allclose(change[name][0, 0], slope, rtol=1e-12, err_msg=name)


def test_activations_agree_under_jit_and_vmap_and_keep_half_precision():
    x = jnp.asarray(draw(), jnp.bfloat16)
    half = compiled(each(FORMULAS))(x)
    wide, mapped = compiled(lambda x: (each(FORMULAS)(x), jax.vmap(each(FORMULAS))(x)))(x.astype(jnp.float32))
    for name, formula in FORMULAS.items():
        assert half[name].dtype == jnp.bfloat16
        expected = [formula(matrix) for matrix in np.asarray(x, np.float64)]
        np.testing.assert_allclose(np.asarray(half[name], np.float32), expected, rtol=0.01, atol=0.01, err_msg=name)
        np.testing.assert_allclose(wide[name], expected, rtol=1e-5, atol=1e-5, err_msg=name)
        np.testing.assert_allclose(mapped[name], wide[name], rtol=1e-5, atol=1e-6, err_msg=name)


@EACH
def test_matrices_that_are_not_square_are_refused(name):
    with pytest.raises(ContractError, match=f"{name} got x .*not square"):
        getattr(functional, name)(jnp.ones((2, 3, 4)))


def test_relud_of_a_product_with_a_matrix_of_positive_determinant_is_the_product_of_relud(x64):
    x, g = draw(), np.random.default_rng(0).normal(size=(3, 3))
    g[0] *= np.sign(np.linalg.det(g))
    np.testing.assert_allclose(relud(x @ g), relud(x) @ g, rtol=1e-12)


def test_the_root_of_the_determinant_goes_through_the_scalar_activation(x64):
    x = draw(3)
    root = functional.det_root(x)
    for activation, scalar in ((tanhd, jnp.tanh), (sigmoidd, jax.nn.sigmoid), (elud, jax.nn.elu)):
        np.testing.assert_allclose(functional.det_root(activation(x)), scalar(root), rtol=1e-10)


def test_the_exponential_of_an_open_gate_does_not_reach_the_gradient():
    x = 1e3 * jnp.eye(2)
    assert np.array_equal(elu_powered(x), x)
    assert np.array_equal(jax.grad(lambda x: elu_powered(x).sum())(x), np.ones((2, 2)))


@pytest.mark.parametrize("activation", [relud, leaky_relud, elu_powered])
def test_a_gate_lets_nan_through(activation):
    assert np.isnan(activation(jnp.full((2, 2), jnp.nan))).all()


@pytest.mark.parametrize("activation", [leaky_relud, elu_powered, elud])
def test_slopes_are_numbers_that_can_be_learnt(x64, activation):
    x = draw(2)
    check_grads(lambda slope: activation(x, slope), (jnp.array(0.5),), order=1)
    with pytest.raises(ContractError):
        activation(x, jnp.ones(2))
