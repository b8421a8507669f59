import functools
from collections import OrderedDict
from typing import NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float

from matrinox import contract, nn
from matrinox.transforms.closure import Rebuild
from matrinox.transforms.transformed import Transformed


class Model(eqx.Module):
    weight: jax.Array

    def __call__(self, x):
        return self.weight * x


MODEL, OTHER, X = Model(jnp.array(2.0)), Model(jnp.array(5.0)), jnp.array(3.0)
PAIR = (MODEL, "left")


class Named(NamedTuple):
    model: Model
    text: str


COUNT = 0
NAMED, ORDERED = Named(MODEL, "left"), OrderedDict(model=MODEL)
# No tree to JAX, as its keys cannot be sorted.
MIXED = {1: MODEL, "factor": 1}


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


def by_named_tuple(x):
    return NAMED.model(x)


def by_ordered_dict(x):
    return ORDERED["model"](x)


def by_mixed_dict(x):
    return MIXED[1](x) * MIXED["factor"]


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


class Tripled:
    def third(self, x):
        return MODEL(x)


@contract
def by_contract(x: Float[Array, ""]) -> Float[Array, ""]:
    return MODEL(x)


FUNCTIONS = {
    "global": by_global,
    "function": by_function,
    "inner function": by_inner_function,
    "container": by_container,
    "named tuple": by_named_tuple,
    "ordered dict": by_ordered_dict,
    "dict of mixed keys": by_mixed_dict,
    "method of another object": Tripled().third,
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

    def counted_globally(x):
        global COUNT
        COUNT += 1
        return model(x)

    model = MODEL
    assert rebuilt(counted_globally)(X) == 15.0
    assert COUNT == 1


def test_a_function_without_a_model_is_itself():
    bound = Trainer(MODEL).loss
    partial = functools.partial(jnp.sum, axis=0)
    for func in (jnp.sum, bound, partial, Model.__init__, [1, {"a": 2}]):
        assert Rebuild(lambda module: OTHER, []).function(func) is func


@jax.custom_jvp
def with_a_rule(x):
    return MODEL(x)


@functools.lru_cache
def cached():
    return MODEL.weight


@jax.jit
def compiled_recursion(x, depth=None):
    return MODEL(x) if depth is None else compiled_recursion(x)


TRAINER = Trainer(MODEL)


def test_what_holds_a_model_where_no_other_can_take_its_place_is_noted():
    by_holder = {
        "`by_global` is compiled with the model that it closes over": jax.jit(by_global),
        "`compiled_recursion` is compiled with the model that it closes over": compiled_recursion,
        "`with_a_rule` holds a model": lambda x: with_a_rule(x),
        "`cached` holds a model": lambda x: cached() * x,
        "`Trainer` holds a model": lambda x: TRAINER.loss(x),
    }
    for noted, func in by_holder.items():
        fixed: list[str] = []
        Rebuild(lambda module: module, fixed).function(func)
        assert fixed == [noted]
    fixed = []
    for func in (jnp.sum, eqx.filter_jit(lambda x: x), jax.jit(lambda x: nn.ReLU()(x)), lambda x: jnp.sin(x)):
        assert Rebuild(lambda module: OTHER, fixed).function(func) is func
    assert fixed == []


def test_a_function_that_is_compiled_and_not_is_noted():
    fixed: list[str] = []
    plain, compiled = by_cell(), jax.jit(by_global)
    Rebuild(lambda module: module, fixed).function(lambda x: by_global(x) + plain(x) + compiled(x))
    assert len(fixed) == 1
