import equinox as eqx
import jax
import jax.numpy as jnp
import matnets
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import dense, tanh
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
