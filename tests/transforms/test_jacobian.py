import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import jacfwd, jacobian, jacrev
from matrinox.nn import Dense


class Model(eqx.Module):
    weight: jax.Array
    bias: jax.Array
    name: str

    def outputs(self, x):
        return {"scores": jnp.tanh(self.weight @ x) + self.bias, "sum": jnp.sum(self.weight)}


MODEL = Model(jnp.array([[0.5, -1.0], [2.0, 0.1], [0.3, 0.7]]), jnp.array([0.1, 0.2, 0.3]), "left")
X = jnp.array([0.4, -0.6])


def outputs(weight, bias, x):
    return Model(weight, bias, "left").outputs(x)


def assert_same(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for left, right in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["jacfwd", "jacrev"])
def test_of_a_tree_of_outputs_the_tree_is_outermost_as_in_jax(name):
    ours, theirs = {"jacfwd": jacfwd, "jacrev": jacrev}[name], getattr(jax, name)

    @jax.jit
    def pairs(x):
        by_leaves = theirs(outputs, argnums=(0, 1))(MODEL.weight, MODEL.bias, x)
        by_both = theirs(outputs, argnums=(0, 2))(MODEL.weight, MODEL.bias, x)
        return [
            (ours(MODEL.outputs, lambda model: (model.weight, model.bias))(x), by_leaves),
            (ours(MODEL.outputs, lambda model: model.weight, 0)(x), by_both),
            (ours(outputs, argnums=(0, 2))(MODEL.weight, MODEL.bias, x), by_both),
        ]

    for mine, expected in pairs(X):
        assert_same(mine, expected)


def test_both_modes_give_the_same_jacobian_of_a_layer(x64):
    layer = Dense(p=2, q=1, n=2, dtype=jnp.float64, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, 2, 2), jnp.float64)
    forward, reverse = jax.jit(lambda x: (jacfwd(layer, "*", argnums=0)(x), jacrev(layer, "*", argnums=0)(x)))(x)
    assert_same(forward, reverse)
    by_state, by_input = forward
    # y_q = Σ_p W_qp @ x_p + B_q is linear in each.
    assert by_input.shape == (1, 2, 2, 2, 2, 2)
    product = layer(x) - layer.bias
    np.testing.assert_allclose(np.einsum("qabpcd,pcd->qab", by_input, x), product, rtol=1e-12)
    np.testing.assert_allclose(np.tensordot(by_state["weight"], layer.weight, 4), product, rtol=1e-12)
    np.testing.assert_array_equal(by_state["bias"].reshape(4, 4), np.eye(4))


def test_jacobian_is_jacrev():
    assert jacobian is jacrev


def test_a_jacobian_by_name_is_behind_that_by_position():
    def scaled(x, *, scale):
        return x * scale

    assert_same(jacfwd(scaled, argnums=0, argnames="scale")(X, scale=2.0), (2 * jnp.eye(2), {"scale": X}))
    assert_same(jacrev(scaled, argnames="scale")(X, scale=2.0), (None, {"scale": X}))
