import functools

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from matrinox.transforms.reach import reach
from matrinox.transforms.transformed import Transformed


class Model(eqx.Module):
    weight: jax.Array

    def __call__(self, x, other=None):
        return self.weight * x

    def loss(self, x):
        return jnp.sum(self(x))

    @eqx.filter_jit
    def fast_loss(self, x):
        return jnp.sum(self(x))


class Counter(eqx.Module):
    count: jax.Array


MODEL, OTHER, X = Model(jnp.array(2.0)), Model(jnp.array(5.0)), jnp.array(3.0)


def loss(model, x):
    return model.loss(x)


def twice(func):
    return Transformed("twice", func, lambda func, args, kwargs: 2 * func(*args, **kwargs))


def assert_reached(func, *args, factor=1, **kwargs):
    found = reach(func, args, kwargs)
    assert eqx.tree_equal(found.module, MODEL)
    assert found.call(MODEL, args, kwargs) == factor * 6.0
    assert found.call(OTHER, args, kwargs) == factor * 15.0


@pytest.mark.parametrize(
    ("func", "factor"),
    [
        (MODEL, 1),
        (MODEL.loss, 1),
        (MODEL.fast_loss, 1),
        (functools.partial(MODEL.loss), 1),
        (functools.partial(loss, MODEL), 1),
        (functools.partial(loss, model=MODEL), 1),
        (eqx.Partial(loss, MODEL), 1),
        (eqx.filter_jit(MODEL.loss), 1),
        (eqx.filter_jit(eqx.filter_vmap(MODEL, axis_size=1, in_axes=None, out_axes=None)), 1),
        (twice(MODEL.loss), 2),
        (functools.partial(twice(twice(functools.partial(loss, MODEL)))), 4),
    ],
)
def test_the_model_that_a_function_is_bound_to_is_reached(func, factor):
    if isinstance(func, functools.partial) and func.keywords:
        assert_reached(func, x=X)
    else:
        assert_reached(func, X, factor=factor)


def test_the_model_that_a_function_takes_is_reached():
    assert_reached(loss, MODEL, X)
    assert_reached(loss, model=MODEL, x=X)
    assert_reached(jax.jit(loss), MODEL, X)
    assert_reached(twice(eqx.filter_jit(loss)), MODEL, X, factor=2)


def test_the_first_module_with_floats_is_the_model():
    counter = Counter(jnp.zeros((), int))
    assert_reached(lambda counter, model, other, x: model.loss(x), counter, MODEL, OTHER, X)
    assert eqx.tree_equal(reach(lambda counter: counter, (counter,), {}).module, counter)


def test_the_model_that_is_bound_comes_before_one_that_is_taken_and_that_before_one_closed_over():
    assert_reached(functools.partial(loss, MODEL), X)
    assert_reached(MODEL, X, OTHER)
    assert_reached(lambda model, x: model.loss(x) + 0 * OTHER.weight, MODEL, X)


def test_the_model_that_a_function_closes_over_is_reached():
    model = MODEL
    assert_reached(lambda x: model.loss(x), X)


def test_of_modules_closed_over_the_one_with_floats_is_the_model():
    model, counter = MODEL, Counter(jnp.zeros((), int))
    assert_reached(lambda x: model.loss(x) + counter.count, X)


def test_a_compiled_method_is_not_compiled_again_for_every_model():
    traces = []

    class Counted(Model):
        def loss(self, x):
            traces.append(x)
            return jnp.sum(self(x))

    found = reach(eqx.filter_jit(Counted(jnp.array(2.0)).loss), (X,), {})
    assert [found.call(Counted(jnp.array(weight)), (X,), {}) for weight in (1.0, 4.0)] == [3.0, 12.0]
    assert len(traces) == 1


def test_a_function_without_a_model_is_refused():
    with pytest.raises(
        ValueError, match="`sum` is bound to no module, takes none and closes over none: pass the model"
    ):
        reach(jnp.sum, (X,), {})
    with pytest.raises(ValueError, match="<lambda>` is bound to no module"):
        reach(lambda x: x, (X,), {})


def test_several_models_closed_over_are_refused():
    model, other = MODEL, Counter(jnp.zeros(()))
    with pytest.raises(ValueError, match=r"`<lambda>` closes over 2 modules \(Model, Counter\): pass the model as an"):
        reach(lambda x: model.loss(x) + other.count, (X,), {})


@pytest.mark.parametrize("jit", [jax.jit, eqx.filter_jit])
def test_a_compiled_closure_is_refused(jit):
    model = MODEL

    def closure(x):
        return model.loss(x)

    with pytest.raises(
        ValueError, match="`closure` is compiled with the model that it closes over, where no other can"
    ):
        reach(twice(jit(closure)), (X,), {})


def test_a_model_that_is_also_held_by_another_object_is_refused():
    class Trainer:
        def __init__(self):
            self.model = MODEL

    trainer = Trainer()
    with pytest.raises(
        ValueError, match="but `Trainer` holds a model, where no other can take its place: pass the model"
    ):
        reach(lambda x: MODEL.loss(x) + trainer.model.weight, (X,), {})
    with pytest.raises(ValueError, match="`<lambda>` holds a model"):
        reach(jax.custom_jvp(lambda x: MODEL.loss(x)), (X,), {})
