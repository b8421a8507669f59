import equinox as eqx
import jax
import jax.numpy as jnp

from matrinox.inspect.gradient import GradientCosts, is_inexact

X = jax.ShapeDtypeStruct((4, 3), jnp.float32)


class Product(eqx.Module):
    weight: jax.ShapeDtypeStruct
    traced: list = eqx.field(static=True)

    def __call__(self, x):
        self.traced.append(x.shape)
        return x @ self.weight


def product():
    return Product(jax.ShapeDtypeStruct((3, 5), jnp.float32), [])


def test_the_gradient_of_a_product_is_two_products():
    assert GradientCosts().of((product(), (X,), {}), "__call__") == 2 * (2 * 4 * 3 * 5)


def test_equal_calls_are_traced_once():
    layer, costs = eqx.nn.Lambda(jnp.sin), GradientCosts()
    first = costs.of((layer, (X,), {}), "__call__")
    # The cosine is transcendental; one product with the cotangent is left.
    assert first == 12
    assert costs.of((layer, (X,), {}), "__call__") == first
    assert len(costs._known) == 1
    assert costs.of((layer, (jax.ShapeDtypeStruct((2,), jnp.float32),), {}), "__call__") == 2


def test_leaves_that_cannot_be_looked_up_are_traced_each_time():
    class Listed(eqx.Module):
        def __call__(self, x, unhashable):
            return x * len(unhashable)

    assert GradientCosts().of((Listed(), (X, {1, 2}), {}), "__call__") == 12


def test_whole_numbers_and_keys_have_no_gradient():
    ids = jax.ShapeDtypeStruct((4,), jnp.int32)
    lookup = eqx.nn.Lambda(lambda ids: ids + 1)
    assert GradientCosts().of((lookup, (ids,), {}), "__call__") == 0
    assert [is_inexact(leaf) for leaf in (X, ids, jax.random.key(0), 1.5)] == [True, False, False, False]


def test_a_call_along_an_axis_that_is_named_around_it_cannot_be_told():
    summed = eqx.nn.Lambda(lambda x: jax.lax.psum(x, "batch"))
    assert GradientCosts().of((summed, (X,), {}), "__call__") is None
