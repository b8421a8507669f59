"""Convolutional networks."""

import dataclasses
from itertools import pairwise

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from matrinox import io, nn
from matrinox.contract import ContractError
from matrinox.zoo import CNN, CNNConfig
from matrinox.zoo.cnn import PRESETS

SMALL = CNNConfig(shape=(6, 4, 2), n=2, stages=((3,),), classes=5)
SIGNAL = CNNConfig(shape=(12,), n=2, stages=((3,), (2,)), kernel=5, transpose=True, read="max", classes=5)
RESIDUAL = CNNConfig(
    shape=(6, 4, 2), n=2, stages=((3,), (2,)), block="residual", down="stride", norm="rms", read="mean", classes=5
)
DENSE = CNNConfig(shape=(6, 4, 2), stages=((3,),), encoder="patches", down="stride", read="mean", dense=(3, 2))


def test_cnn_at_n_1_equals_an_ordinary_network(apply):
    """Every 1 × 1 neuron is a number: convolution, relu, maximum over 2 × 2 and a linear read-out, by `lax`."""
    model = CNN(dataclasses.replace(SMALL, n=1), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (3, 6, 4, 2))
    first, last = model.body.layers[1].layers[0], model.head.layers[0]
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


def test_two_strided_layers_read_by_their_mean_equal_an_ordinary_network_at_n_1(apply):
    model = CNN(dataclasses.replace(DENSE, n=1, stages=((3,), (2,)), dense=(4,)), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (3, 6, 4, 2))

    @jax.jit
    def ordinary(x):
        for stride, conv in ((1, model.body.layers[1].layers[0]), (2, model.body.layers[2].layers[0])):
            kernel = conv.weight[..., 0, 0].transpose(2, 3, 1, 0)
            steps, padding = (stride, stride), ((1, 1), (1, 1))
            x = lax.conv_general_dilated(x, kernel, steps, padding, dimension_numbers=("NHWC", "HWIO", "NHWC"))
            x = jax.nn.relu(x + conv.bias[:, 0, 0])
        dense, read_out = model.body.layers[4], model.head.layers[0].dense
        hidden = jax.nn.relu(x.mean((1, 2)) @ dense.weight[..., 0, 0].T + dense.bias[:, 0, 0])
        return hidden @ read_out.weight[..., 0, 0].T + read_out.bias[:, 0, 0]

    assert model.config.map_size == (3, 2)
    assert apply(model, x) == pytest.approx(np.asarray(ordinary(x)), abs=1e-5)


@pytest.mark.parametrize(("name", "most"), [("cnn-mnist-4k", 4_000), ("cnn-mnist-10k", 10_000)])
def test_small_networks_have_no_more_parameters_than_their_names_say(name, most, parameters_of):
    config = PRESETS[name]
    widths = [1, *(q for stage in config.stages for q in stage)]
    sizes = [(q, p, 9) for p, q in pairwise(widths)] + [(10, widths[-1], 1)]
    by_hand = sum(q * p * area * 4 + q * 4 for q, p, area in sizes)
    assert parameters_of(CNN, config) == by_hand <= most


def test_matcnn_has_five_convolutions_of_which_two_halve_the_image_and_three_dense_layers():
    model = eqx.filter_eval_shape(lambda key: CNN(PRESETS["matcnn-mnist"], key=key), jax.random.key(0))
    blocks = [layer.layers[0] for layer in model.body.layers if isinstance(layer, nn.ConvNormAct)]
    assert [(conv.n, conv.kernel, conv.stride) for conv in blocks] == [(4, (3, 3), (s, s)) for s in (1, 2, 2, 1, 1)]
    assert sum(isinstance(layer, nn.Dense) for layer in model.body.layers) == 3


@pytest.mark.parametrize("config", [SMALL, SIGNAL, RESIDUAL, DENSE], ids=["small", "signal", "residual", "dense"])
def test_any_leading_axes_are_batch_and_the_gradient_reaches_every_parameter(config, apply):
    model = CNN(config, key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (2, 3, *config.shape))
    one_by_one = apply(jax.vmap(jax.vmap(model)), x)
    assert apply(model, x) == pytest.approx(np.asarray(one_by_one), abs=1e-5)
    assert apply(model, x[0, 0]).shape == (config.classes,)
    assert model.input_shape == config.shape
    many = jax.random.normal(jax.random.key(2), (20, *config.shape))
    gradient = eqx.filter_jit(eqx.filter_grad(lambda model: jnp.sum(model(many) ** 2)))(model)
    assert all(jnp.any(leaf != 0) for leaf in jax.tree.leaves(gradient))


def test_patches_of_a_signal_are_its_moments_in_order():
    model = CNN(dataclasses.replace(SIGNAL, encoder="patches", stages=((3,),)), key=jax.random.key(0))
    encoded = model.body.layers[0](jnp.arange(12.0))
    assert encoded.shape == (3, 1, 2, 2)
    assert jnp.array_equal(encoded.ravel(), jnp.arange(12.0))


def test_transposed_columns_meet_before_the_head(apply):
    """Without a transpose, a column of the features depends on one column of the encoded pixels alone."""
    x = jnp.zeros((6, 4, 2)).at[2, 1, 0].set(1.0)
    for transpose, depends in ((False, False), (True, True)):
        config = dataclasses.replace(SMALL, encoder="patches", stages=((3, 3),), transpose=transpose)
        model = CNN(config, key=jax.random.key(0))
        change = apply(model.features, x) - apply(model.features, 0 * x)
        # The pixel stands in the second column of its patch.
        assert bool(jnp.any(change[..., 1] != 0))
        assert bool(jnp.any(change[..., 0] != 0)) == depends


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
        ({"stages": ((2,), (2,), (2,))}, r"leave nothing of \(6, 4\): use fewer stages"),
        ({"encoder": "patches", "n": 3}, r"`shape` \(=\(6, 4, 2\)\) must be divisible along each axis of space by 3"),
        ({"shape": (6, 4)}, r"`shape` \(=\(6, 4\)\) must be of a signal or an image"),
        ({"dense": (3,)}, r"`dense` \(=\(3,\)\) must be \(\) where the map is read: choose read='mean'"),
        ({"block": "residual", "kernel": 5}, r"`kernel` \(=5\) must be 3 in residual blocks"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(SMALL, **change)
