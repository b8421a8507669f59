import builtins

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
import saiunit as u

from matrinox.transforms import hvp, jvp, vjp

X, Y = jnp.array([1.0, 2.0]) * u.meter, 3.0 * u.second
BY_X, BY_Y = jnp.array([6.0, 12.0]), 5.0


def energy(x, y):
    return u.math.sum(x**2) * y


def same(ours, theirs):
    assert u.get_unit(ours) == u.get_unit(theirs)
    np.testing.assert_allclose(u.get_mantissa(ours), u.get_mantissa(theirs), rtol=1e-6)


def test_the_product_with_one_is_the_gradient_of_saiunit():
    value, pull = vjp(energy, X, Y, argnums=(0, 1), unit_aware=True)
    same(value, energy(X, Y))
    for ours, theirs in zip(pull(1.0), u.autograd.grad(energy, argnums=(0, 1))(X, Y), strict=True):
        same(ours, theirs)


def test_a_cotangent_multiplies_its_unit_and_a_tangent_divides_by_that_of_its_input():
    by_x, by_y = vjp(energy, X, Y, argnums=(0, 1), unit_aware=True)[1](2.0 * u.kelvin)
    same(by_x, 2 * BY_X * u.meter * u.second * u.kelvin)
    same(by_y, 2 * BY_Y * u.meter**2 * u.kelvin)
    velocity = X / u.kelvin
    same(jvp(energy, (X, Y), (velocity, None), unit_aware=True)[1], 30.0 * u.meter**2 * u.second / u.kelvin)
    same(jvp(energy, (X, Y), (X, Y), unit_aware=True)[1], 45.0 * u.meter**2 * u.second)
    # In other units of the same dimension, and of a length without a unit, which is of the Jacobian by coordinates.
    tangents = (X, 3000.0 * u.ms)
    same(jvp(energy, (X, Y), tangents, unit_aware=True)[1], 45.0 * u.meter**2 * u.second)
    same(jvp(energy, (X, Y), (jnp.array([1.0, 0.0]), None), unit_aware=True)[1], 6.0 * u.meter * u.second)


def test_hvp_has_the_units_of_the_hessian_times_the_tangent():
    by_x, by_y = hvp(energy, (X, Y), (X, Y), unit_aware=True)
    same(by_x, 12.0 * X.mantissa * u.meter * u.second)
    same(by_y, 10.0 * u.meter**2)


def test_units_of_a_tree_and_of_what_has_none():
    value, pull = vjp(lambda x: {"square": x["a"] ** 2, "plain": x["b"] * 2.0}, {"a": X, "b": 1.0}, unit_aware=True)
    same(value["square"], X**2)
    pulled = pull({"square": None, "plain": 3.0})
    assert pulled["b"] == 6.0
    same(pulled["a"], jnp.zeros(2) / u.meter)


def test_products_in_different_units_are_not_added():
    with pytest.raises(ValueError, match=r"`tangents\[1\]` is in m, and must be in s for all products to be added"):
        jvp(energy, (X, Y), (X, 1.0 * u.meter), unit_aware=True)


def test_units_without_the_extra_name_it(monkeypatch):
    imported = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("saiunit"):
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    for product in (lambda: vjp(jnp.sin, 1.0, unit_aware=True), lambda: jvp(jnp.sin, (1.0,), (1.0,), unit_aware=True)):
        with pytest.raises(ImportError, match=r'`unit_aware=True` needs saiunit: `pip install "matrinox\[units\]"`'):
            product()
    with pytest.raises(ImportError, match=r"matrinox\[units\]"):
        hvp(jnp.sin, (1.0,), (1.0,), unit_aware=True)


def test_without_unit_awareness_a_quantity_is_a_tree():
    _, product = jvp(energy, (X, Y), (X, Y))
    same(product, 45.0 * u.meter**2 * u.second)
    assert eqx.tree_equal(product, jvp(energy, (X, Y), (X, Y), unit_aware=True)[1])
