import sys
from typing import Any

import brainstate
import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
import saiunit
import saiunit.autograd

import matrinox
from matrinox.transforms.leaf import is_quantity


class Spring(eqx.Module):
    stiffness: Any
    rest: Any

    def energy(self, x):
        return 0.5 * self.stiffness * (x - self.rest) ** 2

    def total(self, x):
        return self.energy(x).sum()


K, REST, X = 3.0 * saiunit.newton / saiunit.meter, 0.5 * saiunit.meter, jnp.array([1.0, 2.0]) * saiunit.meter
SPRING = Spring(K, REST)


def energy(stiffness, x):
    return Spring(stiffness, REST).energy(x)


def total(stiffness, x):
    return energy(stiffness, x).sum()


def assert_same(ours, theirs):
    def flat(tree):
        return jax.tree.flatten(tree, is_leaf=is_quantity)

    assert flat(ours)[1] == flat(theirs)[1]
    for left, right in zip(flat(ours)[0], flat(theirs)[0], strict=True):
        assert saiunit.get_unit(left) == saiunit.get_unit(right)
        assert jnp.allclose(saiunit.get_mantissa(left), saiunit.get_mantissa(right), rtol=1e-6)


@pytest.mark.parametrize("name", ["grad", "jacfwd", "jacrev", "hessian"])
def test_derivatives_have_the_units_of_saiunit(name):
    func, method = (energy, SPRING.energy) if name.startswith("jac") else (total, SPRING.total)
    expected = getattr(saiunit.autograd, name)(func, argnums=(0, 1))(K, X)
    ours = getattr(matrinox, name)
    assert_same(ours(func, argnums=(0, 1), unit_aware=True)(K, X), expected)
    by_both, value = ours(method, lambda s: s.stiffness, 0, unit_aware=True, return_value=True)(X)
    assert_same(by_both, expected)
    assert_same(value, method(X))


@pytest.mark.parametrize("name", ["grad", "jacfwd", "jacrev"])
def test_derivatives_by_states_have_the_units_of_brainstate(name):
    stiffness = brainstate.State(K)
    func, method = (energy, SPRING.energy) if name.startswith("jac") else (total, SPRING.total)
    transform = getattr(brainstate.transform, name)
    expected = transform(lambda x: func(stiffness.value, x), {"stiffness": stiffness}, argnums=0, unit_aware=True)(X)
    assert_same(getattr(matrinox, name)(method, "stiffness", 0, unit_aware=True)(X), expected)


def test_a_model_with_units_is_differentiated_as_a_whole():
    spring = Spring(jnp.array(3.0) * saiunit.newton / saiunit.meter, jnp.array(0.5) * saiunit.meter)
    expected = Spring(1.25 * saiunit.meter2, -6.0 * saiunit.newton)
    for by in (eqx.is_inexact_array, matrinox.select(spring, "**")):
        value, gradient = matrinox.value_and_grad(spring.total, by, unit_aware=True)(X)
        assert_same(value, SPRING.total(X))
        assert_same(gradient, expected)
    assert_same(matrinox.grad(Spring.total, unit_aware=True)(spring, X), expected)


def test_derivatives_of_derivatives_carry_units():
    third = matrinox.grad(
        matrinox.grad(matrinox.grad(lambda x: x**4, unit_aware=True), unit_aware=True), unit_aware=True
    )
    assert_same(third(2.0 * saiunit.mV), 48.0 * saiunit.mV)
    mixed = matrinox.jacfwd(matrinox.grad(SPRING.total, "rest", unit_aware=True), "stiffness", unit_aware=True)(X)
    assert_same(mixed, {"rest": {"stiffness": -2.0 * saiunit.meter}})


def test_without_units_derivatives_are_plain_arrays():
    assert_same(matrinox.jacrev(jnp.sin, unit_aware=True)(jnp.ones(2)), jax.jacrev(jnp.sin)(jnp.ones(2)))


def test_a_value_with_a_unit_is_refused_if_units_are_not_asked_for():
    with pytest.raises(ValueError, match=r"Spring.total returned float32\[\], with a unit: pass `unit_aware=True`"):
        matrinox.grad(SPRING.total)(X)


def test_without_saiunit_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "saiunit", None)
    monkeypatch.setitem(sys.modules, "saiunit.autograd", None)
    for name in ("grad", "value_and_grad", "jacfwd", "jacrev", "hessian"):
        with pytest.raises(ImportError, match=r'needs saiunit: `pip install "matrinox\[units\]"`'):
            getattr(matrinox, name)(jnp.sin, unit_aware=True)
    assert matrinox.grad(jnp.sin)(0.0) == 1.0
