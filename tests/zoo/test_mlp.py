"""Multilayer perceptrons and linear models."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import io
from matrinox.contract import ContractError
from matrinox.data import DataSet
from matrinox.zoo import MLP, MLPConfig

SMALL = MLPConfig(features=10, n=2, widths=(3, 4), classes=5)
LINEAR = MLPConfig(features=3, n=2, widths=(), classes=2, normalize=True)


@pytest.mark.parametrize(("transpose", "norm"), [(True, None), (False, None), (True, "rms")])
def test_mlp_equals_its_formula_in_numpy(transpose, norm, apply):
    """10 features, folded into three 2 × 2 matrices with two zeros at the end."""
    model = MLP(dataclasses.replace(SMALL, transpose=transpose, norm=norm), key=jax.random.key(0))
    x = np.random.RandomState(0).normal(size=(7, 10))
    dense = [layer for layer in model.chain.layers if hasattr(layer, "q")]
    hidden = np.pad(x, ((0, 0), (0, 2))).reshape(7, 3, 2, 2)
    for layer in dense[:-1]:
        weight, bias = np.float64(layer.weight), np.float64(layer.bias)
        hidden = np.einsum("qpak,bpkc->bqac", weight, hidden) + bias
        if norm:
            hidden = hidden / np.sqrt(np.mean(hidden**2, (-3, -2, -1), keepdims=True) + 1e-5)
        hidden = np.maximum(hidden, 0)
        hidden = hidden.swapaxes(-1, -2) if transpose else hidden
    last = np.einsum("qpak,bpkc->bqac", np.float64(dense[-1].weight), hidden) + np.float64(dense[-1].bias)
    by_hand = np.trace(last, axis1=-1, axis2=-2)
    assert apply(model, x.astype(np.float32)) == pytest.approx(by_hand, abs=1e-5)


def test_an_image_is_a_row_of_its_values(apply):
    image = MLP(dataclasses.replace(SMALL, features=(5, 2, 1)), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (4, 10))
    assert image.input_shape == (5, 2, 1)
    assert jnp.array_equal(apply(image, x.reshape(4, 5, 2, 1)), apply(MLP(SMALL, key=jax.random.key(0)), x))


def test_without_hidden_layers_it_is_any_affine_map(apply):
    """Read by the trace, a neuron of zeros but for one entry gives the weight of one feature."""
    model = MLP(LINEAR, key=jax.random.key(0))
    wanted, offset = np.array([[1.0, 2, 3], [4, 5, 6]], np.float32), np.array([7.0, 8], np.float32)
    weight = np.zeros((2, 1, 2, 2), np.float32)
    weight[:, 0, 0, 0], weight[:, 0, 1, 0], weight[:, 0, 0, 1] = wanted.T
    bias = np.zeros((2, 2, 2), np.float32)
    bias[:, 0, 0] = offset
    model = eqx.tree_at(lambda model: (model.head[0].weight, model.head[0].bias), model, (weight, bias))
    x = np.random.RandomState(0).normal(size=(6, 3)).astype(np.float32)
    assert apply(model, x) == pytest.approx(x @ wanted.T + offset, abs=1e-5)


def test_what_it_normalises_by_is_of_the_train_part_and_in_its_file(tmp_path, apply):
    x = np.float32([[1, 10, 100], [3, 30, 300], [5, 50, 900]])
    model = MLP(LINEAR, key=jax.random.key(0))
    fitted = model.fitted(DataSet(x))
    io.save(tmp_path / "linear.safetensors", fitted)
    loaded = io.load(tmp_path / "linear.safetensors", MLP)
    same = (x - x.mean(0)) / x.std(0)
    assert apply(loaded, x) == pytest.approx(np.asarray(apply(model, same)), abs=1e-5)
    assert len(jax.tree.leaves(eqx.filter(fitted, eqx.is_inexact_array))) == 2
    plain = MLP(dataclasses.replace(LINEAR, normalize=False), key=jax.random.key(0))
    assert plain.fitted(DataSet(x)) is plain
    with pytest.raises(ValueError, match=r"`train` \(='.*'\) has inputs of \(2,\), which must be of \(3,\): give the"):
        model.fitted(DataSet(x[:, :2]))


def test_dropout_takes_whole_neurons_and_is_for_training_alone(apply):
    model = MLP(dataclasses.replace(SMALL, dropout=0.5), key=jax.random.key(0))
    x = jax.random.normal(jax.random.key(1), (4, 10))
    a, b = (apply(model, x, jax.random.key(seed)) for seed in (2, 3))
    assert not jnp.array_equal(a, b)
    still = eqx.nn.inference_mode(model)
    assert jnp.array_equal(apply(still, x), apply(still, x, jax.random.key(2)))
    assert [layer.shared for layer in model.body.layers if hasattr(layer, "rate")] == [(-2, -1), (-2, -1)]


def test_another_number_of_features_is_refused():
    with pytest.raises(ContractError, match="axis -1 is 9, values is 10"):
        MLP(SMALL, key=jax.random.key(0))(np.zeros((3, 9), np.float32))


def test_an_input_without_axes_is_refused():
    with pytest.raises(ValueError, match=r"`features` \(=\(\)\) must have an axis: such as 64, or \(28, 28, 1\)"):
        MLPConfig(features=())
