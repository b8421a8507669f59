import re

import jax
import jax.extend
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import bilinear_dense, dense
from matrinox.params import MatrixParams

# With these sizes one example is scanned over, and five have their map written out.
BATCHES = {"scanned": (), "written out": (5,)}


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def weights(q=3, p=2, rank=2, n=3):
    return draw(0, q, p, rank, n, n), draw(1, q, p, rank, n, n), draw(2, q, n, n)


def is_scanned(U, V, x):
    return "scan" in str(jax.make_jaxpr(bilinear_dense)(U, V, x))


@pytest.mark.parametrize("copies", [1, 8])
def test_bilinear_dense_multiplies_from_both_sides_and_adds_the_bias(copies):
    U = jnp.array([[[[[1.0, 2.0], [3.0, 4.0]]], [[[1.0, 0.0], [0.0, 2.0]]]]])
    V = jnp.array([[[[[0.0, 1.0], [1.0, 0.0]]], [[[1.0, 1.0], [0.0, 1.0]]]]])
    x = jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[5.0, 6.0], [7.0, 8.0]]])
    B = jnp.array([[[10.0, 0.0], [0.0, 20.0]]])
    # [[2, 1], [4, 3]] (the columns of U_1 exchanged) + [[5, 11], [14, 30]] + B
    y = bilinear_dense(U, V, jnp.stack([x] * copies), B)
    assert np.array_equal(y, [[[[17.0, 12.0], [18.0, 53.0]]]] * copies)


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
@pytest.mark.parametrize("rank", [1, 2])
def test_bilinear_dense_equals_its_formula_in_numpy(x64, batch, rank):
    U, V, B = weights(rank=rank)
    x = draw(3, *batch, 2, 3, 3)
    assert is_scanned(U, V, x) == (batch == ())
    expected = np.zeros((*batch, 3, 3, 3))
    for index in np.ndindex(batch):
        for q in range(3):
            terms = (U[q, p, k] @ x[index][p] @ V[q, p, k] for p, k in np.ndindex(2, rank))
            expected[index][q] = sum(terms) + B[q]
    np.testing.assert_allclose(bilinear_dense(U, V, x, B), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_rank_n_squared_represents_every_linear_map(x64, batch):
    q, p, n = 2, 3, 2
    any_map = draw(0, q, n, n, p, n, n)
    U, V = np.zeros((q, p, n * n, n, n)), np.zeros((q, p, n * n, n, n))
    # E_ai X V keeps row i of X, as row a of what V makes of it.
    for a, i in np.ndindex(n, n):
        U[:, :, a * n + i, a, i] = 1
        V[:, :, a * n + i] = np.einsum("qcpj->qpjc", any_map[:, a, :, :, i, :])
    x = draw(1, *batch, p, n, n)
    expected = np.einsum("qacpij,...pij->...qac", any_map, x)
    np.testing.assert_allclose(bilinear_dense(U, V, x), expected, rtol=1e-10, atol=1e-10)


def test_bilinear_dense_with_identities_on_the_right_is_dense(x64):
    U, _, B = weights(rank=1)
    x = draw(3, 5, 2, 3, 3)
    V = np.broadcast_to(np.eye(3), U.shape)
    params = MatrixParams(jnp.asarray(U[:, :, 0]), jnp.asarray(B))
    np.testing.assert_allclose(bilinear_dense(U, V, x, B), dense(params, x), rtol=1e-12, atol=1e-12)


def test_bilinear_dense_transposes_to_itself_with_weights_exchanged(x64):
    U, V, _ = weights()
    x = draw(3, 5, 2, 3, 3)
    flip = lambda a: np.swapaxes(a, -1, -2)  # noqa: E731
    np.testing.assert_allclose(flip(bilinear_dense(U, V, x)), bilinear_dense(flip(V), flip(U), flip(x)), rtol=1e-10)


def test_bilinear_dense_multiplies_two_scalars_when_n_is_1(x64):
    U, V, B = weights(rank=1, n=1)
    x = draw(3, 7, 2, 1, 1)
    expected = x[..., 0, 0] @ (U * V)[:, :, 0, 0, 0].T + B[:, 0, 0]
    np.testing.assert_allclose(bilinear_dense(U, V, x, B)[..., 0, 0], expected, rtol=1e-12)


@pytest.mark.parametrize("batch", BATCHES.values(), ids=BATCHES)
def test_bilinear_dense_gradients_match_finite_differences(x64, batch):
    U, V, B = weights()
    check_grads(jax.jit(bilinear_dense), (U, V, draw(3, *batch, 2, 3, 3), B), order=1, modes=["rev"])


@pytest.mark.parametrize("batch", [(), (5,), (2, 3), (0,)])
def test_bilinear_dense_takes_any_leading_axes(x64, batch):
    U, V, B = weights()
    x = draw(3, *batch, 2, 3, 3)
    y = bilinear_dense(U, V, x, B)
    assert y.shape == (*batch, 3, 3, 3)
    one_by_one = [bilinear_dense(U, V, x[index], B) for index in np.ndindex(batch)]
    np.testing.assert_allclose(y.reshape(-1, 3, 3, 3), np.array(one_by_one).reshape(-1, 3, 3, 3), atol=1e-12)


def largest_array(*arguments):
    found = [0]

    def walk(jaxpr):
        for equation in jaxpr.eqns:
            found.extend(variable.aval.size for variable in equation.outvars)
            for inner in jax.extend.core.jaxprs_in_params(equation.params):
                walk(inner)

    walk(jax.make_jaxpr(bilinear_dense)(*arguments).jaxpr)
    return max(found)


@pytest.mark.parametrize(("rank", "n", "examples"), [(1, 8, 64), (1, 2, 64), (4, 2, 1)])
def test_what_bilinear_dense_holds_stays_near_what_it_is_given(rank, n, examples):
    p = q = 16
    U = jnp.ones((q, p, rank, n, n))
    held = largest_array(U, U, jnp.ones((examples, p, n, n)))
    assert held <= max(2 * n * 2 * U.size, rank * examples * q * n * n)
    assert held < examples * q * p * rank * n * n or examples == 1


def test_bilinear_dense_keeps_half_precision_and_sums_in_single():
    U, V, B = (jnp.asarray(array, jnp.bfloat16) for array in weights())
    for x in (jnp.ones((2, 3, 3), jnp.bfloat16), jnp.ones((5, 2, 3, 3), jnp.bfloat16)):
        assert bilinear_dense(U, V, x, B).dtype == jnp.bfloat16
        text = jax.jit(bilinear_dense).lower(U, V, x, B).as_text()
        assert re.search(r"dot_general.*bf16>\) -> tensor<[^>]*xf32>", text)
        assert not re.search(r"dot_general.*-> tensor<[^>]*xbf16>", text)


def test_precision_and_accumulation_dtype_reach_the_products(x64):
    U, V, _ = (jnp.asarray(array, jnp.float32) for array in weights())
    x = jnp.ones((5, 2, 3, 3), jnp.float32)
    options = {"precision": "highest", "accumulation_dtype": jnp.float64}
    text = jax.jit(lambda U, V, x: bilinear_dense(U, V, x, **options)).lower(U, V, x).as_text()
    assert len(re.findall(r"dot_general.*HIGHEST, HIGHEST.*f32>\) -> tensor<[^>]*xf64>", text)) == 2
    assert bilinear_dense(U, V, x, **options).dtype == jnp.float32


def test_bilinear_dense_refuses_what_does_not_fit():
    U, V, B = weights()
    x = draw(3, 2, 3, 3)
    with pytest.raises(ContractError, match=r"bilinear_dense got x .*axis -3 is 4, p is 2"):
        bilinear_dense(U, V, draw(3, 4, 3, 3))
    with pytest.raises(ContractError, match=r"bilinear_dense got V .*axis 2 is 1, rank is 2"):
        bilinear_dense(U, V[:, :, :1], x)
    with pytest.raises(ContractError, match=r"bilinear_dense got B .*axis 0 is 2, q is 3"):
        bilinear_dense(U, V, x, B[:2])
    with pytest.raises(ValueError, match="did you mean 'highest'"):
        bilinear_dense(U, V, x, precision="hihgest")
    with pytest.raises(ValueError, match="must hold what is summed"):
        bilinear_dense(U, V, x, accumulation_dtype=jnp.bfloat16)
