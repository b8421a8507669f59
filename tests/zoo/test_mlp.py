"""Multilayer perceptrons."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import io
from matrinox.contract import ContractError
from matrinox.zoo import MLP, MLPConfig

SMALL = MLPConfig(features=10, n=2, widths=(3, 4), classes=5)


@pytest.mark.parametrize("transpose", [True, False])
def test_mlp_equals_its_formula_in_numpy(transpose, apply):
    """10 features, folded into three 2 × 2 matrices with two zeros at the end."""
    model = MLP(dataclasses.replace(SMALL, transpose=transpose), key=jax.random.key(0))
    x = np.random.RandomState(0).normal(size=(7, 10))
    dense = [layer for layer in model.layers.layers if hasattr(layer, "weight")]
    hidden = np.pad(x, ((0, 0), (0, 2))).reshape(7, 3, 2, 2)
    for layer in dense[:-1]:
        weight, bias = np.float64(layer.weight), np.float64(layer.bias)
        hidden = np.maximum(np.einsum("qpak,bpkc->bqac", weight, hidden) + bias, 0)
        hidden = hidden.swapaxes(-1, -2) if transpose else hidden
    last = np.einsum("qpak,bpkc->bqac", np.float64(dense[-1].weight), hidden) + np.float64(dense[-1].bias)
    by_hand = np.trace(last, axis1=-1, axis2=-2)
    assert apply(model, x.astype(np.float32)) == pytest.approx(by_hand, abs=1e-5)


def test_any_leading_axes_are_batch(apply):
    model = MLP(SMALL, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, 3, 10))
    one_by_one = apply(jax.vmap(jax.vmap(model)), x)
    assert apply(model, x) == pytest.approx(np.asarray(one_by_one), abs=1e-6)
    assert apply(model, x[0, 0]).shape == (5,)
    assert model.input_shape == (10,)


def test_the_gradient_reaches_every_parameter():
    model = MLP(SMALL, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (20, 10))
    gradient = eqx.filter_jit(eqx.filter_grad(lambda model: jnp.sum(model(x) ** 2)))(model)
    leaves = jax.tree.leaves(gradient)
    assert len(leaves) == 6
    assert all(jnp.any(leaf != 0) for leaf in leaves)


def test_dropout_is_for_training_alone(apply):
    model = MLP(dataclasses.replace(SMALL, dropout=0.5), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (4, 10))
    a, b = (apply(model, x, jax.random.key(seed)) for seed in (2, 3))
    assert not jnp.array_equal(a, b)
    still = eqx.nn.inference_mode(model)
    assert jnp.array_equal(apply(still, x), apply(still, x, jax.random.key(2)))


def test_a_file_rebuilds_the_model(tmp_path, apply):
    config = dataclasses.replace(SMALL, dropout=0.5)
    model = MLP(config, key=jax.random.key(0))
    io.save(tmp_path / "mlp.safetensors", model)
    loaded = io.load(tmp_path / "mlp.safetensors", MLP)
    x = jax.random.normal(jax.random.key(1), (4, 10))
    assert loaded.config == config
    key = jax.random.key(5)
    assert jnp.array_equal(apply(loaded, x, key), apply(model, x, key))


def test_another_number_of_features_is_refused():
    with pytest.raises(ContractError, match="axis -1 is 9, features is 10"):
        MLP(SMALL, key=jax.random.key(0))(np.zeros((3, 9), np.float32))


def test_an_mlp_without_hidden_layers_is_refused():
    with pytest.raises(ValueError, match=r"`widths` \(=\(\)\) must hold at least one hidden layer"):
        MLPConfig(widths=())
