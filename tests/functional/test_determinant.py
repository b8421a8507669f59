import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

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


def root(x):
    value = np.linalg.det(x)
    return np.sign(value) * np.abs(value) ** (1 / x.shape[-1])


def slope(function, x, direction):
    """The derivative in a direction, by finite differences."""
    return (function(x + 1e-5 * direction) - function(x - 1e-5 * direction)) / 2e-5


@jax.jit
def derivatives(x, direction):
    """Value and gradient; the change of the gradient in a direction, forward and reverse; the same for the root."""
    gradient, change = jax.jvp(jax.grad(det), (x,), (direction,))
    back = jax.grad(lambda x: jnp.vdot(jax.grad(det)(x), direction))(x)
    return (det(x), gradient, change, back), jax.value_and_grad(det_root)(x)


@jax.jit
def second_change(x, direction):
    """The third derivative, twice in a direction."""

    def change(x):
        return jax.jvp(jax.grad(det), (x,), (direction,))[1]

    return jax.jvp(change, (x,), (direction,))[1]


def test_determinants_by_hand():
    assert det(jnp.array([[-3.0]])) == -3
    assert det(jnp.array([[1.0, 2.0], [3.0, 4.0]])) == -2
    assert det(jnp.array([[0.0, 2.0, 0.0], [0.0, 0.0, 3.0], [4.0, 0.0, 0.0]])) == 24
    # Exchanging two rows of the diagonal matrix of 1, 2, 3, 4 makes 24 negative.
    assert jax.jit(det)(jnp.diag(jnp.arange(1.0, 5))[jnp.array([1, 0, 2, 3])]) == -24
    np.testing.assert_allclose(jax.jit(det_root)(jnp.diag(jnp.array([2.0, -4.0, 8.0]))), -4, rtol=1e-6)
    np.testing.assert_allclose(jax.jit(det_root)(jnp.diag(jnp.array([1e-3, 1e-5]))), np.sqrt(FLOOR), rtol=1e-6)


@EACH_RANK
def test_derivatives_are_finite_and_right_at_every_rank(x64, n, rank):
    x, direction = of_rank(n, rank), draw(n, 1)[0]
    (value, gradient, change, back), (root_value, root_gradient) = derivatives(x, direction)
    np.testing.assert_allclose(gradient, cofactors(x), rtol=1e-9, atol=1e-11)
    for second in (change, back):
        np.testing.assert_allclose(second, slope(cofactors, x, direction), rtol=1e-6, atol=1e-6)
    if rank < n:
        assert abs(value) < 1e-12
        assert abs(root_value) == FLOOR ** (1 / n)
        assert not root_gradient.any()
    else:
        # Laplace's expansion along the first row.
        np.testing.assert_allclose(value, x[0] @ cofactors(x)[0], rtol=1e-12)
        np.testing.assert_allclose(root_value, root(x), rtol=1e-12)
        np.testing.assert_allclose(np.vdot(root_gradient, direction), slope(root, x, direction), rtol=1e-6)


@pytest.mark.parametrize("n", [3, 5])
def test_det_has_the_third_derivatives_of_finite_differences(x64, n):
    x, direction = draw(n), draw(n, 1)[0]
    expected = slope(lambda x: derivatives(x, direction)[0][2], x, direction)
    np.testing.assert_allclose(second_change(x, direction), expected, rtol=1e-6, atol=1e-6)


def test_the_gradient_is_right_where_elimination_meets_a_zero_before_the_last_pivot(x64):
    x = np.diag([1.0, 0.0, 2.0, 3.0, 4.0])
    np.testing.assert_allclose(derivatives(x, x)[0][1], 24 * np.diag([0.0, 1.0, 0.0, 0.0, 0.0]), atol=1e-12)
    # JAX's own takes it for a matrix of rank n − 2.
    assert not jax.jit(jax.grad(jnp.linalg.det))(x).any()


@pytest.mark.parametrize("n", [3, 5])
def test_derivatives_are_finite_where_singular_values_repeat(x64, n):
    x, direction = np.eye(n), draw(n)
    # d²det at I is δ_ij δ_kl − δ_il δ_jk.
    expected = np.trace(direction) * x - direction.T
    np.testing.assert_allclose(derivatives(x, direction)[0][2], expected, atol=1e-12)
    # The gradient is homogeneous of degree n − 1.
    np.testing.assert_allclose(second_change(x, x), (n - 1) * (n - 2) * x, atol=1e-12)


@functools.cache
def at_scales(n):
    """Of one matrix, scaled: root, its gradient and the gate, in float32."""

    def one(x):
        return *jax.value_and_grad(det_root)(x), has_positive_det(x)

    x = jnp.asarray(draw(n), jnp.float32)
    largest = jnp.finfo(jnp.float32).max / jnp.abs(x).max()
    scales = jnp.array([0.0, 1e-30, 1.0, 1e30, largest])
    return np.asarray(x, float), scales, jax.jit(jax.vmap(one))(scales[:, None, None] * x)


@EACH_SIDE
def test_a_determinant_of_zero_has_the_root_of_the_floor_which_can_be_divided_by(n):
    _, _, (value, gradient, positive) = at_scales(n)
    np.testing.assert_allclose(value[0], FLOOR ** (1 / n), rtol=1e-6)
    assert not gradient[0].any()
    assert not positive[0]


@EACH_SIDE
def test_the_root_of_a_determinant_beyond_the_range_of_floats_is_right(n):
    x, scales, (value, gradient, positive) = at_scales(n)
    for k in range(1, len(scales)):
        expected = np.sign(root(x)) * max(abs(root(x)) * float(scales[k]), FLOOR ** (1 / n))
        np.testing.assert_allclose(value[k], expected, rtol=1e-5)
        assert np.isfinite(gradient[k]).all()
        assert positive[k] == (root(x) > 0)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_so(bad):
    x = jnp.eye(3).at[0, 0].set(bad)
    assert not np.isfinite(jax.jit(det)(x))
    assert not np.isfinite(jax.jit(det_root)(x))


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
    whole = jax.jit(function)(x)
    assert whole.shape == (2, 3)
    np.testing.assert_allclose(jax.jit(jax.vmap(jax.vmap(function)))(x), whole, rtol=1e-12)
    assert jax.jit(function)(x[:0]).shape == (0, 3)


@pytest.mark.parametrize("function", [det, det_root])
def test_matrices_that_are_not_square_are_refused(function):
    with pytest.raises(ContractError, match="not square"):
        function(jnp.ones((2, 3, 4)))
    with pytest.raises(ContractError, match="1 axis"):
        function(jnp.ones(3))
