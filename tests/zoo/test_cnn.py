"""Convolutional networks."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from matrinox import io
from matrinox.contract import ContractError
from matrinox.zoo import CNN, CNNConfig
from matrinox.zoo.runs import count_parameters

SMALL = CNNConfig(height=6, width=4, channels=2, n=2, stages=((3,),), classes=5)


def test_cnn_at_n_1_equals_an_ordinary_network():
    """Every 1 × 1 neuron is a number: convolution, relu, maximum over 2 × 2 and a linear read-out, by `lax`."""
    model = CNN(dataclasses.replace(SMALL, n=1), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (3, 6, 4, 2))
    first, last = (layer for layer in model.layers.layers if hasattr(layer, "weight"))
    kernel = first.weight[..., 0, 0].transpose(2, 3, 1, 0)
    hidden = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
    hidden = jax.nn.relu(hidden + first.bias[:, 0, 0])
    hidden = hidden.reshape(3, 3, 2, 2, 2, 3).max((2, 4))
    by_hand = jnp.einsum("bhwp,qphw->bq", hidden, last.weight[..., 0, 0]) + last.bias[:, 0, 0]
    assert model(x) == pytest.approx(np.asarray(by_hand), abs=1e-5)


def test_the_parameters_are_those_of_the_formula():
    """Σ q·p·k²·n² + q·n² over the convolutions, the read-out's kernel being the map that is left."""
    sizes = [(8, 1, 9), (8, 8, 9), (16, 8, 9), (12, 16, 9), (10, 12, 4)]
    by_hand = sum(q * p * area * 4 + q * 4 for q, p, area in sizes)
    assert count_parameters(CNN(CNNConfig(), key=jax.random.key(0))) == by_hand


@pytest.mark.parametrize("encoder", ["neighbourhoods", "patches"])
def test_any_leading_axes_are_batch(encoder):
    config = dataclasses.replace(SMALL, height=8, width=4, encoder=encoder)
    model = CNN(config, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, 3, 8, 4, 2))
    one_by_one = jax.vmap(jax.vmap(model))(x)
    assert model(x) == pytest.approx(np.asarray(one_by_one), abs=1e-5)
    assert model(x[0, 0]).shape == (5,)
    assert model.input_shape == (8, 4, 2)


def test_the_gradient_reaches_every_parameter():
    model = CNN(SMALL, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (20, 6, 4, 2))
    gradient = eqx.filter_grad(lambda model: jnp.sum(model(x) ** 2))(model)
    leaves = jax.tree.leaves(gradient)
    assert len(leaves) == 4
    assert all(jnp.any(leaf != 0) for leaf in leaves)


def test_dropout_is_for_training_alone():
    model = CNN(dataclasses.replace(SMALL, dropout=0.5), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (4, 6, 4, 2))
    a, b = (model(x, key=jax.random.key(seed)) for seed in (2, 3))
    assert not jnp.array_equal(a, b)
    still = eqx.nn.inference_mode(model)
    assert jnp.array_equal(still(x), still(x, key=jax.random.key(2)))


def test_a_file_rebuilds_the_model(tmp_path):
    model = CNN(SMALL, key=jax.random.key(0))
    io.save(tmp_path / "cnn.safetensors", model)
    loaded = io.load(tmp_path / "cnn.safetensors", CNN)
    x = jax.random.normal(jax.random.key(1), (4, 6, 4, 2))
    assert loaded.config == SMALL
    assert jnp.array_equal(loaded(x), model(x))


def test_images_of_another_size_are_refused():
    model = CNN(SMALL, key=jax.random.key(0))
    with pytest.raises(ContractError, match="axis -2 is 6, width is 4"):
        model(np.zeros((3, 6, 6, 2), np.float32))
    with pytest.raises(ContractError, match="at least 3 are due"):
        model(np.zeros((6, 4), np.float32))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"stages": ()}, r"`stages` \(=\(\)\) must hold neurons for each stage"),
        ({"stages": ((8,), ())}, r"must hold neurons for each stage"),
        ({"stages": ((2,), (2,), (2,))}, r"leave nothing of 6 × 4 pixels: use fewer stages"),
        ({"encoder": "patches", "n": 3}, r"`height` \(=6\) and `width` \(=4\) must be divisible by `n` \(=3\)"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(SMALL, **change)
