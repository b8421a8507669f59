import jax
import jax.numpy as jnp
import matnets
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import det, det_root
from matrinox.functional.determinant import has_positive_det

SIDES = (1, 2, 3, 4, 5, 6)
EACH_SIDE = pytest.mark.parametrize("n", SIDES)
EACH_RANK = pytest.mark.parametrize(("n", "rank"), [(n, rank) for n in SIDES for rank in range(n + 1)])
FLOOR = 1e-7


def draw(n, *batch):
    return np.random.default_rng(n).normal(size=(*batch, n, n))


def of_rank(n, rank):
    x = draw(n)
    return x[:, :rank] @ x[:rank, :]


def minors(x):
    """The determinant without row i and column j, for each i and j."""
    rows = [[np.linalg.det(np.delete(np.delete(x, i, 0), j, 1)) for j in range(len(x))] for i in range(len(x))]
    return np.array(rows).reshape(x.shape)


def cofactors(x):
    i = np.arange(len(x))
    return (-1.0) ** (i[:, None] + i) * minors(x)


def test_determinants_by_hand():
    assert det(jnp.array([[-3.0]])) == -3
    assert det(jnp.array([[1.0, 2.0], [3.0, 4.0]])) == -2
    assert det(jnp.array([[0.0, 2.0, 0.0], [0.0, 0.0, 3.0], [4.0, 0.0, 0.0]])) == 24
    # Exchanging two rows of the diagonal matrix of 1, 2, 3, 4 makes 24 negative.
    assert det(jnp.diag(jnp.arange(1.0, 5))[jnp.array([1, 0, 2, 3])]) == -24
    np.testing.assert_allclose(det_root(jnp.diag(jnp.array([2.0, -4.0, 8.0]))), -4, rtol=1e-6)
    np.testing.assert_allclose(det_root(jnp.diag(jnp.array([1e-3, 1e-5]))), np.sqrt(FLOOR), rtol=1e-6)


@EACH_SIDE
def test_det_equals_laplaces_expansion_and_its_gradient_the_cofactors(x64, n):
    x = draw(n)
    value, gradient = jax.jit(jax.value_and_grad(det))(x)
    np.testing.assert_allclose(value, x[0] @ cofactors(x)[0], rtol=1e-12)
    np.testing.assert_allclose(gradient, cofactors(x), rtol=1e-11, atol=1e-12)


@EACH_SIDE
def test_det_has_the_second_derivatives_of_finite_differences(x64, n):
    check_grads(jax.jit(det), (draw(n),), order=2, modes=["rev"])


@pytest.mark.parametrize("n", [3, 5])
def test_det_has_the_third_derivatives_of_finite_differences(x64, n):
    check_grads(jax.jit(det), (draw(n),), order=3, modes=["fwd"])


AT_RANK = jax.jit(lambda x: (jax.grad(det)(x), jax.jacfwd(jax.grad(det))(x), jax.grad(det_root)(x)))


@EACH_RANK
def test_gradients_are_finite_and_right_at_every_rank(x64, n, rank):
    x = of_rank(n, rank)
    gradient, hessian, root_gradient = AT_RANK(x)
    np.testing.assert_allclose(gradient, cofactors(x), rtol=1e-9, atol=1e-11)
    direction = draw(n, 1)[0]
    change = (cofactors(x + 1e-5 * direction) - cofactors(x - 1e-5 * direction)) / 2e-5
    np.testing.assert_allclose(np.einsum("ijkl,kl->ij", hessian, direction), change, rtol=1e-6, atol=1e-6)
    assert np.isfinite(root_gradient).all()
    assert rank == n or not root_gradient.any()


def test_the_gradient_is_right_where_elimination_meets_a_zero_before_the_last_pivot():
    x = jnp.diag(jnp.array([1.0, 0.0, 2.0, 3.0, 4.0]))
    np.testing.assert_allclose(jax.grad(det)(x), 24 * jnp.zeros((5, 5)).at[1, 1].set(1), rtol=1e-6, atol=1e-6)
    # JAX's own takes it for a matrix of rank n − 2.
    assert not jax.grad(jnp.linalg.det)(x).any()


@pytest.mark.parametrize("n", [4, 5])
def test_derivatives_are_finite_where_singular_values_repeat(x64, n):
    x = np.eye(n)
    hessian = jax.jit(jax.hessian(det))(x)
    # d²det at I is δ_ij δ_kl − δ_il δ_jk.
    expected = np.einsum("ij,kl->ijkl", x, x) - np.einsum("il,jk->ijkl", x, x)
    np.testing.assert_allclose(hessian, expected, atol=1e-12)
    third = jax.jvp(jax.jit(lambda x: jax.grad(det)(x)), (x,), (x,))[1]
    np.testing.assert_allclose(third, (n - 1) * x, atol=1e-12)


@EACH_SIDE
def test_det_root_is_the_signed_root_and_its_gradient_that_of_finite_differences(x64, n):
    x = draw(n, 3)
    value = np.linalg.det(x)
    np.testing.assert_allclose(det_root(x), np.sign(value) * np.abs(value) ** (1 / n), rtol=1e-12)
    check_grads(jax.jit(det_root), (x,), order=1)


@EACH_SIDE
def test_a_determinant_of_zero_has_the_root_of_the_floor_which_can_be_divided_by(x64, n):
    assert det_root(jnp.zeros((n, n))) == FLOOR ** (1 / n)
    # MATNETS takes sign(0) = 0, and divides by it.
    assert np.isnan(matnets.activations.tanhd(jnp.zeros((n, n)))).all()


@EACH_SIDE
def test_the_root_of_a_determinant_beyond_the_range_of_floats_is_right(n):
    x = jnp.asarray(draw(n), jnp.float32)
    value = np.linalg.det(np.asarray(x, np.float64))
    root = np.sign(value) * np.abs(value) ** (1 / n)
    for scale in (1e-30, 1.0, 1e30):
        expected = np.sign(root) * max(abs(root) * scale, FLOOR ** (1 / n))
        np.testing.assert_allclose(det_root(scale * x), expected, rtol=1e-5)
        assert np.isfinite(jax.grad(det_root)(scale * x)).all()
        assert has_positive_det(scale * x) == (value > 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(bad):
    x = jnp.eye(3).at[0, 0].set(bad)
    assert not np.isfinite(det(x))
    assert not np.isfinite(det_root(x))


@pytest.mark.parametrize("n", [2, 3, 4, 5])
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_matrices_of_one_number_have_a_determinant_of_exactly_zero(n, wrap):
    x = jnp.broadcast_to(jnp.asarray(draw(8), jnp.float32).reshape(64, 1, 1), (64, n, n))
    assert not wrap(det)(x).any()
    assert not wrap(has_positive_det)(x).any()


def test_det_keeps_half_precision_and_computes_in_float32():
    x = draw(4, 20)
    for dtype in (jnp.bfloat16, jnp.float16):
        half = jnp.asarray(x, dtype)
        for function in (det, det_root):
            assert function(half).dtype == dtype
            assert np.array_equal(function(half), function(half.astype(jnp.float32)).astype(dtype))


@pytest.mark.parametrize("function", [det, det_root])
def test_det_takes_any_leading_axes_and_agrees_under_vmap(x64, function):
    x = draw(4, 2, 3)
    assert function(x).shape == (2, 3)
    np.testing.assert_allclose(jax.jit(jax.vmap(function))(x), function(x), rtol=1e-12)
    assert function(x[0, 0]).shape == ()
    assert function(x[:0]).shape == (0, 3)


@pytest.mark.parametrize("function", [det, det_root])
def test_matrices_that_are_not_square_are_refused(function):
    with pytest.raises(ContractError, match="not square"):
        function(jnp.ones((2, 3, 4)))
    with pytest.raises(ContractError, match="1 axis"):
        function(jnp.ones(3))
