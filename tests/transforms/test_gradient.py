import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import grad, hessian, jacfwd, jacrev, nn, value_and_grad


class Model(eqx.Module):
    dense: nn.Dense
    activation: object

    def scores(self, x):
        return self.activation(self.dense(x))

    def loss(self, x):
        return jnp.mean(self.scores(x) ** 2)


@pytest.fixture
def model(x64):
    return Model(nn.Dense(p=1, q=2, n=1, dtype=jnp.float64, key=jax.random.key(0)), jnp.tanh)


@pytest.fixture
def x(x64):
    return jax.random.normal(jax.random.key(1), (1, 1, 1), jnp.float64)


def assert_same(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for left, right in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-14)


def test_gradient_by_a_filter_is_that_of_jax_on_the_partitioned_model(model, x):
    params, static = eqx.partition(model, eqx.is_inexact_array)
    expected = jax.value_and_grad(lambda params, x: eqx.combine(params, static).loss(x), argnums=(0, 1))(params, x)
    value, gradient = value_and_grad(lambda model, x: model.loss(x), eqx.is_inexact_array, argnums=1)(model, x)
    assert_same((value, gradient), expected)
    assert_same(grad(model.loss, eqx.is_inexact_array, argnums=0)(x), expected[1])


def total(tree):
    return sum(jnp.sum(leaf**2) for leaf in jax.tree.leaves(tree))


OURS = {"grad": grad, "value_and_grad": value_and_grad, "jacfwd": jacfwd, "jacrev": jacrev, "hessian": hessian}
THEIRS = {name: getattr(jax, name) for name in OURS}


def of_scalar(name, table, func, *by):
    """The transform of `func`, or of the sum of its squares if the transform takes scalars alone."""
    if "grad" in name:
        return table[name](lambda *args: total(func(*args)), *by)
    return table[name](func, *by)


class Small(eqx.Module):
    weight: jax.Array
    activation: object

    def loss(self, x):
        return self.activation(self.weight * x) ** 2


def test_every_pair_of_derivatives_is_that_of_jax_on_the_partitioned_model(x64):
    model, x = Small(jnp.array(0.5), jnp.sin), jnp.array(0.7)
    params, static = eqx.partition(model, eqx.is_inexact_array)

    def loss(params):
        return eqx.combine(params, static).loss(x)

    pairs = [(outer, inner) for outer in OURS for inner in OURS]

    @eqx.filter_jit
    def ours(model, x):
        by = eqx.is_inexact_array
        return [of_scalar(outer, OURS, of_scalar(inner, OURS, model.loss, by), by)(x) for outer, inner in pairs]

    @jax.jit
    def theirs(params):
        return [of_scalar(outer, THEIRS, of_scalar(inner, THEIRS, loss))(params) for outer, inner in pairs]

    assert_same(ours(model, x), theirs(params))


def test_a_derivative_of_a_derivative_may_select_otherwise(model, x):
    def weight(params, x):
        return eqx.tree_at(lambda model: model.dense.weight, model, params).loss(x)

    @eqx.filter_jit
    def pairs(model, x):
        by_input = jacfwd(grad(model.loss, "dense.weight"))(x)["dense.weight"]
        by_state = jacrev(grad(lambda model, x: model.loss(x), argnums=1), lambda model: model.dense.weight)(model, x)
        return [
            (by_input, jax.jacfwd(jax.grad(weight), argnums=1)(model.dense.weight, x)),
            (by_state, jax.jacrev(jax.grad(weight, argnums=1))(model.dense.weight, x)),
        ]

    for ours, theirs in pairs(model, x):
        assert_same(ours, theirs)


def test_third_derivatives_have_their_closed_form(x64):
    class Power(eqx.Module):
        weight: jax.Array

        def loss(self, x):
            return self.weight**4 * x**3

    w, x = jnp.array(1.5), jnp.array(0.7)
    loss = Power(w).loss
    by = ("weight",)
    third = grad(lambda x: grad(lambda x: grad(loss, *by)(x)["weight"], *by)(x)["weight"], *by)
    np.testing.assert_allclose(jax.jit(third)(x)["weight"], 24 * w * x**3, rtol=1e-12)
    np.testing.assert_allclose(grad(grad(grad(loss)))(x), 6 * w**4, rtol=1e-12)
    of_gradient = hessian(grad(loss, lambda power: power.weight), lambda power: power.weight)
    np.testing.assert_allclose(eqx.filter_jit(of_gradient)(x), 24 * w * x**3, rtol=1e-12)
    mixed = hessian(grad(loss, lambda power: power.weight))
    np.testing.assert_allclose(mixed(x), 4 * w**3 * 6 * x, rtol=1e-12)


def test_gradients_by_trees_keep_their_structure_as_in_mlx():
    def loss(params, x, *, scale):
        return jnp.sum(params["layers"][0] * x) * params["layers"][1] * scale[0]

    params = {"layers": [jnp.array([1.0, 2.0]), jnp.array(3.0)], "name": "two layers"}
    x, scale = jnp.array([0.5, 1.0]), (2.0, "left")
    gradient = grad(loss, argnums=0, argnames="scale")(params, x, scale=scale)
    assert_same(gradient, ({"layers": [6.0 * x, jnp.array(5.0)], "name": None}, {"scale": (7.5, None)}))
    value, (none, named) = value_and_grad(loss, argnames=["scale"])(params, x, scale=scale)
    assert (value, none) == (15.0, None)
    assert_same(named, {"scale": (7.5, None)})


def test_a_gradient_is_descended_along(model, x):
    @eqx.filter_jit
    def step(model):
        value, gradient = value_and_grad(lambda model: model.loss(x), eqx.is_inexact_array)(model)
        return eqx.apply_updates(model, jax.tree.map(lambda leaf: -0.1 * leaf, gradient)), value

    losses = []
    for _ in range(5):
        model, value = step(model)
        losses.append(float(value))
    assert losses == sorted(losses, reverse=True)
    assert losses[-1] < 0.9 * losses[0]
