import equinox as eqx
import jax
import jax.numpy as jnp

from matrinox.inspect.observe import observed, recording
from matrinox.inspect.runs import runs_of

KEY = jax.random.key(0)
ROWS = jax.ShapeDtypeStruct((5, 3), jnp.float32)


def runs(model, x):
    with recording():
        program = eqx.filter_make_jaxpr(lambda model, x: model(x))(observed(model), x)[0]
    return runs_of(program)


class Around(eqx.Module):
    """Calls its layer through a function."""

    layer: eqx.nn.Linear
    through: object = eqx.field(static=True)

    def __call__(self, x):
        return self.through(self.layer, x)


def around(through):
    return Around(eqx.filter_eval_shape(lambda key: eqx.nn.Linear(3, 3, key=key), KEY), through)


def test_the_costs_of_a_call_include_those_of_the_calls_in_it():
    (outer, inner), total = runs(around(lambda layer, x: 2 * layer(x)), jax.ShapeDtypeStruct((3,), jnp.float32))
    assert (inner.path, inner.forward, inner.depth) == ("layer", 2 * 9 + 3, 1)
    assert outer.forward == total == inner.forward + 3


def test_calls_under_vmap_in_loops_and_branches_are_counted():
    def through(layer, rows):
        rows = jax.vmap(layer)(rows)
        rows = jax.lax.fori_loop(0, 7, lambda _, rows: jax.vmap(layer)(rows), rows)
        return jax.lax.cond(True, jax.vmap(layer), lambda rows: rows, rows)

    found, _ = runs(around(through), ROWS)
    assert [run.calls for run in found] == [1, 5, 7 * 5, 5]
    assert [run.forward for run in found[1:]] == [calls * (2 * 9 + 3) for calls in (5, 35, 5)]
    assert [run.layers for run in found] == [1, 1, 1, 1]


def test_a_function_that_is_compiled_once_and_called_twice_has_both_calls():
    compiled = eqx.filter_jit(lambda layer, x: jax.vmap(layer)(x))
    found, _ = runs(around(lambda layer, x: compiled(layer, compiled(layer, x))), ROWS)
    assert [(run.path, run.calls) for run in found] == [("", 1), ("layer", 5), ("layer", 5)]


def test_an_ensemble_under_vmap_has_the_weights_of_all():
    class Ensemble(eqx.Module):
        members: eqx.nn.Linear

        def __call__(self, x):
            return eqx.filter_vmap(lambda member: member(x))(self.members)

    members = eqx.filter_eval_shape(eqx.filter_vmap(lambda key: eqx.nn.Linear(3, 3, key=key)), jax.random.split(KEY, 4))
    (_, member), _ = runs(Ensemble(members), jax.ShapeDtypeStruct((3,), jnp.float32))
    assert (member.calls, member.layers) == (4, 4)


def test_the_layers_inside_of_a_gradient_are_told():
    def through(layer, x):
        return jax.grad(lambda x: jnp.sum(layer(x) ** 2))(x)

    found, total = runs(around(through), jax.ShapeDtypeStruct((3,), jnp.float32))
    assert [run.path for run in found] == ["", "layer"]
    assert total > 2 * found[1].forward
