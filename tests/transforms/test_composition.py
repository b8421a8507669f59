"""Every transform of every other, in any order: `f = exp(Σ k x)` is a multiple of itself under all of them.

Each transform below is followed by a weighted sum, so that it makes one scalar function into another, and what it
multiplies `f` by is known: the gradient weighted with `w` by `Σ w k`, the Jacobian along `t` by `Σ t k`, and so on. Any
composition is then the product of the factors. All is in float64.
"""

import math
from itertools import product

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from matrinox.transforms import grad, hessian, hvp, jacfwd, jacrev, jvp, value_and_grad, vjp, vmap

C = 0.8
STEPS = (0.0, 0.5)


def dot(left, right):
    return sum(x * y for x, y in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True))


class Laws:
    """Each transform of a scalar function to another, and what it multiplies `exp(Σ k x)` by.

    `k`: the slopes; `w`, `t`: weights and tangents like what is differentiated; `options`: what selects it; `tangents`:
    `t` as `jvp` takes it; `mapped`: a function mapped over STEPS along an argument of slope `slope`.
    """

    def __init__(self, k, w, t, options, tangents, slope, mapped):
        by_w, by_t = dot(w, k), dot(t, k)
        in_pairs = [x * y for x in jax.tree.leaves(w) for y in jax.tree.leaves(w)]
        self.transforms = {
            "grad": (lambda f: lambda *args: dot(w, grad(f, **options)(*args)), by_w),
            "value_and_grad": (lambda f: lambda *args: dot((C, w), value_and_grad(f, **options)(*args)), C + by_w),
            "jacfwd": (lambda f: lambda *args: dot(w, jacfwd(f, **options)(*args)), by_w),
            "jacrev": (lambda f: lambda *args: dot(w, jacrev(f, **options)(*args)), by_w),
            "hessian": (lambda f: lambda *args: dot(in_pairs, hessian(f, **options)(*args)), by_w**2),
            "vjp": (lambda f: lambda *args: dot(w, vjp(f, *args, **options)[1](jnp.array(C))), C * by_w),
            "jvp": (lambda f: lambda *args: dot((C, 1.0), jvp(f, args, tangents, **options)), C + by_t),
            "hvp": (lambda f: lambda *args: dot(w, hvp(f, args, tangents, **options)), by_w * by_t),
            "vmap": (mapped, sum(math.exp(slope * step) for step in STEPS)),
            "jit": (eqx.filter_jit, 1.0),
        }

    def check(self, f, args, transforms, depth):
        """All compositions of `depth` transforms, compiled at once: one program takes less time than many."""
        orders = list(product(transforms, repeat=depth))

        def composed(arrays):
            args = eqx.combine(arrays, others)
            return [self.compose(f, names)(*args) for names in orders]

        arrays, others = eqx.partition(args, eqx.is_array)
        values = jax.jit(composed)(arrays)
        for names, value in zip(orders, values, strict=True):
            factor = math.prod(self.transforms[name][1] for name in names)
            assert float(value) == pytest.approx(factor * float(f(*args)), rel=1e-12), " of ".join(names)

    def compose(self, f, names):
        for name in reversed(names):
            f = self.transforms[name][0](f)
        return f


EVERY = ("grad", "value_and_grad", "jacfwd", "jacrev", "hessian", "vjp", "jvp", "hvp", "vmap", "jit")
FIRST_ORDER = ("grad", "jacfwd", "jacrev", "vjp", "jvp")


def of_nested_containers():
    x = {"a": [jnp.array(0.1)], "b": ({"c": jnp.array(-0.2)}, "name")}
    k = {"a": [0.5], "b": ({"c": 1.1}, None)}
    w = {"a": [1.3], "b": ({"c": 0.2}, None)}
    t = {"a": [0.6], "b": ({"c": -1.2}, None)}

    def mapped(f):
        over_a = vmap(f, in_axes=({"a": 0, "b": None},))
        return lambda x: jnp.sum(over_a({**x, "a": [x["a"][0] + jnp.array(STEPS)]}))

    return Laws(k, w, t, {}, (t,), 0.5, mapped), lambda x: jnp.exp(0.5 * x["a"][0] + 1.1 * x["b"][0]["c"]), (x,)


class Leaf(eqx.Module):
    weight: jax.Array
    activation: object


class Model(eqx.Module):
    layers: list[Leaf]
    shift: jax.Array

    def __call__(self, x):
        return jnp.exp(0.5 * self.layers[0].weight + self.shift + 0.9 * x)


def of_a_bound_model():
    model = Model([Leaf(jnp.array(0.1), jnp.tanh)], jnp.array(0.05))
    path = "layers[0].weight"
    k, w, t = ({path: 0.5}, 0.9), ({path: 1.3}, -0.8), ({path: 0.6}, 1.4)
    options = {"grad_states": "layers[*].weight", "argnums": 0}

    def mapped(f):
        return lambda x: jnp.sum(vmap(f)(x + jnp.array(STEPS)))

    return Laws(k, w, t, options, t, 0.9, mapped), model.__call__, (jnp.array(0.25),)


SETTINGS = {"nested containers": of_nested_containers, "a bound model": of_a_bound_model}


@pytest.mark.parametrize("setting", SETTINGS)
def test_every_transform_composes_with_every_other_in_either_order(setting, x64):
    laws, f, args = SETTINGS[setting]()
    laws.check(f, args, EVERY, depth=2)


@pytest.mark.parametrize("setting", SETTINGS)
def test_derivatives_compose_to_third_order(setting, x64):
    laws, f, args = SETTINGS[setting]()
    laws.check(f, args, FIRST_ORDER, depth=3)
