"""Constraints: each map obeys its law, and gives back what obeys it already."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from constrained_chain import flat

from matrinox import nn
from matrinox.contract import ContractError

ALL = [
    nn.Symmetric(),
    nn.Antisymmetric(),
    nn.Triangular(),
    nn.Triangular(lower=False, diagonal="unit"),
    nn.Triangular(diagonal="positive"),
    nn.Orthogonal(),
    nn.Orthogonal(per="matrix"),
    nn.SpectralNorm(),
    nn.SpectralNorm(0.5, per="matrix"),
]
every_constraint = pytest.mark.parametrize("law", ALL, ids=map(repr, ALL))


def draw(*shape, dtype=np.float32):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


def test_constraints_worked_out_by_hand():
    x = jnp.array([[3.0, 4.0], [0.0, 0.0]])
    np.testing.assert_array_equal(nn.Symmetric()(x), [[3, 2], [2, 0]])
    np.testing.assert_array_equal(nn.Antisymmetric()(x), [[0, 2], [-2, 0]])
    np.testing.assert_array_equal(nn.Triangular()(x), [[3, 0], [0, 0]])
    np.testing.assert_allclose(nn.SpectralNorm(bound=10)(x), x)
    np.testing.assert_allclose(nn.SpectralNorm(bound=2)(x), x * 2 / 5, rtol=1e-6)
    np.testing.assert_allclose(nn.Orthogonal()(jnp.array([[3.0, 4.0]])), [[0.6, 0.8]], rtol=1e-6)


@pytest.mark.parametrize("shape", [(3, 2, 2, 2), (2, 3, 2, 2, 2), (4, 2)], ids=str)
def test_an_orthogonal_map_has_orthonormal_rows_or_columns(shape):
    law = nn.Orthogonal()
    weight = law(draw(*shape))
    matrix = flat(weight) if len(shape) > 2 else np.asarray(weight, np.float64)
    rows, columns = matrix.shape
    gram = matrix @ matrix.T if rows <= columns else matrix.T @ matrix
    np.testing.assert_allclose(gram, np.eye(min(rows, columns)), atol=1e-6)


def test_orthogonal_matrices_are_those_of_every_pair_of_neurons():
    weight = np.asarray(nn.Orthogonal(per="matrix")(draw(3, 2, 2, 3, 3)), np.float64)
    products = weight @ np.swapaxes(weight, -1, -2)
    np.testing.assert_allclose(products, np.broadcast_to(np.eye(3), products.shape), atol=1e-6)
    assert {-1, 1} == set(np.round(np.linalg.det(weight), 5).flat)


@pytest.mark.parametrize("shape", [(8, 6, 3, 3), (3, 2, 2, 2, 2), (16, 16, 4, 4)], ids=str)
def test_a_bounded_map_lets_no_vector_grow_more(shape):
    singular_values = np.linalg.svd(flat(nn.SpectralNorm(bound=0.7)(draw(*shape))), compute_uv=False)
    assert singular_values[0] <= 0.7 * (1 + 1e-5)
    np.testing.assert_allclose(singular_values[0], 0.7, rtol=1e-5)


def test_the_bound_of_a_map_is_the_lipschitz_constant_of_a_dense_layer():
    layer = nn.Dense(p=3, q=3, n=2, initializer=lambda key, shape, dtype: draw(*shape), key=jax.random.key(0))
    bounded = nn.Constrained(layer, {"weight": nn.SpectralNorm(bound=2.0)})
    x, y = draw(100, 2, 3, 2, 2).swapaxes(0, 1)
    ratio = np.linalg.norm((bounded(x) - bounded(y)).reshape(100, -1), axis=1) / np.linalg.norm(
        (x - y).reshape(100, -1), axis=1
    )
    assert ratio.max() <= 2 * (1 + 1e-5)
    _, _, right = np.linalg.svd(flat(bounded.whole().weight))
    steepest = jnp.asarray(np.stack([right[0], 0 * right[0]], axis=1).reshape(3, 2, 2), jnp.float32)
    np.testing.assert_allclose(np.linalg.norm(bounded(steepest) - bounded(0 * steepest)), 2, rtol=1e-5)


def test_each_matrix_has_a_bound_of_its_own():
    weight = jnp.stack([0.1 * jnp.eye(3), 10 * jnp.eye(3)])[:, None]
    np.testing.assert_allclose(
        nn.SpectralNorm(per="matrix")(weight), jnp.stack([0.1 * jnp.eye(3), jnp.eye(3)])[:, None], rtol=1e-6
    )


@every_constraint
def test_what_obeys_is_left_as_it_is(law):
    weight = law(draw(3, 2, 3, 3))
    assert weight.shape == (3, 2, 3, 3)
    np.testing.assert_allclose(law(law.right_inverse(weight)), weight, atol=1e-6)


@every_constraint
def test_half_precision_and_numpy_arrays_are_taken(law):
    x = draw(2, 2, 2, 2, dtype=jnp.bfloat16)
    assert law(x).dtype == law.right_inverse(x).dtype == jnp.bfloat16
    wide = np.asarray(x, np.float32)
    np.testing.assert_allclose(np.asarray(law(x), np.float32), law(wide), rtol=0.02, atol=0.02)


@every_constraint
def test_constraints_are_values(law):
    twin = eval(repr(law), vars(nn))
    assert twin == law
    assert hash(twin) == hash(law)
    assert len(set(ALL)) == len(ALL)


def test_what_a_constraint_cannot_be_put_on_is_refused():
    with pytest.raises(ContractError, match=r"^Symmetric\(\) got float32\[2, 3\]; .*last two axes are equal"):
        nn.Symmetric()(jnp.ones((2, 3)))
    with pytest.raises(ContractError, match=r"^Triangular\(.*\) got float32\[3\]; .*choose another leaf"):
        nn.Triangular().right_inverse(jnp.ones(3))
    with pytest.raises(ContractError, match=r"^Orthogonal\(per='map'\) got float32\[3, 2, 2\]; .*per='matrix'"):
        nn.Orthogonal()(jnp.ones((3, 2, 2)))
    with pytest.raises(ContractError, match=r"^SpectralNorm\(per='matrix', bound=1.0\) got float32\[3\]; it"):
        nn.SpectralNorm(per="matrix")(jnp.ones(3))
    with pytest.raises(ContractError, match="dtype is int32"):
        nn.Symmetric()(jnp.ones((2, 2), int))


def test_options_that_cannot_be_are_refused():
    for bound in (0.0, -1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match=rf"`bound` \(={bound}\) must be positive and finite"):
            nn.SpectralNorm(bound)
    with pytest.raises(ValueError, match=r"`per` \(='matrices'\) must be 'map' or 'matrix'"):
        nn.Orthogonal(per="matrices")
    with pytest.raises(ValueError, match=r"`diagonal` \(='one'\) must be one of 'free', 'unit', 'positive'"):
        nn.Triangular(diagonal="one")
