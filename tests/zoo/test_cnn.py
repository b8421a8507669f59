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

SMALL = CNNConfig(height=6, width=4, channels=2, n=2, stages=((3,),), classes=5)


def test_cnn_at_n_1_equals_an_ordinary_network(apply):
    """Every 1 × 1 neuron is a number: convolution, relu, maximum over 2 × 2 and a linear read-out, by `lax`."""
    model = CNN(dataclasses.replace(SMALL, n=1), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (3, 6, 4, 2))
    first, last = (layer for layer in model.layers.layers if hasattr(layer, "weight"))
    kernel = first.weight[..., 0, 0].transpose(2, 3, 1, 0)

    @jax.jit
    def ordinary(x):
        hidden = lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        hidden = jax.nn.relu(hidden + first.bias[:, 0, 0])
        hidden = hidden.reshape(3, 3, 2, 2, 2, 3).max((2, 4))
        return jnp.einsum("bhwp,qphw->bq", hidden, last.weight[..., 0, 0]) + last.bias[:, 0, 0]

    by_hand = ordinary(x)
    assert apply(model, x) == pytest.approx(np.asarray(by_hand), abs=1e-5)


def test_the_parameters_are_those_of_the_formula(parameters_of):
    """Σ q·p·k²·n² + q·n² over the convolutions, the read-out's kernel being the map that is left."""
    sizes = [(8, 1, 9), (8, 8, 9), (16, 8, 9), (12, 16, 9), (10, 12, 4)]
    by_hand = sum(q * p * area * 4 + q * 4 for q, p, area in sizes)
    assert parameters_of(CNN, CNNConfig()) == by_hand


@pytest.mark.parametrize("encoder", ["neighbourhoods", "patches"])
def test_any_leading_axes_are_batch(encoder, apply):
    model = CNN(dataclasses.replace(SMALL, encoder=encoder), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, 3, 6, 4, 2))
    one_by_one = apply(jax.vmap(jax.vmap(model)), x)
    assert apply(model, x) == pytest.approx(np.asarray(one_by_one), abs=1e-5)
    assert apply(model, x[0, 0]).shape == (5,)
    assert model.input_shape == (6, 4, 2)


def test_the_gradient_reaches_every_parameter():
    model = CNN(SMALL, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (20, 6, 4, 2))
    gradient = eqx.filter_jit(eqx.filter_grad(lambda model: jnp.sum(model(x) ** 2)))(model)
    leaves = jax.tree.leaves(gradient)
    assert len(leaves) == 4
    assert all(jnp.any(leaf != 0) for leaf in leaves)


def test_dropout_is_for_training_alone(apply):
    model = CNN(dataclasses.replace(SMALL, dropout=0.5), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (4, 6, 4, 2))
    a, b = (apply(model, x, jax.random.key(seed)) for seed in (2, 3))
    assert not jnp.array_equal(a, b)
    still = eqx.nn.inference_mode(model)
    assert jnp.array_equal(apply(still, x), apply(still, x, jax.random.key(2)))


def test_a_file_rebuilds_the_model(tmp_path, apply):
    model = CNN(SMALL, key=jax.random.key(0))
    io.save(tmp_path / "cnn.safetensors", model)
    loaded = io.load(tmp_path / "cnn.safetensors", CNN)
    x = jax.random.normal(jax.random.key(1), (4, 6, 4, 2))
    assert loaded.config == SMALL
    assert jnp.array_equal(apply(loaded, x), apply(model, x))


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
