import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np

from matrinox.transforms import grad, jvp, stop_gradient


def test_what_is_stopped_counts_in_the_value_and_not_in_derivatives_of_either_mode():
    def f(x):
        return jnp.sum(x["a"] * stop_gradient(x)["a"])

    x = {"a": jnp.array([2.0, -3.0])}
    assert f(x) == 13.0
    assert grad(f)(x)["a"].tolist() == [2.0, -3.0]
    assert jvp(f, (x,), ({"a": jnp.array([1.0, 10.0])},))[1] == 2.0 - 30.0


def test_the_tree_is_kept_and_so_is_what_is_no_array():
    layer = eqx.nn.PReLU(0.25)
    tree = {"layer": layer, "numbers": (np.ones(2), 1, 2.0), "text": ["name", None, jnp.tanh], "key": jax.random.key(1)}
    stopped = stop_gradient(tree)
    assert eqx.tree_equal(stopped, tree)
    assert stopped["numbers"][1:] == tree["numbers"][1:]


def test_a_stopped_module_gets_no_gradient():
    layer = eqx.nn.Linear(2, 1, key=jax.random.key(0))
    gradient = grad(lambda layer, x: stop_gradient(layer)(x)[0] + layer.bias[0])(layer, jnp.ones(2))
    assert not jnp.any(gradient.weight)
    assert gradient.bias == 1.0


def test_a_detached_output_trains_no_parameters():
    layer = eqx.nn.Linear(2, 1, key=jax.random.key(0))
    gradient = grad(lambda layer, x: jnp.sum(stop_gradient(layer(x)) ** 2))(layer, jnp.ones(2))
    assert all(not jnp.any(leaf) for leaf in jax.tree.leaves(gradient))
