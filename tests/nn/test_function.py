import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox.contract import ContractError
from matrinox.nn import Dense, Dropout, Lambda, Sequential

KEY = jax.random.key(0)
X = jax.random.normal(KEY, (2, 3, 3))


def noisy(x, key):
    return x + jax.random.normal(key, x.shape)


def test_lambda_applies_its_function():
    layer = Lambda(lambda x: 2 * x)
    assert np.array_equal(layer(X), 2 * X)
    assert np.array_equal(eqx.nn.inference_mode(layer)(X), 2 * X)


def test_lambda_equals_eqx_lambda():
    assert np.array_equal(Lambda(jnp.tanh)(X), eqx.nn.Lambda(jnp.tanh)(X))


def test_training_and_inference_have_functions_of_their_own():
    layer = Lambda(lambda x: x + 1, lambda x: x - 1)
    quiet = eqx.nn.inference_mode(layer)
    assert np.array_equal(layer(X), X + 1)
    assert np.array_equal(quiet(X), X - 1)
    assert np.array_equal(eqx.nn.inference_mode(quiet, value=False)(X), X + 1)
    assert np.array_equal(Lambda(lambda x: x + 1, lambda x: x - 1, inference=True)(X), X - 1)


def test_the_key_goes_to_the_function_that_has_the_parameter():
    layer = Lambda(noisy, lambda x: x)
    assert np.array_equal(layer(X, key=KEY), noisy(X, KEY))
    assert np.array_equal(eqx.nn.inference_mode(layer)(X, key=KEY), X)
    optional = Lambda(lambda x, *, key=None: x if key is None else noisy(x, key))
    assert np.array_equal(optional(X), X)
    assert np.array_equal(optional(X, key=KEY), noisy(X, KEY))


def test_without_a_key_a_function_keeps_its_own():
    assert Lambda(lambda x, *, key=7: x + key)(jnp.ones(1)) == 8


def test_a_missing_key_is_refused_in_the_mode_that_needs_it():
    with pytest.raises(ValueError, match=r"`key` \(=None\) is needed by the function of this Lambda in training"):
        Lambda(noisy, lambda x: x)(X)
    with pytest.raises(ValueError, match=r"`key` \(=None\) is needed by the function of this Lambda in inference"):
        Lambda(lambda x: x, noisy, inference=True)(X)


def test_a_module_inside_trains_and_is_switched_to_inference():
    layer = Lambda(Sequential([Dense(p=2, q=2, n=3, initializer=drawn, key=KEY), Dropout(0.5)]))
    quiet = eqx.nn.inference_mode(layer)
    assert np.array_equal(quiet(X), layer.train[0](X))
    assert not np.array_equal(layer(X, key=KEY), quiet(X))
    gradient = eqx.filter_jit(eqx.filter_grad(lambda layer: layer(X, key=KEY).sum()))(layer)
    assert np.any(gradient.train[0].weight)


def test_a_function_without_a_readable_signature_gets_no_key():
    class Opaque:
        __signature__ = "none"

        def __call__(self, x):
            return -x

    assert np.array_equal(Lambda(Opaque())(X, key=KEY), -X)


def test_the_function_may_change_shape_and_dtype():
    assert Lambda(lambda x: x.reshape(-1).astype(jnp.int32))(X).shape == (18,)
    assert Lambda(jnp.argmax)(np.ones((3,), np.float32)).dtype == jnp.int32


def test_jit_and_vmap_change_nothing():
    layer = Lambda(noisy)
    np.testing.assert_allclose(eqx.filter_jit(layer)(X, key=KEY), layer(X, key=KEY), rtol=1e-6)
    keys = jax.random.split(KEY, 3)
    mapped = jax.jit(jax.vmap(lambda x, key: layer(x, key=key)))(np.stack([X] * 3), keys)
    np.testing.assert_allclose(mapped[2], layer(X, key=keys[2]), rtol=1e-6)


def test_what_is_not_callable_or_gives_no_array_is_refused():
    with pytest.raises(ContractError, match="train"):
        Lambda(3)
    with pytest.raises(ContractError, match="Lambda returned"):
        Lambda(lambda x: [x])(X)
