"""The examples of MLX's guide to function transforms, with its names for these and the values that it prints."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import matrinox as mx
from matrinox.transforms import jacfwd, jvp, vjp

W, X, Y = jnp.array(1.0), jnp.array([0.5, -0.5]), jnp.array([1.5, -1.5])


def loss_fn(w, x, y):
    return jnp.mean(jnp.square(w * x - y))


def test_the_gradient_of_sin_is_cos():
    assert mx.grad(jnp.sin)(jnp.array(jnp.pi)) == -1.0


def test_the_second_derivative_of_sin_is_minus_sin():
    assert mx.grad(mx.grad(jnp.sin))(jnp.array(jnp.pi / 2)) == -1.0
    assert mx.grad(mx.grad(mx.grad(jnp.sin)))(jnp.array(0.0)) == -1.0


def test_the_gradient_is_by_the_first_argument_or_by_argnums():
    assert mx.grad(loss_fn)(W, X, Y) == -1.0
    assert mx.grad(loss_fn, argnums=1)(W, X, Y).tolist() == [-1.0, 1.0]


def test_the_gradient_is_by_argnames():
    nothing, by_name = mx.grad(loss_fn, argnames=["x"])(W, x=X, y=Y)
    assert nothing is None
    assert by_name["x"].tolist() == [-1.0, 1.0]


def test_the_value_comes_with_the_gradient():
    loss, dloss_dw = mx.value_and_grad(loss_fn)(W, X, Y)
    assert loss == 1.0
    assert dloss_dw == -1.0


def test_gradients_by_nested_containers_keep_their_structure():
    def loss_of(params, x, y):
        return loss_fn(params["weight"], x, y - params["bias"])

    gradients = mx.grad(loss_of)({"weight": jnp.array(1.0), "bias": jnp.array(0.0)}, X, Y)
    assert gradients == {"weight": -1.0, "bias": 0.0}
    nested = {"layers": [(W, [X]), (W, [Y])], "scale": W}
    by_nested = mx.grad(lambda p: p["scale"] * sum(jnp.sum(w * v[0] ** 2) for w, v in p["layers"]))(nested)
    assert isinstance(by_nested["layers"][0], tuple)
    assert by_nested["scale"] == 5.0
    assert by_nested["layers"][1][0] == 4.5
    assert by_nested["layers"][0][1][0].tolist() == [1.0, -1.0]


def test_gradients_stop_where_they_are_stopped():
    assert mx.grad(lambda x: x * mx.stop_gradient(x))(3.0) == 3.0


def test_vmap_adds_columns_to_rows():
    xs, ys = np.arange(12.0).reshape(4, 3), np.ones((3, 4))
    naive = [xs[:, i] + ys[i] for i in range(xs.shape[1])]
    assert mx.vmap(lambda x, y: x + y, in_axes=(1, 0))(xs, ys).tolist() == [list(row) for row in naive]
    over_columns = mx.vmap(lambda x, y: x + y, in_axes=(1, 0), out_axes=1)(xs, ys)
    assert over_columns.tolist() == np.array(naive).T.tolist()


def test_a_mapped_addition_is_as_many_operations_for_any_number_of_slices():
    def operations(function, slices):
        return len(jax.make_jaxpr(function)(jnp.ones((4, slices)), jnp.ones((slices, 4))).eqns)

    def naive(xs, ys):
        return [xs[:, i] + ys[i] for i in range(xs.shape[1])]

    mapped = mx.vmap(lambda x, y: x + y, in_axes=(1, 0))
    assert operations(mapped, 3) == operations(mapped, 100) <= 2
    assert operations(naive, 100) >= 100


@pytest.mark.parametrize("order", [0, 1])
def test_transforms_compose_in_either_order(order):
    orders = [mx.vmap(mx.grad(jnp.sin)), mx.grad(lambda x: jnp.sum(mx.vmap(jnp.sin)(x)))]
    np.testing.assert_allclose(orders[order](X), jnp.cos(X), rtol=1e-6)


def test_products_with_the_calls_of_mlx():
    outputs, jvps = jvp(jnp.sin, (X,), (Y,))
    np.testing.assert_allclose(jvps, jnp.cos(X) * Y, rtol=1e-6)
    outputs, pull = vjp(jnp.sin, X)
    np.testing.assert_allclose(pull(Y), jnp.diagonal(jacfwd(jnp.sin)(X)) * Y, rtol=1e-6)
    np.testing.assert_array_equal(outputs, jnp.sin(X))
