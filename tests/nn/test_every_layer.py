"""What every public layer promises: one row for each, and a test that no layer is without."""

import inspect
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table import FAMILIES, ROWS
from layer_table.row import Row

from matrinox import io, nn
from matrinox.contract import ContractError

every_layer = pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)


def build(row: Row, dtype: Any = jnp.float32, seed: int = 0) -> Any:
    layer = row.make(jax.random.key(seed), dtype)
    # A bias starts at zero, where mistakes in it would not show.
    return jax.tree.map(lambda leaf: leaf + jnp.asarray(0.1, leaf.dtype) if eqx.is_inexact_array(leaf) else leaf, layer)


def examples(shape: tuple[int, ...], dtype: Any = np.float32) -> np.ndarray:
    return np.random.default_rng(0).normal(size=shape).astype(dtype)


def is_layer(member: Any) -> bool:
    """What is called: a cache is a module too, and is not."""
    return isinstance(member, type) and issubclass(member, eqx.Module) and inspect.isfunction(member.__call__)


# It stands where a layer will be, and computes nothing itself.
PLACEHOLDERS = {"Lazy"}


def test_every_public_layer_has_one_row():
    layers = {getattr(nn, name).__name__ for name in nn.__all__ if is_layer(getattr(nn, name))}
    assert set(ROWS) == layers - PLACEHOLDERS
    assert len(ROWS) == sum(len(family.ROWS) for family in FAMILIES)


def test_every_public_layer_is_exported():
    assert {name for name, member in vars(nn).items() if is_layer(member)} <= set(nn.__all__)


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
    arrays, rest = eqx.partition(layer, row.trained(layer))
    weights = jnp.asarray(np.random.default_rng(1).normal(size=jax.eval_shape(layer, x).shape))

    @jax.jit
    def loss(operands):
        arrays, x = operands
        return jnp.sum(weights * eqx.combine(arrays, rest)(x))

    operands, rng, h = (arrays, x), np.random.default_rng(2), 1e-6
    gradient = jax.tree.map(np.asarray, jax.jit(jax.grad(loss))(operands))
    direction = jax.tree.map(lambda leaf: rng.normal(size=leaf.shape), operands)
    ahead, behind = (
        jax.tree.map(lambda leaf, d, k=k: np.asarray(leaf) + k * d, operands, direction) for k in (h / 2, -h / 2)
    )
    slope = sum(map(np.vdot, jax.tree.leaves(gradient), jax.tree.leaves(direction)))
    np.testing.assert_allclose(slope, (loss(ahead) - loss(behind)) / h, rtol=1e-6, atol=1e-6)
    for leaf in jax.tree.leaves(gradient):
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
    if not row.takes_anything:
        with pytest.raises(ContractError, match=r"at least . are due"):
            layer(examples(row.shape[1:]))


@every_layer
def test_a_list_and_integers_are_refused(row):
    layer, x = build(row), examples(row.shape)
    with pytest.raises(ContractError):
        layer(x.tolist())
    if not row.takes_anything and not row.takes_integers:
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
