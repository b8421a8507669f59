import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.functional import mse
from matrinox.transforms import LossGradients, hvp, jacrev, jvp, loss_gradients, stop_gradient, value_and_grad, vjp


@pytest.fixture(scope="module")
def linear():
    return eqx.nn.Linear(2, 3, key=jax.random.key(0))


X, T = jnp.array([0.5, -1.0]), jnp.array([1.0, 2.0, -1.0])


def loss(y, t):
    return jnp.sum((y - t) ** 2)


def by_hand(linear):
    """All gradients of the sum of squares of `W x + b - t`."""
    error = 2 * (linear.weight @ X + linear.bias - T)
    return {"weight": jnp.outer(error, X), "bias": error, "input": linear.weight.T @ error, "target": -error}


def test_gradients_by_parameters_input_and_target_at_once_with_the_value(linear):
    every, expected = loss_gradients(linear, loss, X, T, by="all"), by_hand(linear)
    assert every.value == pytest.approx(float(loss(linear(X), T)))
    np.testing.assert_allclose(every.parameters.weight, expected["weight"], rtol=1e-5)
    np.testing.assert_allclose(every.parameters.bias, expected["bias"], rtol=1e-5)
    np.testing.assert_allclose(every.input, expected["input"], rtol=1e-5)
    np.testing.assert_allclose(every.target, expected["target"], rtol=1e-5)
    assert every.aux is every.state is None


@pytest.mark.parametrize("by", ["parameters", "input", "target", ("target", "parameters"), ["input", "target"]])
def test_what_is_not_asked_for_is_none_and_the_rest_the_same(by, linear):
    every, some = loss_gradients(linear, loss, X, T, by="all"), loss_gradients(linear, loss, X, T, by=by)
    for part in ("parameters", "input", "target"):
        expected = getattr(every, part) if part in by else None
        assert eqx.tree_equal(getattr(some, part), expected, rtol=1e-6)


def test_the_value_may_be_a_python_scalar(linear):
    value, _ = value_and_grad(lambda x: loss(linear(x), T))(X)
    assert isinstance(value.item(), float)
    assert value.item() == loss_gradients(linear, loss, X, T).value.item()


def test_parameters_are_selected_as_by_grad_states_and_aux_is_passed_on(linear):
    found = loss_gradients(linear, lambda y, t: (loss(y, t), {"output": y}), X, T, grad_states="weight", has_aux=True)
    np.testing.assert_allclose(found.parameters["weight"], by_hand(linear)["weight"], rtol=1e-5)
    np.testing.assert_allclose(found.aux["output"], linear(X), rtol=1e-6)


def test_it_is_one_program_under_jit(linear):
    compiled = eqx.filter_jit(loss_gradients)(linear, loss, X, T, by="all")
    assert isinstance(compiled, LossGradients)
    assert eqx.tree_equal(compiled, loss_gradients(linear, loss, X, T, by="all"), rtol=1e-5, atol=1e-6)


def test_states_and_keys_reach_the_model():
    # A state is used once: the second is for the oracle.
    (model, state), (_, again) = (eqx.nn.make_with_state(nn.BatchNorm)(p=2, n=1) for _ in range(2))
    x = jax.random.normal(jax.random.key(0), (3, 2, 1, 1))
    found = loss_gradients(model, mse, x, jnp.zeros_like(x), state=state)
    output, new = model(x, again)
    assert eqx.tree_equal(found.state, new)
    assert found.value == mse(output, jnp.zeros_like(x))
    key = jax.random.key(1)
    dropped = loss_gradients(nn.Dropout(0.5), lambda y, t: jnp.sum(y * t), x, x, by=["input"], key=key)
    np.testing.assert_array_equal(dropped.input, nn.Dropout(0.5)(x, key=key))


def test_a_detached_output_has_a_value_and_no_gradients(linear):
    found = loss_gradients(linear, lambda y, t: loss(stop_gradient(y), t), X, T, by="all")
    assert found.value == pytest.approx(float(loss(linear(X), T)))
    assert not any(jnp.any(leaf) for leaf in jax.tree.leaves((found.parameters, found.input)))
    assert jnp.any(found.target)


@pytest.mark.parametrize(
    ("by", "message"),
    [
        (
            "inputs",
            r"`by` \(='inputs'\) must be of 'parameters', 'input' and 'target', or 'all': did you mean 'input'\?",
        ),
        ((), r"`by` \(=\(\)\) must be of 'parameters', 'input' and 'target', or 'all': name one or several"),
    ],
)
def test_gradients_by_something_else_are_refused(by, message, linear):
    with pytest.raises(ValueError, match=message):
        loss_gradients(linear, loss, X, T, by=by)


def test_a_function_has_no_parameters_to_differentiate_by():
    with pytest.raises(
        ValueError, match=r"`model` \(function\) must be a module for gradients by its parameters: pass"
    ):
        loss_gradients(lambda x: x, loss, X, X, by="all")
    np.testing.assert_array_equal(loss_gradients(lambda x: x, loss, X, -X, by="input").input, 4 * X)


def test_labels_are_no_floats_to_differentiate_by(linear):
    with pytest.raises(
        TypeError, match=r"cannot be differentiated by its argument 2 \(`target`\), which holds int32\[\]"
    ):
        loss_gradients(linear, lambda y, t: y[t], X, jnp.array(1), by="all")


def test_vjp_by_parameters_and_by_input(linear):
    seed = jnp.array([1.0, 10.0, 100.0])
    _, pull = vjp(linear, X, grad_states=eqx.is_inexact_array, argnums=0)
    by_parameters, by_input = pull(seed)
    np.testing.assert_allclose(by_parameters.weight, jnp.outer(seed, X))
    np.testing.assert_allclose(by_parameters.bias, seed)
    np.testing.assert_allclose(by_input, seed @ linear.weight, rtol=1e-6)


def test_jacrev_by_parameters(linear):
    jacobian = jacrev(linear, grad_states="weight")(X)["weight"]
    np.testing.assert_allclose(jacobian, jnp.einsum("ij,k->ijk", jnp.eye(3), X))


def test_jvp_and_hvp_of_a_loss_by_parameters(linear):
    def of_parameters(model, x, t):
        return loss(model(x), t)

    direction = {"weight": jnp.ones((3, 2)), "bias": jnp.array([1.0, -1.0, 2.0])}
    where = {"weight": lambda model: model.weight, "bias": lambda model: model.bias}
    moved = direction["weight"] @ X + direction["bias"]
    value, slope = jvp(of_parameters, (linear, X, T), direction, grad_states=where)
    assert slope == pytest.approx(float(by_hand(linear)["bias"] @ moved), rel=1e-5)
    assert value == pytest.approx(float(loss(linear(X), T)))
    curved = hvp(of_parameters, (linear, X, T), direction, grad_states=where)
    np.testing.assert_allclose(curved["weight"], 2 * jnp.outer(moved, X), rtol=1e-5)
    np.testing.assert_allclose(curved["bias"], 2 * moved, rtol=1e-5)
