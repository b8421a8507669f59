import re

import equinox as eqx
import jax
import jax.numpy as jnp
import matnets
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import adjoint, dense, tanh
from matrinox.params import MatrixParams


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


@pytest.fixture
def params():
    """Two neurons in, three out, 4×4; single precision unless the test asks for `x64` first."""
    return MatrixParams(jnp.asarray(draw(0, 3, 2, 4, 4)), jnp.asarray(draw(1, 3, 4, 4)))


def test_dense_sums_matrix_products_and_adds_the_bias():
    W = jnp.array([[[[1.0, 2.0], [3.0, 4.0]], [[0.0, 1.0], [1.0, 0.0]]]])
    x = jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[5.0, 6.0], [7.0, 8.0]]])
    B = jnp.array([[[10.0, 0.0], [0.0, 20.0]]])
    # [[1, 2], [3, 4]] @ I + (the rows of x_2 exchanged) + B
    assert np.array_equal(dense(MatrixParams(W, B), x), [[[18.0, 10.0], [8.0, 30.0]]])
    assert np.array_equal(dense(MatrixParams(W), x), [[[8.0, 10.0], [8.0, 10.0]]])


def test_dense_equals_matnets(x64, params):
    x = draw(2, 5, 2, 4, 4)
    theirs = jax.vmap(lambda x: matnets.dense(matnets.MatrixParams(params.W, params.B), x, jnp.tanh))(x)
    np.testing.assert_allclose(dense(params, x, tanh), theirs, rtol=1e-10)


def test_dense_equals_its_formula_in_numpy(x64, params):
    x = draw(2, 5, 2, 4, 4)
    expected = np.zeros((5, 3, 4, 4))
    for b, q in np.ndindex(5, 3):
        expected[b, q] = sum(params.W[q, p] @ x[b, p] for p in range(2)) + params.B[q]
    np.testing.assert_allclose(dense(params, x), expected, rtol=1e-12)


def test_dense_equals_eqx_linear_when_n_is_1(x64):
    linear = eqx.nn.Linear(5, 3, key=jax.random.key(0))
    params = MatrixParams(linear.weight[..., None, None], linear.bias[..., None, None])
    x = draw(1, 7, 5)
    np.testing.assert_allclose(
        dense(params, x[..., None, None])[..., 0, 0], jax.vmap(linear)(x), rtol=1e-12, atol=1e-12
    )


def test_dense_gradients_match_finite_differences(x64, params):
    check_grads(jax.jit(lambda params, x: dense(params, x, tanh)), (params, draw(2, 5, 2, 4, 4)), order=1)


@pytest.mark.parametrize("batch", [(), (5,), (2, 3), (0,)])
def test_dense_takes_any_leading_axes(x64, params, batch):
    x = draw(2, *batch, 2, 4, 4)
    y = dense(params, x)
    assert y.shape == (*batch, 3, 4, 4)
    np.testing.assert_allclose(jax.jit(dense)(params, x), y, rtol=1e-12)
    one_by_one = [dense(params, x[index]) for index in np.ndindex(batch)]
    np.testing.assert_allclose(y.reshape(-1, 3, 4, 4), np.array(one_by_one).reshape(-1, 3, 4, 4), rtol=1e-12)


def test_dense_under_vmap_equals_dense_over_a_batch(x64, params):
    x = draw(2, 5, 2, 4, 4)
    np.testing.assert_allclose(jax.vmap(lambda x: dense(params, x))(x), dense(params, x), rtol=1e-12)


def test_dense_is_one_matrix_product_for_a_whole_batch(params):
    jaxpr = jax.make_jaxpr(dense)(params, jnp.ones((2, 5, 2, 4, 4)))
    (product,) = [eqn for eqn in jaxpr.jaxpr.eqns if eqn.primitive.name == "dot_general"]
    assert product.params["dimension_numbers"][1] == ((), ())


def test_dense_keeps_half_precision(params):
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    x = draw(2, 5, 2, 4, 4).astype(jnp.bfloat16)
    y = dense(half, x)
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y, dense(params, x.astype(np.float32)), rtol=0.05, atol=0.1)


@pytest.mark.parametrize(
    ("shape", "fact"),
    [
        ((3, 4, 4), "axis -3 is 3, p is 2"),
        ((2, 5, 5), "axis -2 is 5, n is 4"),
        ((2, 4, 5), "axis -1 is 5, n is 4"),
        ((4, 4), "2 axes"),
    ],
)
def test_dense_refuses_a_wrong_shape(params, shape, fact):
    with pytest.raises(ContractError, match=fact):
        dense(params, jnp.ones(shape))


def test_dense_refuses_a_weight_with_a_kernel():
    with pytest.raises(
        ContractError, match=r"`dense` takes W \(q, p, n, n\), got .* 1 kernel axis: use `matrix_conv1d`"
    ):
        dense(MatrixParams(jnp.ones((3, 2, 5, 4, 4))), jnp.ones((2, 4, 4)))


def test_dense_refuses_an_activation_that_changes_the_shape(params):
    with pytest.raises(ContractError, match="dense returned"):
        dense(params, jnp.ones((2, 4, 4)), jnp.sum)


def test_the_adjoint_multiplies_by_transposed_matrices():
    W = jnp.array([[[[1.0, 2.0], [3.0, 4.0]]], [[[0.0, 1.0], [2.0, 0.0]]]])
    x = jnp.array([[[1.0, 0.0], [0.0, 1.0]], [[5.0, 6.0], [7.0, 8.0]]])
    # [[1, 3], [2, 4]] @ I + [[0, 2], [1, 0]] @ x_2
    assert np.array_equal(dense(MatrixParams(adjoint(W)), x), [[[15.0, 19.0], [7.0, 10.0]]])


def test_dense_of_the_adjoint_is_the_adjoint_of_dense(x64, params):
    x, y = draw(2, 2, 4, 4), draw(3, 3, 4, 4)
    forward = np.vdot(dense(MatrixParams(params.W), x), y)
    assert forward == pytest.approx(np.vdot(x, dense(MatrixParams(adjoint(params.W)), y)), rel=1e-12)
    assert np.array_equal(adjoint(adjoint(params.W)), params.W)


def lowered(params, x, **options):
    return jax.jit(lambda params, x: dense(params, x, **options)).lower(params, x).as_text()


def test_sums_are_taken_in_the_accumulation_dtype(params):
    half = jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), params)
    x = jax.ShapeDtypeStruct((5, 2, 4, 4), jnp.bfloat16)
    # XLA's CPU backend sums in float32 whatever is asked, so the products alone would not tell.
    assert re.search(r"dot_general.*-> tensor<[^>]*xbf16>", lowered(half, x))
    text = lowered(half, x, accumulation_dtype=jnp.float32)
    assert re.search(r"dot_general.*bf16>\) -> tensor<[^>]*xf32>", text)
    assert re.search(r"stablehlo.add.*xf32>", text)
    assert re.search(r"return %\d+ : tensor<5x3x4x4xbf16>", text)


def test_bfloat16_summed_in_float32_is_nearer_to_float64():
    half = MatrixParams(jnp.asarray(draw(0, 4, 64, 2, 2), jnp.bfloat16), jnp.asarray(draw(1, 4, 2, 2), jnp.bfloat16))
    x = draw(2, 32, 64, 2, 2).astype(jnp.bfloat16)
    W, B = (np.asarray(leaf, np.float64) for leaf in (half.W, half.B))
    exact = np.einsum("qpak,bpkc->bqac", W, x.astype(np.float64)) + B
    narrow, wide = dense(half, x), dense(half, x, accumulation_dtype=jnp.float32)
    assert wide.dtype == narrow.dtype == jnp.bfloat16
    narrow_error, wide_error = (np.abs(np.asarray(y, np.float64) - exact).mean() for y in (narrow, wide))
    assert wide_error < 0.8 * narrow_error


def test_gradients_pass_through_wider_sums(x64, params):
    x = draw(2, 5, 2, 4, 4)
    single = jax.tree.map(lambda leaf: leaf.astype(jnp.float32), params)

    def loss(params, x, **options):
        return jnp.sum(dense(params, x, tanh, **options).astype(float))

    narrow = jax.grad(loss, argnums=(0, 1))(single, x.astype(np.float32), accumulation_dtype=jnp.float64)
    exact = jax.grad(loss, argnums=(0, 1))(params, x)
    for ours, theirs in zip(jax.tree.leaves(narrow), jax.tree.leaves(exact), strict=True):
        assert ours.dtype == jnp.float32
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-4)


def test_the_precision_reaches_the_product(params):
    x = jnp.ones((2, 4, 4))
    assert "[DEFAULT, DEFAULT]" in lowered(params, x)
    for precision in ("highest", jax.lax.Precision.HIGHEST):
        assert "[HIGHEST, HIGHEST]" in lowered(params, x, precision=precision)


def test_dense_refuses_a_misspelt_precision_and_sums_of_integers(params):
    with pytest.raises(ValueError, match="did you mean 'highest'"):
        dense(params, jnp.ones((2, 4, 4)), precision="hihgest")
    with pytest.raises(ValueError, match="must be a float dtype"):
        dense(params, jnp.ones((2, 4, 4)), accumulation_dtype=int)
    with pytest.raises(ValueError, match="must hold what is summed"):
        dense(params, jnp.ones((2, 4, 4)), accumulation_dtype=jnp.bfloat16)
