"""Maps to symmetric, antisymmetric and triangular matrices, and a weight as the map that it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import antisymmetrize, dense, symmetrize, triangularize
from matrinox.functional.constrain import free_triangle, map_of, require_diagonal, weight_of
from matrinox.initializers import orthogonal
from matrinox.params import MatrixParams

X = jnp.array([[1.0, 2.0], [4.0, 3.0]])


def draw(*shape, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


def transposed(x):
    return np.swapaxes(np.asarray(x), -1, -2)


def test_symmetric_and_antisymmetric_parts_by_hand():
    np.testing.assert_array_equal(symmetrize(X), [[1, 3], [3, 3]])
    np.testing.assert_array_equal(antisymmetrize(X), [[0, -1], [1, 0]])
    np.testing.assert_array_equal(antisymmetrize(jnp.full((1, 1), 7.0)), [[0]])


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16], ids=["float32", "bfloat16"])
def test_the_parts_are_symmetric_bit_for_bit_and_add_up(dtype):
    x = draw(50, 3, 3, dtype=dtype)
    even, odd = jax.jit(lambda x: (symmetrize(x), antisymmetrize(x)))(x)
    assert even.dtype == odd.dtype == dtype
    np.testing.assert_array_equal(even, transposed(even))
    np.testing.assert_array_equal(odd, -transposed(odd))
    np.testing.assert_allclose(np.float32(even) + np.float32(odd), np.float32(x), atol=2 * jnp.finfo(dtype).eps)
    np.testing.assert_array_equal(symmetrize(even), even)
    np.testing.assert_array_equal(antisymmetrize(odd), odd)


def test_triangles_by_hand():
    np.testing.assert_array_equal(triangularize(X), [[1, 0], [4, 3]])
    np.testing.assert_array_equal(triangularize(X, lower=False), [[1, 2], [0, 3]])
    np.testing.assert_array_equal(triangularize(X, diagonal="unit"), [[1, 0], [4, 1]])
    positive = triangularize(X - 3, lower=False, diagonal="positive")
    np.testing.assert_allclose(positive, [[np.log1p(np.exp(-2)), -1], [0, np.log(2)]], rtol=1e-6)


@pytest.mark.parametrize("lower", [True, False], ids=["lower", "upper"])
@pytest.mark.parametrize("diagonal", ["free", "unit", "positive"])
def test_a_triangular_matrix_is_one_of_its_free_form(lower, diagonal):
    x = triangularize(draw(50, 3, 3), lower=lower, diagonal=diagonal)
    again = triangularize(free_triangle(x, lower=lower, diagonal=diagonal), lower=lower, diagonal=diagonal)
    np.testing.assert_allclose(again, x, rtol=1e-6, atol=1e-6)
    zeros = np.triu(np.ones((3, 3)), 1) if lower else np.tril(np.ones((3, 3)), -1)
    assert not np.any(np.asarray(x) * zeros)


def test_a_diagonal_that_is_not_positive_starts_with_its_size():
    x = jnp.array([[-2.0, 0.0], [1.0, 0.0]])
    near = triangularize(free_triangle(x, lower=True, diagonal="positive"), diagonal="positive")
    np.testing.assert_allclose(near, [[2, 0], [1, 1e-6]], rtol=1e-5)


def test_gradients_match_finite_differences(x64):
    x = draw(2, 3, 3, dtype=np.float64)

    @jax.jit
    def all_at_once(x):
        return symmetrize(x) ** 2, antisymmetrize(x) ** 2, triangularize(x, lower=False, diagonal="positive") ** 2

    check_grads(all_at_once, (x,), order=1, modes=["rev"], rtol=1e-6, atol=1e-6)


def test_the_map_of_a_weight_is_what_dense_applies(x64):
    weight, x = draw(3, 2, 2, 2, dtype=np.float64), draw(2, 2, 2, dtype=np.float64)
    expected = dense(MatrixParams(weight, None), x).reshape(6, 2)
    np.testing.assert_allclose(map_of(weight) @ x.reshape(4, 2), expected, rtol=1e-12)


def test_an_orthogonal_initializer_draws_an_orthogonal_map():
    weight = orthogonal()(jax.random.key(0), (2, 3, 2, 1, 2, 2))
    flat = map_of(weight)
    assert flat.shape == (4, 12)
    np.testing.assert_allclose(flat @ flat.T, np.eye(4), atol=1e-6)
    np.testing.assert_array_equal(weight_of(flat, weight.shape), weight)


def test_what_is_not_square_and_an_unknown_diagonal_are_refused():
    for function in (symmetrize, antisymmetrize, triangularize):
        with pytest.raises(ContractError, match=rf"^{function.__name__} got x float32\[2, 3\].*not square"):
            function(jnp.ones((2, 3)))
    with pytest.raises(ContractError, match=r"triangularize got diagonal as 'units'"):
        triangularize(X, diagonal="units")
    with pytest.raises(
        ValueError, match=r"`diagonal` \(='units'\) must be one of 'free', 'unit', 'positive': did you mean 'unit'\?"
    ):
        require_diagonal("units")
