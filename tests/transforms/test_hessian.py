import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import grad, hessian, jacfwd


class Model(eqx.Module):
    weight: jax.Array
    bias: jax.Array
    activation: object

    def loss(self, x):
        return jnp.sum(self.activation(self.weight * x + self.bias) ** 2)

    def outputs(self, x):
        return {"loss": self.loss(x), "twice": 2 * self.loss(x)}


def loss(weight, bias, x):
    return Model(weight, bias, jnp.tanh).loss(x)


def assert_same(ours, theirs, rtol=1e-5):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for left, right in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(left, right, rtol=rtol, atol=1e-6)


MODEL, X = Model(jnp.array([0.5, -1.0]), jnp.array(0.2), jnp.tanh), jnp.array([0.4, -0.6])


@pytest.fixture(scope="module")
def blocks():
    """The Hessian by weight, bias and input, by JAX: rows of columns."""
    return jax.jit(jax.hessian(loss, argnums=(0, 1, 2)))(MODEL.weight, MODEL.bias, X)


def test_by_states_and_arguments_the_hessian_has_blocks_as_in_jax(blocks):
    by_both = jax.jit(hessian(MODEL.loss, lambda model: model.weight, 0, return_value=True))(X)
    expected = tuple(tuple(blocks[row][column] for column in (0, 2)) for row in (0, 2))
    assert_same(by_both, (expected, MODEL.loss(X)))
    # Rows and columns of mixed derivatives are each other's transposes.
    np.testing.assert_allclose(by_both[0][0][1], by_both[0][1][0].T, rtol=1e-5, atol=1e-6)


def test_by_the_whole_model_every_block_is_there(blocks):
    ours = eqx.filter_jit(hessian(MODEL.loss, eqx.is_inexact_array))(X)
    rows = [Model(*blocks[row][:2], None) for row in (0, 1)]  # pyright: ignore[reportArgumentType]
    assert_same(ours, Model(*rows, None))  # pyright: ignore[reportArgumentType]


def test_of_a_tree_of_outputs_the_tree_is_outermost(blocks):
    ours = jax.jit(hessian(MODEL.outputs, "bias"))(X)
    assert_same(ours, {"loss": {"bias": {"bias": blocks[1][1]}}, "twice": {"bias": {"bias": 2 * blocks[1][1]}}})


def test_the_hessian_of_a_quadratic_form_is_its_matrix(x64):
    A = jnp.array([[2.0, 1.0], [1.0, 4.0]])

    def form(x):
        return 0.5 * x @ A @ x, "form"

    x = jnp.array([0.3, -0.2])
    result, value, aux = hessian(form, has_aux=True, return_value=True)(x)
    np.testing.assert_allclose(result, A, rtol=1e-14)
    np.testing.assert_allclose(value, 0.5 * x @ A @ x, rtol=1e-14)
    assert aux == "form"


def test_the_hessian_is_the_jacobian_of_the_gradient(x64):
    model = jax.tree.map(lambda leaf: leaf.astype(float) if eqx.is_array(leaf) else leaf, MODEL)
    by = eqx.is_inexact_array
    both = eqx.filter_jit(lambda x: (hessian(model.loss, by)(x), jacfwd(grad(model.loss, by), by)(x)))
    assert_same(*both(X.astype(float)), rtol=1e-12)
