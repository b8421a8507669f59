import jax
import jax.numpy as jnp

from matrinox.inspect.programs import programs_in


def test_the_programs_of_a_loop_a_branch_and_a_compiled_function_are_those_that_it_runs():
    def model(x):
        x = jax.lax.scan(lambda x, _: (jnp.sin(x), None), x, None, length=2)[0]
        x = jax.lax.cond(x > 0, jnp.cos, jnp.tan, x)
        return jax.jit(jnp.exp2)(x) + 1

    steps = jax.make_jaxpr(model)(1.0).jaxpr.eqns
    inner = {step.primitive.name: list(programs_in(step)) for step in steps}
    names = {
        name: [[step.primitive.name for step in program.eqns] for program in found] for name, found in inner.items()
    }
    assert names["scan"] == [["sin"]]
    assert sorted(names["cond"]) == [["cos"], ["tan"]]
    assert names["jit"] == [["exp2"]]
    assert names["add"] == []
