"""The twelve structures that a derivative is returned in, against brainstate, whose states are a module's leaves."""

import brainstate
import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import matrinox
from matrinox.transforms.arrangement import behind, value_first


class Scorer(eqx.Module):
    weight: jax.Array
    bias: jax.Array

    def scores(self, x, y):
        return jnp.tanh(self.weight * x) * y + self.bias

    def loss(self, x, y):
        return jnp.sum(self.scores(x, y) ** 2)


def with_aux(func):
    return lambda *args: (func(*args), {"twice": 2 * args[0]})


MODEL = Scorer(jnp.array([0.5, -1.0]), jnp.array([0.1, 0.2]))
INPUTS = jnp.array([0.3, 0.7]), jnp.array([1.5, -0.5])
WEIGHT, BIAS = brainstate.State(MODEL.weight), brainstate.State(MODEL.bias)
# By what: ours, brainstate's, and the arguments.
ROWS = [
    (None, None, None),
    (None, None, (1, 0)),
    (lambda model: {"b": model.bias, "w": model.weight}, {"b": BIAS, "w": WEIGHT}, None),
    (lambda model: {"b": model.bias, "w": model.weight}, {"b": BIAS, "w": WEIGHT}, 0),
    (lambda model: [model.weight], [WEIGHT], (1,)),
]
COLUMNS = [{"has_aux": aux, "return_value": value} for aux in (False, True) for value in (False, True)]


def oracle_function(name):
    def scores(x, y):
        return jnp.tanh(WEIGHT.value * x) * y + BIAS.value

    return scores if name.startswith("jac") else lambda x, y: jnp.sum(scores(x, y) ** 2)


def assert_same(ours, theirs):
    assert jax.tree.structure(ours) == jax.tree.structure(theirs)
    for left, right in zip(jax.tree.leaves(ours), jax.tree.leaves(theirs), strict=True):
        np.testing.assert_allclose(left, right, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["grad", "jacfwd", "jacrev", "hessian"])
def test_the_twelve_structures_are_those_of_brainstate(name):
    theirs, ours = getattr(brainstate.transform, name), getattr(matrinox, name)
    func, oracle = MODEL.scores if name.startswith("jac") else MODEL.loss, oracle_function(name)
    for where, states, argnums in ROWS:
        if name == "hessian" and where and argnums is not None:
            # brainstate refuses this one; `test_hessian` has JAX for it.
            continue
        for column in COLUMNS:
            f, g = (with_aux(func), with_aux(oracle)) if column["has_aux"] else (func, oracle)
            mine, expected = ours(f, where, argnums, **column), theirs(g, states, argnums=argnums, **column)
            # Structures and shapes need no run; the fullest return is run for its values.
            assert jax.eval_shape(mine, *INPUTS) == jax.eval_shape(lambda *args, g=expected: g(*args), *INPUTS)
        assert_same(jax.jit(mine)(*INPUTS), jax.jit(lambda *args, g=expected: g(*args))(*INPUTS))


def test_value_and_grad_has_the_value_first_and_the_gradient_of_brainstate():
    oracle = oracle_function("grad")
    for where, states, argnums in ROWS:
        gradient, value = brainstate.transform.grad(oracle, states, argnums=argnums, return_value=True)(*INPUTS)
        assert_same(matrinox.value_and_grad(MODEL.loss, where, argnums)(*INPUTS), (value, gradient))
        both = matrinox.value_and_grad(with_aux(MODEL.loss), where, argnums, has_aux=True)(*INPUTS)
        assert_same(both, ((value, {"twice": 2 * INPUTS[0]}), gradient))


def test_the_columns_of_the_table():
    assert [behind(has_aux, value)("d", "value", "aux") for has_aux in (None, True) for value in (False, True)] == [
        "d",
        ("d", "value"),
        ("d", "aux"),
        ("d", "value", "aux"),
    ]
    assert [value_first(has_aux)("d", "value", "aux") for has_aux in (False, True)] == [
        ("value", "d"),
        (("value", "aux"), "d"),
    ]


def test_value_and_grad_without_the_value_is_refused():
    with pytest.raises(ValueError, match=r"`return_value` \(=False\) must be true for `value_and_grad`: use `grad`"):
        matrinox.value_and_grad(MODEL.loss, return_value=False)
