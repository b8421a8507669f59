import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.transforms import grad, vmap

X = jnp.arange(6.0).reshape(3, 2)


class Scaled(eqx.Module):
    scale: jax.Array
    activation: object = jnp.negative

    def __call__(self, x):
        return self.activation(self.scale * x)


def combine(x, y, *rest, scale=1.0):
    return {"sum": x + y["a"] * scale, "text": "kept"}


def test_each_slice_is_the_function_of_it():
    y = {"a": np.array([1.0, 2.0, 3.0]), "rate": 2.0, "name": "left", "none": None}
    mapped = vmap(combine)(X, y)
    assert mapped["text"] == "kept"
    expected = [combine(X[i], {"a": y["a"][i]})["sum"] for i in range(3)]
    np.testing.assert_array_equal(mapped["sum"], expected)


@pytest.mark.parametrize("out_axes", [0, 1, -1, (0, {"b": 1}), (1, None)])
@pytest.mark.parametrize("in_axes", [0, 1, (1, {"a": 0, "b": -1}), (1, None), (None, {"a": None, "b": 1}), [1, 0]])
def test_axes_mean_what_they_mean_to_jax(in_axes, out_axes):
    x, y = jnp.arange(9.0).reshape(3, 3), {"a": jnp.arange(9.0).reshape(3, 3), "b": 2 - jnp.arange(9.0).reshape(3, 3)}

    def f(x, y):
        product = x * y["a"] - y["b"]
        return product, {"b": jnp.ones(3) if out_axes == (1, None) else product**2}

    ours = vmap(f, in_axes, out_axes)(x, y)
    theirs = jax.vmap(f, in_axes, out_axes)(x, y)
    assert eqx.tree_equal(ours, theirs)


def test_axes_may_be_functions_of_leaves_as_in_equinox_and_named_by_argument():
    y, scale = {"a": jnp.ones((2, 3))}, jnp.array([1.0, 2.0, 3.0])
    by_name = {"x": 0, "y": eqx.if_array(1), "scale": 0}
    ours = vmap(combine, in_axes=by_name)(X, y, scale=scale)["sum"]
    np.testing.assert_array_equal(ours, X + scale[:, None])
    # An argument by name is mapped along axis 0 unless that is said otherwise, one that is not named as well.
    np.testing.assert_array_equal(vmap(combine, in_axes={"y": eqx.if_array(1)})(X, y, scale=scale)["sum"], ours)
    assert vmap(combine, in_axes={"y": None, "scale": None})(X, {"a": jnp.ones(2)}, scale=scale[:2])["sum"].shape == (
        3,
        2,
    )


def test_a_stack_of_models_is_mapped_and_a_bound_model_is_not():
    x = jnp.arange(24.0).reshape(3, 2, 2, 2)
    models = vmap(Scaled)(jnp.array([1.0, 2.0, 3.0]))
    assert models.activation is jnp.negative
    by_slice = np.array([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1)
    np.testing.assert_array_equal(vmap(lambda model, x: model(x))(models, x), -by_slice * x)
    np.testing.assert_array_equal(vmap(Scaled(jnp.array(2.0)))(x), -2 * x)
    ensemble = vmap(lambda model, x: model(x), in_axes=(0, None), out_axes=-1)(models, x[0])
    np.testing.assert_array_equal(ensemble, -x[0][..., None] * jnp.array([1.0, 2.0, 3.0]))


def test_keys_are_mapped_when_passed_by_name():
    layer, keys = nn.Dropout(0.5), jax.random.split(jax.random.key(0), 3)
    x = jnp.ones((3, 4, 2, 2))
    np.testing.assert_array_equal(vmap(layer)(x, key=keys), [layer(x[i], key=keys[i]) for i in range(3)])


def test_statistics_run_over_the_named_axis():
    layer, state = eqx.nn.make_with_state(nn.BatchNorm)(p=2, n=2, axis_name="batch")
    x = jax.random.normal(jax.random.key(0), (3, 2, 2, 2))
    y, new = vmap(layer, in_axes=(0, None), out_axes=(0, None), axis_name="batch")(x, state)
    expected, expected_state = jax.vmap(layer, in_axes=(0, None), out_axes=(0, None), axis_name="batch")(x, state)
    assert eqx.tree_equal(y, expected)
    assert eqx.tree_equal(new, expected_state)


def test_a_model_is_found_through_vmap():
    layer = nn.Dense(p=1, q=1, n=1, use_bias=False, key=jax.random.key(0))
    x = jnp.array([1.0, 2.0]).reshape(2, 1, 1, 1)
    gradient = grad(lambda x: jnp.sum(vmap(layer)(x)), grad_states="weight")(x)
    assert gradient["weight"].item() == 3.0


def test_slices_without_an_array_are_counted_by_axis_size():
    assert vmap(lambda: jnp.array(3.0), axis_size=2)().tolist() == [3.0, 3.0]


@pytest.mark.parametrize(
    ("options", "y", "message"),
    [
        (
            {},
            {"a": jnp.ones(4)},
            r"different sizes: `x` float32\[3, 2\] has 3 on axis 0, `y\['a'\]` float32\[4\] has 4",
        ),
        (
            {"in_axes": (1, 0)},
            {"a": X},
            r"`x` float32\[3, 2\] has 2 on axis 1, `y\['a'\]` .* has 3 on axis 0: make them",
        ),
        ({"in_axes": (0,)}, {}, r"`in_axes` \(=\(0,\)\) of vmap\(combine\) must have one entry for each of 2 .* has 1"),
        ({"in_axes": (2, 0)}, {}, r"`in_axes` of vmap\(combine\) has the axis 2 for `x`, which is float32\[3, 2\]"),
        ({"in_axes": (0, -1)}, {"a": jnp.ones(())}, r"the axis -1 for `y\['a'\]`, which is float32\[\]: choose"),
        ({"in_axes": (0, {"b": 0})}, {"a": X}, r"of vmap\(combine\) does not fit `y`, which is \(\{'a': \*\}\)"),
        ({"in_axes": {"xx": 0}}, {"a": X}, "`in_axes` .* names 'xx', which was not passed: did you mean 'x'\\?"),
        (
            {"in_axes": None},
            {"a": X},
            r"vmap\(combine\) was called with no array to map: pass one, or give `axis_size`",
        ),
        ({"axis_size": 2}, {"a": X}, r"`axis_size` \(=2\) .* but `x` float32\[3, 2\] has 3 on axis 0: leave it out"),
        ({"out_axes": 2}, {"a": X}, r"the axis 2 for `result\['sum'\]`, which is float32\[2\] for one slice"),
        (
            {"out_axes": None},
            {"a": X},
            r"`out_axes` \(=None\) of vmap\(combine\) has `None` for what differs from slice",
        ),
        ({"out_axes": {"b": 0}}, {"a": X}, r"`out_axes` \(=\{'b': 0\}\) .* does not fit `result`"),
    ],
)
def test_axes_that_do_not_fit_are_refused_by_argument_and_path(options, y, message):
    with pytest.raises(ValueError, match=message):
        vmap(combine, **options)(X, y)


def test_more_arguments_than_names_are_named_by_position():
    with pytest.raises(ValueError, match=r"`rest\[1\]` float32\[4\] has 4 on axis 0"):
        vmap(combine)(X, {}, 1.0, jnp.ones(4))


@pytest.mark.parametrize("axis", [True, "a", 0.5])
def test_what_is_no_axis_is_refused(axis):
    with pytest.raises(TypeError, match=r"`in_axes` .* which is no axis: give an int or `None`"):
        vmap(combine, in_axes=(0, axis))(X, {"a": X})
