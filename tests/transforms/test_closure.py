import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

from matrinox import contract
from matrinox.transforms.closure import Rebuild
from matrinox.transforms.transformed import Transformed


class Model(eqx.Module):
    weight: jax.Array

    def __call__(self, x):
        return self.weight * x


MODEL, OTHER, X = Model(jnp.array(2.0)), Model(jnp.array(5.0)), jnp.array(3.0)
PAIR = (MODEL, "left")


class Trainer:
    def __init__(self, model):
        self.model = model

    def loss(self, x):
        return self.model(x)


def by_global(x):
    return MODEL(x)


def by_function(x):
    return by_global(x)


def by_inner_function(x):
    return next((lambda: MODEL(x))() for _ in range(1))


def by_container(x):
    return PAIR[0](x)


def by_default(x, model=MODEL, *, factor=1):
    return factor * model(x)


def by_keyword(x, *, model=MODEL):
    return model(x)


def recursive(x, depth=2):
    return MODEL(x) if depth == 0 else recursive(x, depth - 1)


def even(x, depth=2):
    return MODEL(x) if depth == 0 else odd(x, depth - 1)


def odd(x, depth):
    return even(x, depth - 1)


def by_cell():
    model, unused = MODEL, None

    def inner(x):
        return model(x)

    def outer(x):
        return inner(x) if unused is None else late(x)

    if unused is not None:
        late = None
    return outer


@contract
def by_contract(x: Float[Array, ""]) -> Float[Array, ""]:
    return MODEL(x)


FUNCTIONS = {
    "global": by_global,
    "function": by_function,
    "inner function": by_inner_function,
    "container": by_container,
    "default": by_default,
    "keyword": by_keyword,
    "recursive": recursive,
    "mutually recursive": even,
    "cell": by_cell(),
    "contract": by_contract,
    "partial": functools.partial(lambda pair, x: pair[0](x), PAIR),
    "transformed": Transformed("same", by_global, lambda func, args, kwargs: func(*args, **kwargs)),
    "vmap of JAX": jax.vmap(by_cell(), in_axes=None, out_axes=None, axis_size=1),
    "vmap of Equinox": eqx.filter_vmap(by_cell(), in_axes=None, out_axes=None, axis_size=1),
}


def rebuilt(func, new=OTHER):
    return Rebuild(lambda module: new if module is MODEL else module, []).function(func)


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_function_is_rebuilt_around_another_model_and_left_as_it_was(name):
    func = FUNCTIONS[name]
    assert func(X) == 6.0
    assert rebuilt(func)(X) == 15.0
    assert func(X) == 6.0


def test_a_rebuilt_function_keeps_its_name_and_its_other_defaults():
    new = rebuilt(by_default)
    assert (new.__name__, new.__qualname__, new.__module__) == ("by_default", "by_default", by_default.__module__)
    assert new(X, factor=2) == 30.0


def test_what_a_function_counts_beside_its_model_is_counted_by_the_rebuilt_one_too():
    calls = 0

    def counted(x):
        nonlocal calls
        calls += 1
        return MODEL(x)

    assert rebuilt(counted)(X) == 15.0
    assert calls == 1


def test_a_function_without_a_model_is_itself():
    bound = Trainer(MODEL).loss
    partial = functools.partial(jnp.sum, axis=0)
    for func in (jnp.sum, bound, partial, Model.__init__, [1, {"a": 2}]):
        assert Rebuild(lambda module: OTHER, []).function(func) is func


def test_a_compiled_function_is_noted_if_a_model_is_in_it():
    for func, noted in ((jax.jit(by_global), ["by_global"]), (jnp.sum, []), (eqx.filter_jit(lambda x: x), [])):
        jitted: list[str] = []
        assert Rebuild(lambda module: OTHER, jitted).function(func) is func
        assert jitted == noted
