"""What holds for every entry of the zoo, as it is built from its row."""

from functools import cache
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import zoo
from matrinox.contract import ContractError

NAMES = zoo.list_models()


@cache
def built(name: str) -> Any:
    """An entry of numbers drawn by NumPy: to compile JAX's draws for each takes longer than all that is tested here."""
    draw = np.random.default_rng(0)

    def drawn(leaf: Any) -> Any:
        if not isinstance(leaf, jax.ShapeDtypeStruct):
            return leaf
        scale = (leaf.shape[0] / leaf.size) ** 0.5 if leaf.shape else 1.0
        numbers = scale * draw.standard_normal(leaf.shape, np.float32)
        # What is not trained holds the bits of floats.
        return jax.device_put(numbers if leaf.dtype == np.float32 else numbers.view(leaf.dtype))

    return jax.tree.map(drawn, eqx.filter_eval_shape(zoo.create, name, key=jax.random.key(0)))


def inputs_of(model: Any, *leading: int) -> np.ndarray:
    """Inputs of the model's kind: ids where it embeds tokens, else numbers from 0 to 1."""
    draw, shape = np.random.default_rng(0), (*leading, *model.input_shape)
    vocabulary = getattr(model.body.layers[0], "vocabulary", None)
    return draw.random(shape, np.float32) if vocabulary is None else draw.integers(0, vocabulary, shape, np.int32)


@eqx.filter_jit
def looked_at(model: Any, x: Any) -> tuple[Any, Any, Any]:
    """Logits of inputs with two batch axes, those of the same with one, and the gradient of a sum over them."""
    flat = x.reshape(-1, *x.shape[2:])

    @eqx.filter_grad(has_aux=True)
    def gradient(model: Any) -> tuple[Any, Any]:
        logits = model(x)
        return jnp.sum(jnp.sin(3 * logits)), logits

    slopes, logits = gradient(eqx.nn.inference_mode(model))
    return logits, eqx.nn.inference_mode(model)(flat), slopes


@pytest.mark.parametrize("name", NAMES)
def test_batch_axes_are_transparent_and_the_gradient_reaches_every_parameter(name):
    model, config = built(name), zoo.entry(name).config
    logits, flat, slopes = looked_at(model, inputs_of(model, 2, 2))
    assert model.config == config
    assert logits.shape[:2] == (2, 2)
    assert logits.shape[-1] == config.classes
    np.testing.assert_allclose(logits.reshape(flat.shape), flat, rtol=1e-4, atol=1e-4)
    learnt = dict(jax.tree.leaves_with_path(eqx.filter(model, eqx.is_inexact_array)))
    reached = {path: float(np.abs(slope).max()) for path, slope in jax.tree.leaves_with_path(slopes)}
    assert reached.keys() == learnt.keys()
    assert [jax.tree_util.keystr(path) for path, size in reached.items() if not 0 < size < np.inf] == []


@pytest.mark.parametrize("name", NAMES)
def test_what_is_saved_is_what_is_loaded(name, tmp_path):
    model = eqx.nn.inference_mode(built(name))
    zoo.save(tmp_path / "model.safetensors", model)
    loaded = zoo.load(tmp_path / "model.safetensors")
    # As arrays of NumPy, for which nothing is compiled.
    assert eqx.tree_equal(jax.device_get(loaded), jax.device_get(model))
    assert loaded.config == zoo.entry(name).config


@pytest.mark.parametrize("name", NAMES)
def test_an_input_of_another_shape_is_told_what_is_due(name):
    model = built(name)
    # Ids may have any axes.
    wrong = inputs_of(model).astype(np.float32)[..., None, None, None]
    with pytest.raises(ContractError, match=f"{type(model).__name__}.*it takes") as told:
        model(wrong)
    assert str(wrong.shape[-1]) in str(told.value)


def test_every_entry_is_of_matrix_neurons_and_of_three_seeds_or_more():
    for row in zoo.CATALOGUE.values():
        assert row.config.n >= 2
        assert len(set(row.seeds)) == len(row.seeds) >= 3
