"""Normalisation fitted on the training examples."""

from dataclasses import dataclass

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from matrinox.contract import ContractError
from matrinox.data import DataSet, Normalize, NpyFiles, NpzFile, RowLoader, split_random
from matrinox.io import load, save
from matrinox.nn import Dense, Fold, Sequential, Trace

X = np.random.RandomState(0).standard_normal((50, 4, 3)).astype(np.float32) * [1, 10, 0.1] + [0, -500, 7]


@pytest.fixture
def data() -> DataSet:
    return DataSet(X, X[:, 0, 0] * 100)


@pytest.mark.parametrize(("per", "axes"), [("feature", 0), ("channel", (0, 1)), ("all", (0, 1, 2))])
def test_the_training_examples_get_mean_0_and_variance_1(data, per, axes):
    """Mean and deviation of NumPy in float64, of which none is read more than 7 examples at a time."""
    x = np.asarray(data.inputs, np.float64)
    layer = Normalize.fit(data, per=per, batch=7)
    assert np.allclose(layer.offset, x.mean(axes), rtol=1e-6, atol=1e-7)
    assert np.allclose(layer.scale, x.std(axes), rtol=1e-6)
    assert layer.offset.dtype == jnp.float32
    y = np.asarray(layer(data.inputs))
    assert np.allclose(y.mean(axes), 0, atol=1e-4)
    assert np.allclose(y.std(axes), 1, atol=1e-4)


@pytest.mark.parametrize(("per", "axes"), [("feature", 0), ("channel", (0, 1)), ("all", (0, 1, 2))])
def test_min_max_brings_the_training_examples_to_0_and_1(data, per, axes):
    y = np.asarray(Normalize.fit(data, per=per, method="min-max", batch=7)(data.inputs))
    assert np.allclose(y.min(axes), 0, atol=1e-6)
    assert np.allclose(y.max(axes), 1, atol=1e-6)


def test_mnist_on_disk_has_the_mean_and_deviation_that_are_known_of_it(published):
    """0.1307 and 0.3081 of pixels in 0 … 1, as PyTorch's examples write them."""
    layer = Normalize.fit(NpzFile(published / "mnist.npz", "x_train"), per="all")
    assert float(layer.offset) / 255 == pytest.approx(0.1307, abs=5e-5)
    assert float(layer.scale) / 255 == pytest.approx(0.3081, abs=5e-5)


def test_a_loader_and_files_are_fitted_as_what_they_hold(data, tmp_path):
    np.save(tmp_path / "x.npy", X.astype(np.float32))
    fitted = [Normalize.fit(train) for train in (data, RowLoader(data, 9, key=None), NpyFiles(tmp_path / "x.npy"))]
    for layer in fitted[1:]:
        assert np.allclose(layer.offset, fitted[0].offset, rtol=1e-6)
        assert np.allclose(layer.scale, fitted[0].scale, rtol=1e-6)


def test_large_numbers_close_together_keep_their_deviation():
    """Sums of squares would cancel: 10⁶ ± 1 has deviation 1, in any cut."""
    x = np.tile(np.float32([1e6 - 1, 1e6 + 1]), 5000)[:, None]
    for batch in (37, 10000):
        layer = Normalize.fit(DataSet(x), batch=batch)
        assert float(layer.scale[0]) == pytest.approx(1, rel=1e-6)
        assert float(layer.offset[0]) == 1e6


def test_what_is_constant_is_shifted_alone():
    x = np.full((7, 2), 0.1, np.float32)
    x[:, 1] = np.arange(7)
    for method in ("standard", "min-max"):
        layer = Normalize.fit(DataSet(x), method=method, batch=2)
        assert float(layer.scale[0]) == 1
        assert np.allclose(layer(x)[:, 0], 0, atol=1e-7)


def test_inverse_gives_back_what_was_normalised(data):
    layer = Normalize.fit(data)
    assert np.allclose(layer.inverse(layer(data.inputs)), data.inputs, rtol=1e-5, atol=1e-5)
    targets = Normalize.fit(data, of="targets")
    assert targets.offset.shape == ()
    assert np.allclose(np.std(targets(data.targets)), 1, atol=1e-5)
    assert float(targets.inverse(jnp.zeros(()))) == pytest.approx(float(data.targets.mean()), rel=1e-5)


def test_any_leading_axes_are_batch_and_dtypes_are_kept(data):
    layer = Normalize.fit(data, per="channel")
    x = data.inputs[:6]
    assert jnp.array_equal(jax.vmap(layer)(x), layer(x))
    assert layer(x.reshape(2, 3, 4, 3)).shape == (2, 3, 4, 3)
    half = layer(x.astype(jnp.bfloat16))
    assert half.dtype == jnp.bfloat16
    assert jnp.array_equal(half, layer(x.astype(jnp.bfloat16).astype(jnp.float32)).astype(jnp.bfloat16))
    pixels = Normalize.fit(DataSet(np.arange(8, dtype=np.uint8)[:, None]), method="min-max")
    assert jnp.allclose(pixels(np.array([[7]], np.uint8)), 1)
    assert pixels(np.array([[7]], np.uint8)).dtype == jnp.float32


def test_nothing_in_it_is_trained_and_gradients_pass_through(data):
    """Neither a gradient nor the decay of weights: an optimiser sees no array of floats."""
    layer = Normalize.fit(data)
    model = Sequential([layer, jax.jit(jnp.sin)])
    parameters = eqx.filter(model, eqx.is_inexact_array)
    assert jax.tree.leaves(parameters) == []
    optimiser = optax.adamw(0.1, weight_decay=0.5)
    updates, _ = optimiser.update(parameters, optimiser.init(parameters), parameters)
    assert jnp.array_equal(eqx.apply_updates(model, updates).layers[0].bits, layer.bits)
    gradient = jax.grad(lambda x: layer(x).sum())(data.inputs[0])
    assert np.allclose(gradient, 1 / layer.scale)


# One program, in place of one for every operation.
run = eqx.filter_jit(lambda model, x: model(x))


@dataclass(frozen=True)
class Config:
    features: int


class Classifier(eqx.Module):
    """A model that normalises what it is given."""

    body: Sequential
    config: Config = eqx.field(static=True)

    def __init__(self, config, *, key):
        self.config = config
        dense = Dense(p=1, q=3, n=2, key=key)
        self.body = Sequential([Normalize.identity(config.features), Fold(n=2), dense, Trace()])

    def __call__(self, x, *, key=None):
        return self.body(x, key=key)


def test_a_model_with_it_is_one_file_and_its_numbers_are_those_of_the_training_part_alone(tmp_path):
    x = np.random.RandomState(1).standard_normal((40, 4)).astype(np.float32) * 30 + 100
    parts = split_random(DataSet(x), validation=0.2, test=0.3)
    fitted = Normalize.fit(parts.train)
    assert np.allclose(fitted.offset, np.asarray(parts.train.inputs, np.float64).mean(0))
    assert not np.allclose(fitted.offset, x.mean(0), rtol=1e-4)
    built = Classifier(Config(4), key=jax.random.key(0))
    model = eqx.tree_at(lambda model: model.body.layers[0], built, fitted)
    save(tmp_path / "model.safetensors", model)
    loaded = load(tmp_path / "model.safetensors", Classifier)
    assert jnp.array_equal(loaded.body.layers[0].offset, fitted.offset)
    y = run(model, x)
    assert jnp.array_equal(run(loaded, x), y)
    assert not jnp.allclose(y, run(built, x))
    save(tmp_path / "plain.safetensors", model.body, plain=True)
    assert jnp.array_equal(run(load(tmp_path / "plain.safetensors", like=built.body), x), y)


def test_a_joint_that_does_not_fit_is_refused_when_a_model_is_built():
    with pytest.raises(ContractError, match="Dense"):
        Sequential([Normalize.identity(5, 5), Dense(p=1, q=3, n=2, key=jax.random.key(0))])
    with pytest.raises(ContractError, match="axis -1 is 3"):
        Normalize.identity(4)(np.zeros((2, 3), np.float32))


def test_numbers_that_cannot_be_are_refused():
    for scale in (0.0, -1.0, np.inf, np.nan):
        with pytest.raises(ValueError, match="`scale` must be above 0 and finite: choose 1"):
            Normalize(np.zeros(1), np.array([scale]))
    with pytest.raises(ValueError, match="`offset` must be finite: fit it on"):
        Normalize(np.array([np.nan]), np.ones(1))
    with pytest.raises(ContractError, match="scale"):
        Normalize(np.zeros(1), np.ones(2))


def test_examples_that_cannot_be_fitted_on_are_refused():
    x = np.ones((4, 3), np.float32)
    x[2, 1] = np.nan
    with pytest.raises(
        ValueError, match=r"the inputs of 'data' hold a number that is not finite, in entry \[1\]: fill"
    ):
        Normalize.fit(DataSet(x))
    with pytest.raises(ValueError, match="hold a number that is not finite: fill in"):
        Normalize.fit(DataSet(x), per="all")
    with pytest.raises(ValueError, match=r"`of` \(='targets'\) must be 'inputs' for 'data': there are no targets"):
        Normalize.fit(DataSet(x), of="targets")
    with pytest.raises(ValueError, match="`train` has 0 examples, which must be 1 or more"):
        Normalize.fit(DataSet(x[:0]))
