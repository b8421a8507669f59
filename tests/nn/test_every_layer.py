"""What every public layer promises: one row for each, and a test that no layer is without."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox import io, nn
from matrinox.contract import ContractError


@dataclass(frozen=True)
class Row:
    """A layer from a key and a dtype, the shape of one example, and a shape that is refused: why, and by what layer."""

    make: Callable[[jax.Array, Any], eqx.Module]
    shape: tuple[int, ...]
    wrong: tuple[int, ...]
    why: str = "not square"
    refuser: str | None = None


DENSE, WRONG_DENSE = (2, 3, 3), (2, 3, 4)
SEQUENCE, WRONG_SEQUENCE = (4, 2, 3, 3), (4, 2, 3, 4)
IMAGE, WRONG_IMAGE = (4, 4, 2, 3, 3), (4, 4, 2, 3, 4)
VOLUME, WRONG_VOLUME = (4, 2, 2, 2, 3, 3), (4, 2, 2, 2, 3, 4)


def without(layer: Callable[..., eqx.Module], *args: Any, **options: Any) -> Callable[[jax.Array, Any], eqx.Module]:
    """A layer that needs neither key nor dtype."""
    return lambda key, dtype: layer(*args, **options)


def drawn(key: jax.Array, shape: tuple[int, ...], dtype: Any) -> jax.Array:
    """An initializer that compiles nothing."""
    seed = int(jax.random.key_data(key)[-1])
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), dtype) / 3


def chain(key: jax.Array, dtype: Any) -> eqx.Module:
    return nn.Sequential([nn.Dense(p=2, q=2, n=3, initializer=drawn, key=key, dtype=dtype), nn.Tanh()])


ROWS = {
    "Dense": Row(
        lambda key, dtype: nn.Dense(p=2, q=5, n=3, initializer=drawn, key=key, dtype=dtype),
        DENSE,
        (2, 4, 4),
        "axis -2 is 4, n is 3",
    ),
    "Conv1d": Row(
        lambda key, dtype: nn.Conv1d(p=2, q=5, n=3, kernel=3, padding="SAME", initializer=drawn, key=key, dtype=dtype),
        SEQUENCE,
        (4, 2, 4, 4),
        "axis -2 is 4, n is 3",
    ),
    "Conv2d": Row(
        lambda key, dtype: nn.Conv2d(
            p=2, q=4, n=3, kernel=(3, 2), stride=2, groups=2, initializer=drawn, key=key, dtype=dtype
        ),
        IMAGE,
        (4, 4, 2, 4, 4),
        "axis -2 is 4, n is 3",
    ),
    "Conv3d": Row(
        lambda key, dtype: nn.Conv3d(p=2, q=5, n=3, kernel=2, use_bias=False, initializer=drawn, key=key, dtype=dtype),
        VOLUME,
        (4, 2, 2, 2, 4, 4),
        "axis -2 is 4, n is 3",
    ),
    "MaxPool1d": Row(without(nn.MaxPool1d, 2), SEQUENCE, WRONG_SEQUENCE),
    "MaxPool2d": Row(without(nn.MaxPool2d, 2), IMAGE, WRONG_IMAGE),
    "MaxPool3d": Row(without(nn.MaxPool3d, 2), VOLUME, WRONG_VOLUME),
    "AvgPool1d": Row(without(nn.AvgPool1d, 2, stride=1), SEQUENCE, WRONG_SEQUENCE),
    "AvgPool2d": Row(without(nn.AvgPool2d, 3, stride=2, padding="SAME"), IMAGE, WRONG_IMAGE),
    "AvgPool3d": Row(without(nn.AvgPool3d, (2, 1, 2)), VOLUME, WRONG_VOLUME),
    "SumPool1d": Row(without(nn.SumPool1d, 2), SEQUENCE, WRONG_SEQUENCE),
    "SumPool2d": Row(without(nn.SumPool2d, (2, 1), stride=(1, 2)), IMAGE, WRONG_IMAGE),
    "SumPool3d": Row(without(nn.SumPool3d, 2), VOLUME, WRONG_VOLUME),
    "GlobalAvgPool1d": Row(without(nn.GlobalAvgPool1d), SEQUENCE, WRONG_SEQUENCE),
    "GlobalAvgPool2d": Row(without(nn.GlobalAvgPool2d), IMAGE, WRONG_IMAGE),
    "GlobalAvgPool3d": Row(without(nn.GlobalAvgPool3d), VOLUME, WRONG_VOLUME),
    "GlobalMaxPool1d": Row(without(nn.GlobalMaxPool1d), SEQUENCE, WRONG_SEQUENCE),
    "GlobalMaxPool2d": Row(without(nn.GlobalMaxPool2d), IMAGE, WRONG_IMAGE),
    "GlobalMaxPool3d": Row(without(nn.GlobalMaxPool3d), VOLUME, WRONG_VOLUME),
    "ReLU": Row(without(nn.ReLU), DENSE, WRONG_DENSE),
    "LeakyReLU": Row(without(nn.LeakyReLU, 0.1), DENSE, WRONG_DENSE),
    "ELU": Row(without(nn.ELU, 0.7), DENSE, WRONG_DENSE),
    "Sigmoid": Row(without(nn.Sigmoid), DENSE, WRONG_DENSE),
    "Tanh": Row(without(nn.Tanh), DENSE, WRONG_DENSE),
    "Softplus": Row(without(nn.Softplus), DENSE, WRONG_DENSE),
    "GELU": Row(without(nn.GELU), DENSE, WRONG_DENSE),
    "SiLU": Row(without(nn.SiLU), DENSE, WRONG_DENSE),
    # Its draws depend on the shape: here in inference, tests/nn/test_dropout.py has the rest.
    "Dropout": Row(without(nn.Dropout, 0.5, inference=True), DENSE, WRONG_DENSE),
    "Lambda": Row(
        lambda key, dtype: nn.Lambda(nn.Dense(p=2, q=5, n=3, initializer=drawn, key=key, dtype=dtype)),
        DENSE,
        (2, 4, 4),
        "axis -2 is 4, n is 3",
        "Dense",
    ),
    "Sequential": Row(chain, DENSE, (2, 4, 4), "axis -2 is 4, n is 3", "Dense"),
    "Fold": Row(without(nn.Fold, n=3), (20,), (), "it has 0 axes"),
    "Patches": Row(without(nn.Patches, n=2), (4, 4, 2), (4, 4), "it has 2 axes"),
    "EmbedPixels": Row(without(nn.EmbedPixels, n=3, interleave=True), (4, 4, 2), (4, 4), "it has 2 axes"),
    "EmbedSequence": Row(without(nn.EmbedSequence, n=3), (4, 2), (4,), "it has 1 axis"),
    "Tile": Row(without(nn.Tile, n=3), (2,), (), "it has 0 axes"),
    "Mean": Row(without(nn.Mean), DENSE, WRONG_DENSE),
    "Trace": Row(without(nn.Trace), DENSE, WRONG_DENSE),
    "FrobeniusNorm": Row(without(nn.FrobeniusNorm), DENSE, WRONG_DENSE),
    "Flatten": Row(without(nn.Flatten), DENSE, WRONG_DENSE),
}

every_layer = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def build(row: Row, dtype: Any = jnp.float32, seed: int = 0) -> Any:
    layer = row.make(jax.random.key(seed), dtype)
    # A bias starts at zero, where mistakes in it would not show.
    return jax.tree.map(lambda leaf: leaf + jnp.asarray(0.1, leaf.dtype) if eqx.is_inexact_array(leaf) else leaf, layer)


def examples(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def is_layer(member: Any) -> bool:
    return isinstance(member, type) and issubclass(member, eqx.Module)


def test_every_public_layer_has_a_row():
    assert set(ROWS) == {name for name in nn.__all__ if is_layer(getattr(nn, name))}


def test_all_names_are_exported_and_nothing_else_is():
    public = {name for name, member in vars(nn).items() if is_layer(member)}
    assert public == set(nn.__all__)


@every_layer
def test_leading_batch_axes_equal_vmap_and_one_example_needs_none(row):
    layer, x = build(row), examples((2, 2, *row.shape))

    @eqx.filter_jit
    def run(layer, x):
        return layer(x), jax.vmap(jax.vmap(layer))(x), layer(x[1, 0])

    batched, mapped, single = run(layer, x)
    np.testing.assert_allclose(batched, mapped, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(batched[1, 0], single, rtol=1e-5, atol=1e-6)


@every_layer
def test_jit_changes_nothing(row):
    layer, x = build(row), examples((2, 2, *row.shape))
    np.testing.assert_allclose(eqx.filter_jit(layer)(x), layer(x), rtol=1e-5, atol=1e-6)


@every_layer
def test_gradient_matches_finite_differences_and_reaches_every_parameter(row, x64):
    layer = build(row, jnp.float64)
    x = jnp.asarray(examples(row.shape, np.float64))
    arrays, rest = eqx.partition(layer, eqx.is_inexact_array)
    weights = jnp.asarray(np.random.default_rng(1).normal(size=jax.eval_shape(layer, x).shape))

    @jax.jit
    def loss(arrays, x):
        return jnp.sum(weights * eqx.combine(arrays, rest)(x))

    check_grads(loss, (arrays, x), order=1, modes=["rev"], rtol=1e-6, atol=1e-6)
    for leaf in jax.tree.leaves(jax.grad(loss, argnums=(0, 1))(arrays, x)):
        assert np.isfinite(leaf).all()
        assert np.any(leaf)


@every_layer
def test_bfloat16_in_gives_bfloat16_out(row):
    layer, x = build(row, jnp.bfloat16), jnp.asarray(examples((2, *row.shape)), jnp.bfloat16)
    y = eqx.filter_jit(layer)(x)
    assert y.dtype == jnp.bfloat16
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float32) if eqx.is_inexact_array(leaf) else leaf, layer)
    reference = eqx.filter_jit(wide)(x.astype(jnp.float32))
    np.testing.assert_allclose(np.asarray(y, np.float32), reference, rtol=0.05, atol=0.05)


@every_layer
def test_a_saved_layer_loads_into_a_skeleton(row, tmp_path):
    layer, skeleton = build(row, seed=0), build(row, seed=1)
    io.save(tmp_path / "layer.safetensors", layer)
    loaded = io.load(tmp_path / "layer.safetensors", like=skeleton)
    assert eqx.tree_equal(jax.tree.leaves(loaded), jax.tree.leaves(layer)) or not jax.tree.leaves(layer)
    x = examples((2, 2, *row.shape))
    np.testing.assert_array_equal(loaded(x), layer(x))


class Block(eqx.Module):
    layers: tuple[Any, ...]

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Model(eqx.Module):
    head: Any
    encoder: Block

    def __call__(self, x):
        return self.encoder(x)


@every_layer
@pytest.mark.parametrize("transform", [lambda f: f, eqx.filter_jit], ids=["eager", "jit"])
def test_a_wrong_shape_is_refused_with_the_path_of_the_layer(row, transform):
    layer = build(row)
    model = Model(nn.Trace(), Block((eqx.nn.Identity(), layer)))
    refuser = row.refuser or type(layer).__name__
    with pytest.raises(ContractError, match=rf"^encoder\.layers\[1\][^:]*: {refuser}\b.*{row.why}"):
        transform(model)(jnp.asarray(examples(row.wrong)))


@every_layer
def test_a_missing_axis_is_refused(row):
    layer = build(row)
    if not isinstance(layer, nn.Lambda):
        with pytest.raises(ContractError, match=r"at least . are due"):
            layer(examples(row.shape[1:]))


@every_layer
def test_a_list_and_integers_are_refused(row):
    layer, x = build(row), examples(row.shape)
    with pytest.raises(ContractError):
        layer(x.tolist())
    if not isinstance(layer, nn.Lambda | nn.Sequential):
        with pytest.raises(ContractError, match="dtype is int32"):
            layer(x.astype(np.int32))


@every_layer
def test_a_numpy_array_works_as_a_jax_array_does(row):
    layer, x = build(row), examples((2, 2, *row.shape))
    y = layer(x)
    assert isinstance(y, jax.Array)
    np.testing.assert_array_equal(y, layer(jnp.asarray(x)))


@every_layer
def test_a_key_may_always_be_passed(row):
    layer, x = build(row), examples((2, 2, *row.shape))
    np.testing.assert_array_equal(layer(x, key=jax.random.key(0)), layer(x))
