import jax
import jax.numpy as jnp
import numpy as np

from matrinox.nn.stacking import stacked

ROWS = tuple(jnp.asarray(np.random.default_rng(i).normal(size=(2, 3)), jnp.float32) for i in range(3))
WEIGHTS = jnp.arange(18.0).reshape(3, 2, 3)


def loss(stack):
    return lambda rows: jnp.sum(WEIGHTS * jnp.sin(stack(rows)) * stack(rows))


def test_it_is_jnp_stack_whatever_the_dtype_and_the_shape():
    np.testing.assert_array_equal(stacked(ROWS), jnp.stack(ROWS))
    np.testing.assert_array_equal(stacked([jnp.float32(1), jnp.float32(2)]), [1, 2])
    np.testing.assert_array_equal(stacked([jnp.array([1, 2]), jnp.array([3, 4])]), [[1, 2], [3, 4]])
    keys = list(jax.random.split(jax.random.key(0)))
    np.testing.assert_array_equal(jax.random.key_data(stacked(keys)), jax.random.key_data(jnp.stack(keys)))


def test_its_derivatives_and_maps_are_those_of_jnp_stack():
    pairs = tuple(jnp.stack([row, 2 * row]) for row in ROWS)
    transforms = {
        "gradient": lambda f: jax.grad(f)(ROWS),
        "jvp": lambda f: jax.jvp(f, (ROWS,), (ROWS[::-1],)),
        "hessian": lambda f: jax.hessian(f)(ROWS),
        "reverse over reverse": lambda f: jax.grad(lambda rows: jax.grad(f)(rows)[1].sum())(ROWS),
        "mapped gradient": lambda f: jax.vmap(jax.grad(f))(pairs),
        "mapped over one": lambda f: jax.vmap(lambda row: jax.grad(f)((ROWS[0], row, ROWS[2])))(pairs[1]),
    }

    @jax.jit
    def run():
        return {name: (transform(loss(stacked)), transform(loss(jnp.stack))) for name, transform in transforms.items()}

    for ours, theirs in run().values():
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), ours, theirs)


def test_arrays_on_a_mesh_keep_their_sharding():
    mesh = jax.make_mesh((1,), ("d",), axis_types=(jax.sharding.AxisType.Explicit,))
    split = jax.sharding.NamedSharding(mesh, jax.P("d"))
    rows = tuple(jax.device_put(row, split) for row in ROWS)

    @jax.jit
    def run(rows):
        stack, pull = jax.vjp(stacked, rows)
        return stack, pull(stack)[0]

    stack, apart = run(rows)
    assert stack.sharding.spec == jax.P(None, "d", None)
    assert {row.sharding.spec for row in apart} == {jax.P("d", None)}
    np.testing.assert_array_equal(stack, jnp.stack(ROWS))


def test_what_is_taken_apart_is_exact_for_nan_infinity_and_both_zeros():
    cotangent = jnp.array([[jnp.nan, jnp.inf], [-0.0, 1.0], [3.0, -jnp.inf]])
    rows = tuple(jnp.zeros(2) for _ in range(3))
    apart = jax.jit(lambda cotangent: jax.vjp(stacked, rows)[1](cotangent))(cotangent)[0]
    np.testing.assert_array_equal(jnp.stack(apart), cotangent)
    assert np.signbit(apart[1][0])


def test_one_kernel_takes_all_arrays_apart_on_a_cpu():
    gradient = jax.jit(jax.grad(lambda rows: jnp.sum(jnp.sin(stacked(rows)))))
    compiled = gradient.trace(ROWS).lower(lowering_platforms=("cpu",)).as_text()
    assert compiled.count("stablehlo.reduce") == 1
