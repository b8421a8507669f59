"""`lens`: arrays by path, selection, robustness, and what it promises of speed."""

import time

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

import matrinox as mx
from matrinox import nn
from matrinox.inspect import Lens, lens
from matrinox.inspect.measured import Measured

RANDOM = np.random.default_rng(0)
KEY = jax.random.key(0)
X = jnp.asarray(RANDOM.normal(size=(12, 2, 3, 3)), jnp.float32)


def drawn(key, shape, dtype=None):
    return jnp.asarray(RANDOM.normal(size=shape), dtype or jnp.float32)


@pytest.fixture(scope="module")
def model():
    layers = [nn.Dense(p=2, q=4, n=3, initializer=drawn, key=KEY), nn.ReLUd()]
    return nn.Sequential([*layers, nn.Dense(p=4, q=2, n=3, initializer=drawn, key=KEY)])


def test_arrays_are_those_of_numpy_over_the_leading_axes(model):
    looked = lens(model)
    weight = np.asarray(model.layers[0].weight).astype(np.float64)
    seen = looked["layers[0].weight"]
    assert seen.determinant.shape == (4, 2)
    assert seen.eigenvalues.shape == (4, 2, 3)
    assert np.array_equal(seen.determinant, np.linalg.det(weight))
    assert np.array_equal(seen.singular_values, np.linalg.svd(weight, compute_uv=False))
    assert seen.condition_number == pytest.approx(np.linalg.cond(weight), rel=1e-9)
    assert seen.spectral_norm == pytest.approx(np.linalg.norm(weight, 2, axis=(-2, -1)), rel=1e-12)


def test_a_lens_is_a_mapping_of_weights_and_then_activations(model):
    looked = lens(model, x=X)
    assert isinstance(looked, Lens)
    assert list(looked) == ["layers[0].weight", "layers[2].weight", "layers[0]", "layers[1]", "layers[2]"]
    assert len(looked) == 5
    assert list(looked.gated) == ["layers[1]"]
    assert np.allclose(looked["layers[2]"].values, model(X), atol=1e-5)
    with pytest.raises(
        KeyError, match=r"'layers\[0\]\.wieght' is none of 5 paths: the nearest is 'layers\[0\]\.weight'"
    ):
        looked["layers[0].wieght"]


def test_a_pattern_selects_weights_and_layers(model):
    assert list(lens(model, "layers[0].**", X)) == ["layers[0].weight", "layers[0]"]
    assert list(lens(model, "layers[1]", X)) == ["layers[1]"]
    assert lens(model, "layers[1]", X).flags == lens(model, x=X).flags
    assert list(lens(model, "**.bias")) == ["layers[0].bias", "layers[2].bias"]
    with pytest.raises(ValueError, match=r"`pattern` \(='layers\[7\]\.weight'\) matches no leaf"):
        lens(model, "layers[7].weight", X)


def test_the_model_stays_what_it_was_and_the_lens_keeps_what_it_saw(model):
    before = [np.array(leaf) for leaf in jax.tree.leaves(eqx.filter(model, eqx.is_array))]
    looked = lens(model, x=X)
    moved = jax.tree.map(lambda leaf: 0 * leaf if eqx.is_array(leaf) else leaf, model)
    assert looked["layers[0].weight"].spectral_norm.min() > 0
    assert lens(moved)["layers[0].weight"].spectral_norm.max() == 0
    after = jax.tree.leaves(eqx.filter(model, eqx.is_array))
    assert all(np.array_equal(one, other) for one, other in zip(before, after, strict=True))


def test_half_precision_and_integers_in_the_tree_are_no_obstacle():
    layer = nn.Dense(p=2, q=2, n=3, initializer=drawn, dtype=jnp.bfloat16, key=KEY)
    looked = lens({"layer": layer, "step": jnp.zeros((2, 3, 3), int), "name": "x"})
    assert list(looked) == ["['layer'].weight"]
    assert looked["['layer'].weight"].determinant.dtype == np.float64
    assert looked.flags == ()


def test_key_and_state_are_handed_on():
    layers = [nn.Dense(p=2, q=2, n=3, initializer=drawn, key=KEY), nn.Dropout(0.5)]
    seen = lens(nn.Sequential(layers), x=X, key=KEY)["layers[1]"]
    assert 0.2 < (seen.values == 0).mean() < 0.8
    with pytest.raises(ValueError, match="key"):
        lens(nn.Sequential(layers), x=X)


def test_a_model_of_the_zoo_is_looked_at_with_pictures():
    trained = mx.zoo.load("cnn-digits")
    pictures = mx.data.load_builtin("digits").inputs[:4]
    looked = lens(trained, x=pictures)
    convolutions = [*(f"body.layers[{i}].layers[0]" for i in (1, 2, 4, 5)), "head.layers[0]"]
    assert list(looked.weights) == [f"{path}.weight" for path in convolutions]
    assert len(looked.activations) == 13
    assert np.trace(looked["head.layers[1]"].values, axis1=-2, axis2=-1) == pytest.approx(
        np.asarray(mx.train.apply_model(trained, pictures)), abs=1e-4
    )


def test_a_million_parameters_take_a_few_seconds():
    """Processor time, so that what else runs does not count; about one second on a quiet core."""
    tree = {
        "small": jnp.asarray(RANDOM.normal(size=(250, 250, 2, 2))),
        "large": jnp.asarray(RANDOM.normal(size=(250, 250, 4, 4))),
    }
    started = time.process_time()
    looked = lens(tree)
    text = str(looked)
    spectra = looked["['large']"].eigenvalues
    assert time.process_time() - started < 6
    assert spectra.shape == (250, 250, 4)
    assert "(250, 250, 4, 4)" in text


def test_everything_of_a_lens_is_computed_once(model, monkeypatch):
    looked = lens(model)
    first = looked["layers[0].weight"].singular_values
    monkeypatch.setattr(np.linalg, "svd", lambda *args, **kwargs: pytest.fail("computed again"))
    seen = looked["layers[0].weight"]
    assert seen.singular_values is first
    assert all(np.isfinite(getattr(seen, name)).all() for name in Measured.SCALARS)
