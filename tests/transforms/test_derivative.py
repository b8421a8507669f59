import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import grad, hessian, jacfwd, jacrev, value_and_grad

X = jnp.array([0.5, 2.0])


def square(x):
    return jnp.sum(x**2)


def test_what_is_no_array_goes_around_the_derivative():
    def func(x):
        return jnp.sum(x**2), {"name": "left", "count": 2, "activation": jnp.tanh, "x": 2 * x}

    for transform in (grad, jacfwd, jacrev, hessian):
        _, value, aux = eqx.filter_jit(transform(func, has_aux=True, return_value=True))(X)
        assert value == 4.25
        assert eqx.tree_equal(aux, {"name": "left", "count": 2, "activation": jnp.tanh, "x": 2 * X})


def test_what_is_no_float_in_the_value_has_no_jacobian():
    def func(x):
        return {"name": "left", "square": x[0] ** 2, "more": x > 1, "count": 2}

    for transform in (jacrev, jacfwd):
        jacobian, value = transform(func, return_value=True)(X)
        assert eqx.tree_equal(jacobian, {"name": None, "square": jnp.array([1.0, 0.0]), "more": None, "count": None})
        assert eqx.tree_equal(value, func(X))


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        (jnp.array(3), r"takes a function to floats, and <lambda> returned int32\[\]: cast it to a float, or return"),
        (True, "returned bool: cast it"),
        ({"more": jnp.array([True])}, "returned dict: cast it"),
    ],
    ids=["int", "bool", "tree"],
)
def test_a_value_without_floats_is_refused(returned, message):
    for transform in (jacfwd, jacrev, hessian, *([] if isinstance(returned, dict) else [grad])):
        with pytest.raises(TypeError, match=message):
            transform(lambda x: returned)(X)


@pytest.mark.parametrize(
    ("func", "message"),
    [
        (lambda x: x, r"`grad` .* a scalar, and <lambda> returned float32\[2\]: sum or average it, or use `jacrev`"),
        (lambda x: (square(x), x), "returned a tuple of 2: return an array alone, pass `has_aux=True` for"),
        (lambda x: {"loss": square(x)}, "returned dict: return an array alone"),
        (lambda x: None, "returned NoneType: return an array alone"),
    ],
)
def test_a_value_that_is_no_scalar_is_refused(func, message):
    with pytest.raises(ValueError, match=message):
        grad(func)(X)
    with pytest.raises(ValueError, match="`value_and_grad` takes a function whose value is a scalar"):
        value_and_grad(func)(X)


def test_a_function_without_auxiliary_data_is_refused():
    with pytest.raises(TypeError, match=r"returns \(value, aux\), and square returned float32\[\]: return a pair, or"):
        grad(square, has_aux=True)(X)
    with pytest.raises(TypeError, match="<lambda> returned a tuple of 3: return a pair, or leave out `has_aux`"):
        jacrev(lambda x: (x, x, x), has_aux=True)(X)


def test_options_that_fit_no_call_are_refused_at_once():
    with pytest.raises(ValueError, match=r"`argnums` \(=-1\) must not be negative"):
        grad(square, argnums=-1)
    with pytest.raises(ValueError, match="names an argument twice"):
        hessian(square, argnames=["x", "x"])


def test_by_an_unchecked_selection_of_nothing_derivatives_are_of_its_structure():
    class Model(eqx.Module):
        weight: jax.Array

        def __call__(self, x):
            return {"a": jnp.sum(self.weight * x)}

        def loss(self, x):
            return self(x)["a"]

    model = Model(X)
    for transform in (grad, jacfwd, jacrev, hessian):
        derivative, value = transform(model.loss, ["left"], check_states=False, return_value=True)(X)
        assert (derivative, value) == ([{}], 4.25)
    assert jacfwd(model, "left", check_states=False)(X) == {"a": {}}


def test_errors_of_the_function_pass_through():
    def broken(x):
        raise KeyError("of the user")

    for transform in (grad, value_and_grad, jacfwd, jacrev, hessian):
        with pytest.raises(KeyError, match="of the user"):
            transform(broken)(X)


def test_complex_inputs_are_differentiated_as_in_jax():
    z = jnp.array([1.0 + 2.0j, -0.5j])

    def cube(z):
        return jnp.sum(z**3)

    for name, transform in {"grad": grad, "jacfwd": jacfwd, "jacrev": jacrev, "hessian": hessian}.items():
        expected = getattr(jax, name)(cube, holomorphic=True)(z)
        assert jnp.allclose(transform(cube, holomorphic=True)(z), expected, rtol=1e-6)

    class Wave(eqx.Module):
        phase: jax.Array

        def value(self, z):
            return jnp.sum(jnp.exp(self.phase * z))

    by_state, by_input = grad(Wave(z).value, "phase", 0, holomorphic=True)(z)
    assert jnp.allclose(by_state["phase"], z * jnp.exp(z * z), rtol=1e-6)
    assert jnp.allclose(by_input, z * jnp.exp(z * z), rtol=1e-6)

    def length(z):
        return jnp.sum(jnp.abs(z) ** 2)

    assert jnp.allclose(grad(length)(z), jax.grad(length)(z), rtol=1e-6)
    assert jnp.allclose(jacrev(length)(z), jax.jacrev(length)(z), rtol=1e-6)


def test_complex_numbers_that_are_not_promised_to_be_holomorphic_are_refused():
    z = {"z": jnp.array(1.0j)}
    for transform in (jacfwd, hessian):
        with pytest.raises(
            TypeError, match=r"takes real inputs and got \['z'\] complex64\[\]: pass `holomorphic=True`"
        ):
            transform(lambda z: jnp.abs(z["z"]))(z)
    for transform in (grad, jacrev):
        with pytest.raises(
            TypeError, match=r"returned complex64\[\]: pass `holomorphic=True` if it is holomorphic, or"
        ):
            transform(lambda z: z["z"])(z)
    with pytest.raises(
        TypeError, match=r"`hessian` takes a function to real values, .* returned \['z'\] complex64\[2\]"
    ):
        hessian(lambda x: {"z": 1.0j * x})(X)
    with pytest.raises(
        TypeError, match=r"`grad` with `holomorphic=True` takes complex inputs and got float32\[2\]: make"
    ):
        grad(square, holomorphic=True)(X)
    with pytest.raises(
        TypeError, match=r"takes a function to complex values, and <lambda> returned float32\[\]: leave out"
    ):
        grad(lambda z: jnp.abs(z["z"]), holomorphic=True)(z)


def test_python_numbers_and_numpy_arrays_are_differentiated():
    assert grad(lambda x: x**2)(3.0) == 6.0
    assert grad(square)(np.array([1.0, 2.0], np.float32)).tolist() == [2.0, 4.0]


def test_a_derivative_is_the_same_compiled():
    gradient = grad(lambda x, y: jnp.sum(jnp.sin(x) * y), argnums=(0, 1), return_value=True)
    expected = gradient(X, 3.0)
    assert eqx.tree_equal(jax.jit(gradient)(X, 3.0), expected, rtol=1e-6)
    assert eqx.tree_equal(eqx.filter_jit(gradient)(X, 3.0)[0][0], expected[0][0], rtol=1e-6)
