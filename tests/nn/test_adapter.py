import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import nn
from matrinox.nn.adapter import Adapter, adaptable
from matrinox.nn.lora import LoRA, lora

KEYS = jax.random.split(jax.random.key(0), 4)
OPTIONS = {"initializer": drawn, "key": KEYS[0]}
# Each kind of layer that can be adapted, and the map that its weight is: (weight, n) -> (outputs, inputs).
KINDS = {
    "Dense": (nn.Dense(p=3, q=4, n=2, **OPTIONS), "qpak->qapk"),
    "transposed Dense": (nn.Dense(p=3, q=4, n=2, transposed=True, **OPTIONS), "pqka->qapk"),
    "Conv1d": (nn.Conv1d(p=3, q=4, n=2, kernel=3, **OPTIONS), "qprak->qarpk"),
    "Conv2d of groups": (nn.Conv2d(p=4, q=6, n=2, kernel=2, groups=2, **OPTIONS), "qphwak->qahwpk"),
    "ConvTranspose2d": (nn.ConvTranspose2d(p=3, q=4, n=2, kernel=2, **OPTIONS), "qphwak->qahwpk"),
    "LSTMCell": (nn.LSTMCell(p=2, q=2, n=2, **OPTIONS), "qpak->qapk"),
    "Embedding": (nn.Embedding(vocabulary=9, p=3, n=2, **OPTIONS), "vpij->vpij"),
    "FlattenLinear": (nn.FlattenLinear(p=3, features=7, n=2, **OPTIONS), "fpij->fpij"),
}
every_kind = pytest.mark.parametrize("kind", KINDS)


def draw(*shape, seed=0, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def trained(adapted, seed=1):
    """The adapted model with adapters that are no longer as they started."""
    arrays, rest = eqx.partition(adapted.adapters, eqx.is_array)
    moved = jax.tree.map(lambda leaf: jnp.asarray(draw(*leaf.shape, seed=seed) / 3, leaf.dtype), arrays)
    return adapted.with_adapters(eqx.combine(moved, rest))


def parameters(tree):
    return sum(leaf.size for leaf in jax.tree.leaves(eqx.filter(tree, eqx.is_inexact_array)))


def same_bits(tree, other):
    return eqx.tree_equal(eqx.filter(tree, eqx.is_array), eqx.filter(other, eqx.is_array))


def test_an_adapter_by_hand():
    layer = eqx.tree_at(lambda d: d.weight, nn.Dense(p=1, q=1, n=1, key=KEYS[0]), jnp.full((1, 1, 1, 1), 3.0))
    adapter = Adapter(jnp.full((2, 1, 1), 2.0), jnp.full((1, 1, 2), 5.0), alpha=4, inputs=(1, 3))
    # 3 + 4 / 2 · (5 · 2 + 5 · 2)
    assert LoRA(layer, {"": adapter})(jnp.ones((1, 1, 1))) == 43
    assert adapter.scale == 2
    assert adapter.delta.shape == adapter.shape == (1, 1, 1, 1)


@every_kind
def test_a_change_is_the_product_of_up_and_down_and_has_their_rank(kind):
    layer, flattened = KINDS[kind]
    adapted = trained(lora(layer, 3, "**", alpha=6.0, initializer=drawn, key=KEYS[1]))
    adapter = adapted.adapters[""]
    merged = adapted.merge().weight
    assert (merged.shape, adapter.delta.shape) == (layer.weight.shape, layer.weight.shape)
    delta = np.einsum(flattened, np.asarray(merged, np.float64) - np.asarray(layer.weight, np.float64))
    rows = adapter.up.size // 3
    product = np.asarray(adapter.up, np.float64).reshape(rows, 3) @ in_order(adapter.down, kind).reshape(3, -1)
    np.testing.assert_allclose(delta.reshape(rows, -1), 2 * product, atol=1e-6)
    sizes = np.linalg.svd(delta.reshape(rows, -1), compute_uv=False)
    assert sizes[2] > 1e-3
    assert (sizes[3:] < 1e-5).all()


def in_order(down, kind):
    """`down` with the axes of the kernel in front of the neurons, as the patterns of `KINDS` have them."""
    down = np.asarray(down, np.float64)
    return np.moveaxis(down, 1, -2) if kind.startswith("Conv") else down


@every_kind
def test_at_the_start_every_weight_is_that_of_the_base_bit_for_bit(kind):
    layer, _ = KINDS[kind]
    adapted = lora(layer, 3, "**", initializer=drawn, key=KEYS[1])
    assert same_bits(adapted.whole(), layer)
    assert same_bits(adapted.merge(), layer)
    assert adapted.model is layer
    adapter = adapted.adapters[""]
    assert parameters(adapted) == parameters(layer) + adapter.up.size + adapter.down.size
    assert adapter.up.size * adapter.down.size == 9 * layer.weight.size


def test_down_keeps_the_variance_of_what_it_takes():
    layer = nn.Conv2d(p=4, q=6, n=4, kernel=3, initializer=drawn, key=KEYS[0])
    down = lora(layer, 6, "**", key=KEYS[1]).adapters[""].down
    assert down.shape == (6, 4, 3, 3, 4)
    np.testing.assert_allclose(np.var(down), 1 / (4 * 3 * 3 * 4), rtol=0.1)


def test_the_layers_that_can_be_adapted_are_found_at_any_depth():
    model = [
        nn.Residual(KINDS["Dense"][0], shortcut=KINDS["transposed Dense"][0]),
        {"past": nn.Recurrent(KINDS["LSTMCell"][0])},
    ]
    assert list(adaptable(model)) == ["[0].body", "[0].shortcut", "[1]['past'].cell"]
    assert adaptable(nn.Tanh()) == {}
