import functools

import equinox as eqx
import jax
import jax.numpy as jnp

from matrinox import grad, jacfwd
from matrinox.transforms.transformed import Transformed, name_of


class Model(eqx.Module):
    weight: jax.Array

    def __call__(self, x):
        return self.weight * x

    def loss(self, x):
        return jnp.sum(self(x))

    slope = grad(lambda self, x: self.loss(x), argnums=1)


def loss(x):
    """The loss."""
    return jnp.sum(x)


def test_a_transform_is_called_after_itself_and_its_function():
    model = Model(jnp.ones(2))
    named = {
        "grad(loss)": grad(loss),
        "jacfwd(grad(loss))": jacfwd(grad(loss)),
        "grad(Model.loss)": grad(model.loss),
        "grad(Model)": grad(model),
        "grad(<lambda>)": grad(lambda x: x),
    }
    for name, func in named.items():
        assert (repr(func), func.__name__, func.__qualname__) == (name, name, name)


def test_functions_are_told_by_their_names():
    assert name_of(functools.partial(loss)) == name_of(eqx.Partial(loss)) == name_of(jax.jit(loss)) == "loss"
    assert name_of(Model(jnp.ones(2))) == "Model"


def test_a_transform_is_seen_through_and_rebuilt_around_another_function():
    negated = Transformed("negated", loss, lambda func, args, kwargs: -func(*args, **kwargs))
    assert negated.__wrapped__ is loss
    assert negated.__doc__ == "`negated` of `loss`, with its arguments."
    assert negated(jnp.ones(3)) == -3.0
    other = negated.of(lambda x: 10.0 * x)
    assert (repr(other), other(2.0)) == ("negated(<lambda>)", -20.0)


def test_a_transform_in_the_body_of_a_class_is_a_method():
    model = Model(jnp.array(2.0))
    assert model.slope(3.0) == 2.0
    assert grad(model.slope, "weight")(3.0) == {"weight": 1.0}
    assert Model.slope(model, 3.0) == 2.0
