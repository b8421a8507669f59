import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import frobenius_norm, frobenius_normalize, spectral_norm, spectral_normalize

SIDES = pytest.mark.parametrize("n", [1, 2, 3])
PAIRS = pytest.mark.parametrize(
    ("normalize", "norm"), [(frobenius_normalize, frobenius_norm), (spectral_normalize, spectral_norm)]
)


# Of rank 0, of rank 1, and with all singular values equal.
SPECIAL = {n: jnp.stack([jnp.zeros((n, n)), jnp.ones((n, n)), jnp.eye(n)]) for n in (2, 3)}


def draw(n, *shape, seed=0):
    return np.random.default_rng(seed).normal(size=(*shape, n, n))


def orthogonal(n, seed=1):
    return np.linalg.qr(draw(n, seed=seed))[0]


def slope(x):
    return np.asarray(jax.jit(jax.grad(lambda x: jnp.sum(spectral_norm(x))))(x))


def test_the_spectral_norm_of_a_diagonal_matrix_is_its_largest_entry_in_size():
    assert spectral_norm(jnp.array([[[3.0, 0.0], [0.0, -4.0]]])).tolist() == [4]


@SIDES
def test_a_norm_of_what_is_not_finite_is_no_number_that_a_matrix_could_have(n):
    x = jnp.ones((2, n, n)).at[0, 0, 0].set(jnp.nan).at[1, 0, 0].set(jnp.inf)
    for norm in (frobenius_norm, spectral_norm):
        assert not np.isfinite(norm(x)).any()


def test_normalizing_worked_out_by_hand():
    x = jnp.array([[[3.0, 0.0], [0.0, 4.0]]])
    np.testing.assert_allclose(frobenius_normalize(x, jnp.array([10.0])), [[[6, 0], [0, 8]]], rtol=1e-6)
    np.testing.assert_allclose(spectral_normalize(x, jnp.array([2.0])), [[[1.5, 0], [0, 2]]], rtol=1e-6)


@SIDES
def test_the_spectral_norm_equals_the_largest_singular_value(x64, n):
    x = draw(n, 3)
    np.testing.assert_allclose(spectral_norm(x), np.linalg.norm(x, 2, axis=(-2, -1)), rtol=1e-12)


@pytest.mark.parametrize("n", [2, 3])
def test_first_and_second_derivatives_of_the_spectral_norm_at_every_rank_match_finite_differences(x64, n):
    x = np.stack([draw(n)[:, :rank] @ draw(n)[:rank] for rank in range(1, n + 1)])
    check_grads(jax.jit(spectral_norm), (x,), order=2, modes=["rev"])


@SIDES
def test_the_slope_of_the_spectral_norm_is_zero_at_zero(n):
    assert not slope(jnp.zeros((1, n, n))).any()


@SIDES
def test_the_slope_where_all_singular_values_are_equal_is_their_mean(x64, n):
    # Of a multiple of an orthogonal matrix Q: Q / n, which no choice of singular vectors changes.
    q = orthogonal(n)
    np.testing.assert_allclose(slope(3 * q[None])[0], q / n, atol=1e-12)


@pytest.mark.parametrize("n", [3, 5])
def test_the_slope_where_two_singular_values_are_the_largest_is_their_mean(n):
    u, v = orthogonal(n), orthogonal(n, seed=2)
    x = u @ np.diag([2.0, 2.0, *np.linspace(1, 0, n - 2)]) @ v
    np.testing.assert_allclose(slope(np.asarray(x[None], np.float32))[0], (u[:, :2] @ v[:2]) / 2, atol=1e-5)


@pytest.mark.parametrize("n", [2, 3])
def test_second_derivatives_of_the_spectral_norm_are_finite_everywhere(n):
    hessian = jax.jit(jax.hessian(lambda x: jnp.sum(spectral_norm(x) ** 2)))
    assert np.isfinite(hessian(SPECIAL[n])).all()


@PAIRS
@SIDES
def test_the_norm_of_the_result_is_the_gain(x64, normalize, norm, n):
    gain = np.array([0.5, 1.0, 7.0])
    np.testing.assert_allclose(norm(normalize(draw(n, 3), gain)), gain, rtol=1e-12)
    np.testing.assert_allclose(norm(normalize(draw(n, 3))), 1, rtol=1e-12)


@PAIRS
@SIDES
def test_a_positive_factor_changes_nothing(x64, normalize, norm, n):
    x = draw(n, 3)
    for factor in (1e-3, 1e6):
        np.testing.assert_allclose(normalize(factor * x), normalize(x), rtol=1e-12)


@PAIRS
@SIDES
def test_normalizing_commutes_with_orthogonal_matrices_on_either_side(x64, normalize, norm, n):
    x, u, v = draw(n, 3), orthogonal(n), orthogonal(n, seed=2)
    np.testing.assert_allclose(normalize(u @ x @ v), u @ normalize(x) @ v, rtol=1e-10, atol=1e-12)


@PAIRS
@pytest.mark.parametrize("n", [2, 3])
def test_gradients_of_normalizing_match_finite_differences(x64, normalize, norm, n):
    check_grads(jax.jit(normalize), (draw(n, 2), np.array([0.5, 2.0])), order=1, modes=["rev"])


@PAIRS
@pytest.mark.parametrize("n", [2, 3])
def test_gradients_of_normalizing_are_finite_at_special_matrices(normalize, norm, n):
    weights = jnp.asarray(draw(n, 3), jnp.float32)
    y, gradient = jax.jit(jax.value_and_grad(lambda x: jnp.sum(weights * normalize(x))))(SPECIAL[n])
    assert np.isfinite(y)
    assert np.isfinite(gradient).all()


@PAIRS
def test_below_eps_normalizing_divides_by_eps(normalize, norm):
    x = 1e-4 * np.eye(3, dtype=np.float32)[None]
    np.testing.assert_allclose(normalize(x, eps=0.01), 100 * x, rtol=1e-6)


@PAIRS
def test_matrix_norms_take_any_leading_axes(normalize, norm):
    x = np.asarray(draw(3, 2, 4, 3), np.float32)
    for function in (normalize, norm):
        y = function(x)
        np.testing.assert_allclose(jax.jit(jax.vmap(jax.vmap(function)))(x), y, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(function(x[1, 2]), y[1, 2], rtol=1e-5, atol=1e-6)


@PAIRS
@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16])
def test_norms_of_half_precision_are_taken_in_single_precision(normalize, norm, dtype):
    # The squares are beyond float16.
    x = jnp.full((1, 3, 3), 300, dtype)
    y = normalize(x, jnp.array([3.0]))
    assert y.dtype == dtype
    assert y.tolist() == jnp.ones((1, 3, 3)).tolist()
    assert norm(x).dtype == dtype
    assert norm(x).tolist() == [float(jnp.asarray(900, dtype))]


@PAIRS
def test_matrix_norms_refuse_a_wrong_shape(normalize, norm):
    with pytest.raises(ContractError, match=f"{norm.__name__} got x .*axis -1 is 5, n is 4"):
        norm(jnp.ones((2, 4, 5)))
    with pytest.raises(ContractError, match=f"{normalize.__name__} got x .*axis -1 is 5, n is 4"):
        normalize(jnp.ones((2, 4, 5)))
    with pytest.raises(ContractError, match=f"{normalize.__name__} got gain .*axis 0 is 3, p is 2"):
        normalize(jnp.ones((2, 4, 4)), jnp.ones((3,)))


@PAIRS
def test_normalizing_refuses_an_eps_that_is_not_positive(normalize, norm):
    with pytest.raises(ValueError, match=r"`eps` \(=0\) must be positive and finite: choose a small number"):
        normalize(jnp.ones((2, 4, 4)), eps=0)
