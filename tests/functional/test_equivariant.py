import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.functional import conjugation_bilinear, conjugation_dense

ROUNDING = {"rtol": 1e-9, "atol": 1e-9}


def draw(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def conjugate(x, g):
    return g @ x @ np.linalg.inv(g)


def test_conjugation_maps_by_hand():
    x = jnp.array([[[1.0, 2.0], [3.0, 5.0]]])
    two, minus, one = jnp.array([[2.0]]), jnp.array([[-1.0]]), jnp.array([1.0])
    # t = 3: 2 (X − 3 I) − 3 I + I
    assert conjugation_dense(two, minus, x, one).tolist() == [[[-6, 4], [6, 2]]]
    up, down = jnp.array([[0.0, 1.0], [0.0, 0.0]]), jnp.array([[0.0, 0.0], [1.0, 0.0]])
    first, second = jnp.array([[[1.0], [0.0]]]), jnp.array([[[0.0], [2.0]]])
    assert conjugation_bilinear(first, second, jnp.stack([up, down])).tolist() == [[[2, 0], [0, 0]]]
    assert conjugation_bilinear(first, second, jnp.stack([up, down]), commutator=True).tolist() == [[[2, 0], [0, -2]]]


def test_conjugation_maps_equal_numpy_and_take_any_leading_axes(x64):
    w, v, b, x = draw(3, 2), draw(3, 2, seed=1), draw(3), draw(5, 4, 2, 3, 3)
    trace = np.trace(x, axis1=-2, axis2=-1)[..., None, None] * np.eye(3) / 3
    parts = np.einsum("qp,...pij->...qij", w, x - trace) + np.einsum("qp,...pij->...qij", v, trace)
    expected = parts + b[:, None, None] * np.eye(3)
    np.testing.assert_allclose(conjugation_dense(w, v, x, b), expected, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(conjugation_dense(w, v, x[1, 2]), parts[1, 2], rtol=1e-12, atol=1e-12)
    u, v = draw(3, 2, 2), draw(3, 2, 2, seed=1)
    products = np.einsum("qpk,qrk,...pij,...rjl->...qil", u, v, x, x)
    np.testing.assert_allclose(conjugation_bilinear(u, v, x), products, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(conjugation_bilinear(u, v, x[1, 2]), products[1, 2], rtol=1e-12, atol=1e-12)
    swapped = np.einsum("qpk,qrk,...rij,...pjl->...qil", u, v, x, x)
    commutators = conjugation_bilinear(u, v, x, commutator=True)
    np.testing.assert_allclose(commutators, products - swapped, rtol=1e-12, atol=1e-12)
    np.testing.assert_allclose(np.trace(commutators, axis1=-2, axis2=-1), 0, atol=1e-11)


def test_conjugation_dense_equals_eqx_linear_when_n_is_1():
    theirs = eqx.nn.Linear(5, 3, key=jax.random.key(0))
    x = jnp.asarray(draw(7, 5), jnp.float32)
    # A 1×1 matrix is its trace: the weight of what has none does not matter.
    ours = conjugation_dense(draw(3, 5), theirs.weight, x[..., None, None], theirs.bias)[..., 0, 0]
    np.testing.assert_allclose(ours, jax.vmap(theirs)(x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("n", [2, 3, 4])
def test_conjugation_maps_commute_with_every_change_of_basis(x64, n):
    x, g, w = draw(4, n, n), draw(n, n, seed=n), draw(3, 4)
    u = draw(3, 4, 2, seed=1)
    for function in (
        lambda x: conjugation_dense(w, w[::-1], x, w[:, 0]),
        lambda x: conjugation_bilinear(u, u[::-1], x),
        lambda x: conjugation_bilinear(u, u[::-1], x, commutator=True),
    ):
        np.testing.assert_allclose(function(conjugate(x, g)), conjugate(np.asarray(function(x)), g), **ROUNDING)


@pytest.mark.parametrize("n", [2, 3])
def test_conjugation_dense_is_every_linear_map_that_commutes(n):
    # L commutes with X -> G X G⁻¹, the matrix A on the entries of X, where L A − A L = 0: count the solutions L.
    equations = []
    for seed in (1, 2):
        g = draw(n, n, seed=seed)
        a = np.kron(g, np.linalg.inv(g).T)
        equations.append(np.kron(np.eye(n * n), a) - np.kron(a.T, np.eye(n * n)))
    singular = np.linalg.svd(np.concatenate(equations), compute_uv=False)
    # For each pair of neurons two, as conjugation_dense has weights.
    assert np.sum(singular < 1e-9 * singular[0]) == 2


def test_conjugation_bilinear_of_full_rank_is_every_sum_of_products_of_two(x64):
    c, x = draw(2, 3, 3), draw(3, 2, 2, seed=1)
    left, values, right = np.linalg.svd(c)
    y = conjugation_bilinear(left * values[:, None, :], np.swapaxes(right, -1, -2), x)
    np.testing.assert_allclose(y, np.einsum("qpr,pij,rjl->qil", c, x, x), rtol=1e-12, atol=1e-12)


def test_conjugation_maps_of_half_precision_sum_in_single_precision():
    # A running sum of ones in bfloat16 stops at 256.
    x, w = jnp.ones((1024, 1, 1), jnp.bfloat16), jnp.ones((1, 1024), jnp.bfloat16)
    assert conjugation_dense(w, w, x).tolist() == [[[1024]]]
    y = conjugation_bilinear(w[..., None], w[..., None] / 1024, x)
    assert (y.dtype, y.tolist()) == (jnp.bfloat16, [[[1024]]])


def test_conjugation_maps_refuse_shapes_that_do_not_fit():
    w, u, x = jnp.ones((3, 2)), jnp.ones((3, 2, 1)), jnp.ones((2, 4, 4))
    with pytest.raises(ContractError, match=r"conjugation_dense got x float32\[3, 4, 4\].*axis -3 is 3, p is 2"):
        conjugation_dense(w, w, jnp.ones((3, 4, 4)))
    with pytest.raises(ContractError, match=r"got trace_weight float32\[2, 3\].*axis 0 is 2, q is 3"):
        conjugation_dense(w, w.T, x)
    with pytest.raises(ContractError, match=r"got right float32\[3, 2, 2\].*axis 2 is 2, rank is 1"):
        conjugation_bilinear(u, jnp.ones((3, 2, 2)), x)
    for refused in (
        lambda: conjugation_dense(w, w, x, precision="hihg"),
        lambda: conjugation_bilinear(u, u, x, precision="hihg"),
    ):
        with pytest.raises(ValueError, match="did you mean 'high'"):
            refused()
