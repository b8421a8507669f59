import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import bound_spectral_norm, orthogonalize, spectral_norm

SHAPES = pytest.mark.parametrize("shape", [(2, 2), (3, 3), (4, 2), (2, 3)], ids=str)


def draw(*shape, seed=0, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def gram(u):
    u = np.asarray(u, np.float64)
    return u @ u.swapaxes(-1, -2) if u.shape[-2] < u.shape[-1] else u.swapaxes(-1, -2) @ u


def slope(function, x):
    return jax.jit(jax.grad(lambda x: jnp.sum(jnp.sin(function(x) + 0.3))))(x)


def test_orthogonalizing_worked_out_by_hand():
    turn, mirror = jnp.array([[3.0, -4.0], [4.0, 3.0]]), jnp.array([[3.0, 4.0], [4.0, -3.0]])
    np.testing.assert_allclose(orthogonalize(turn), turn / 5, rtol=1e-6)
    np.testing.assert_allclose(orthogonalize(mirror), mirror / 5, rtol=1e-6)
    np.testing.assert_allclose(orthogonalize(jnp.diag(jnp.array([3.0, -2.0, 5.0]))), np.diag([1.0, -1, 1]), atol=1e-6)


def test_bounding_the_spectral_norm_worked_out_by_hand():
    x = jnp.diag(jnp.array([3.0, -4.0]))
    np.testing.assert_allclose(bound_spectral_norm(x), x / 4, rtol=1e-6)
    np.testing.assert_allclose(bound_spectral_norm(x, 2.0), x / 2, rtol=1e-6)
    np.testing.assert_array_equal(bound_spectral_norm(x, 5.0), x)
    np.testing.assert_allclose(bound_spectral_norm(jnp.array([[3.0, 4.0, 0.0]])), [[0.6, 0.8, 0]], rtol=1e-6)


@SHAPES
def test_orthogonalizing_gives_the_polar_factor(x64, shape):
    x = draw(5, *shape)
    left, _, right = np.linalg.svd(x, full_matrices=False)
    np.testing.assert_allclose(orthogonalize(x), left @ right, atol=1e-12)


@SHAPES
def test_the_short_side_is_orthonormal_in_float32(shape):
    u = orthogonalize(draw(500, *shape, dtype=np.float32))
    np.testing.assert_allclose(gram(u), np.broadcast_to(np.eye(min(shape)), (500, min(shape), min(shape))), atol=1e-6)


@pytest.mark.parametrize("n", [1, 2, 3])
def test_the_determinant_keeps_its_sign_and_both_signs_are_reached(n):
    x = draw(100, n, n)
    signs = np.sign(np.linalg.det(x))
    assert set(signs) == {-1, 1}
    u = orthogonalize(x.astype(np.float32))
    np.testing.assert_allclose(np.linalg.det(u), signs, rtol=1e-5)
    np.testing.assert_allclose(orthogonalize(u), u, atol=1e-6)


def test_orthogonalizing_commutes_with_orthogonal_maps_on_both_sides(x64):
    x, u, v = draw(3, 3), orthogonalize(draw(3, 3, seed=1)), orthogonalize(draw(3, 3, seed=2))
    np.testing.assert_allclose(orthogonalize(u @ (2 * x) @ v), u @ orthogonalize(x) @ v, atol=1e-12)


@SHAPES
@pytest.mark.parametrize("bound", [0.5, 2.0])
def test_the_spectral_norm_is_bounded_and_what_is_within_stays(shape, bound):
    x = draw(100, *shape, dtype=np.float32)
    y = bound_spectral_norm(x, bound)
    before, after = (np.linalg.norm(np.asarray(a, np.float64), 2, axis=(-2, -1)) for a in (x, y))
    np.testing.assert_allclose(after, np.minimum(before, bound), rtol=1e-6)
    np.testing.assert_array_equal(y[before < bound], x[before < bound])


@pytest.mark.parametrize("shape", [(2, 2), (3, 3), (4, 2)], ids=str)
def test_first_and_second_derivatives_match_finite_differences(x64, shape):
    # An orthogonal matrix too: all its singular values are equal.
    x = jnp.stack([jnp.asarray(draw(*shape)), jnp.eye(*shape)])

    @jax.jit
    def both(x):
        return orthogonalize(x), bound_spectral_norm(x[:1], 0.7)

    check_grads(both, (x,), order=2, modes=["rev"], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("n", [2, 3])
def test_derivatives_are_finite_at_every_rank(n):
    x = jnp.stack([jnp.zeros((n, n)), jnp.ones((n, n)), jnp.eye(n).at[0, 0].set(0), 1e-30 * jnp.eye(n)])
    for function in (orthogonalize, bound_spectral_norm):
        assert np.isfinite(function(x)).all()
        assert np.isfinite(slope(function, x)).all()
    assert np.isfinite(jax.jit(jax.hessian(lambda x: jnp.sum(jnp.sin(orthogonalize(x)))))(x[:3])).all()
    np.testing.assert_allclose(gram(orthogonalize(x)), np.broadcast_to(np.eye(n), x.shape), atol=1e-6)


@pytest.mark.parametrize("scale", [1e-25, 1e25])
def test_small_and_large_matrices_of_any_shape_are_within_the_range_of_floats(scale):
    for shape in ((2, 2), (3, 3), (3, 2)):
        x = draw(*shape, dtype=np.float32)
        np.testing.assert_allclose(orthogonalize(scale * x), orthogonalize(x), atol=1e-5)
        assert np.isfinite(slope(orthogonalize, scale * x)).all()
    wide = draw(2, 3, dtype=np.float32)
    expected = min(scale * np.linalg.norm(wide, 2), 1)
    np.testing.assert_allclose(np.linalg.norm(bound_spectral_norm(scale * wide), 2), expected, rtol=1e-5)


def test_what_is_not_finite_is_not_hidden():
    for shape in ((2, 2), (3, 3), (3, 2), (40, 40)):
        x = jnp.ones(shape).at[0, 1].set(jnp.nan)
        for function in (bound_spectral_norm, orthogonalize):
            assert np.isnan(function(x)).all()
            assert np.isnan(function(x.at[0, 1].set(jnp.inf))).any()


def test_bfloat16_is_computed_in_float32():
    x = jnp.asarray(draw(3, 3), jnp.bfloat16)
    for function in (orthogonalize, bound_spectral_norm):
        y = function(x)
        assert y.dtype == jnp.bfloat16
        np.testing.assert_array_equal(y, function(x.astype(jnp.float32)).astype(jnp.bfloat16))


@pytest.mark.parametrize(
    ("function", "shape"),
    [(orthogonalize, (3, 2)), (bound_spectral_norm, (3, 2)), (bound_spectral_norm, (33, 33))],
    ids=["orthogonal", "bounded", "bounded by products"],
)
def test_values_and_slopes_are_as_exact_as_float32_where_products_by_default_are_not(function, shape):
    text = jax.jit(jax.value_and_grad(lambda x: jnp.sum(function(x)))).lower(jnp.ones(shape)).as_text()
    assert 0 < text.count("dot_general") == text.count("[HIGHEST, HIGHEST]")


def test_a_bound_that_is_not_positive_is_refused():
    for bound in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=r"`bound` \(=.*\) must be positive and finite: choose 1"):
            bound_spectral_norm(jnp.eye(2), bound)


def test_a_vector_is_refused():
    for function in (orthogonalize, bound_spectral_norm):
        with pytest.raises(ContractError, match=r"it takes \(\*batch, rows, columns\): it has 1 axis"):
            function(jnp.ones(3))


def test_a_square_bounded_matrix_has_the_spectral_norm_of_the_function():
    y = bound_spectral_norm(draw(4, 3, 3, dtype=np.float32), 0.5)
    np.testing.assert_allclose(spectral_norm(y), np.full(4, 0.5), rtol=1e-6)
