"""Transformers."""

import dataclasses
import math

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data.text import generate
from matrinox.zoo import Transformer, TransformerConfig

IMAGE = TransformerConfig(shape=(3, 2, 1), n=3, p=2, layers=2, heads=2, hidden=3, classes=5)
MATRICES = TransformerConfig(shape=(4, 3, 2, 2), n=2, p=2, layers=1, heads=1, hidden=3, position=None, classes=2)
TEXT = TransformerConfig(
    shape=(6,), vocabulary=7, n=2, p=2, layers=1, heads=2, hidden=3, position="rotary", causal=True, classes=7
)
KEY = jax.random.key(0)
# As a whole it compiles faster than draw by draw.
build = eqx.filter_jit(Transformer)
IMAGES = jax.random.normal(jax.random.key(1), (6, 3, 2, 1))
TOKENS = jax.random.randint(jax.random.key(2), (3, 6), 0, 7)


@pytest.fixture(scope="module")
def viewer() -> Transformer:
    return build(IMAGE, key=KEY)


@pytest.fixture(scope="module")
def reader() -> Transformer:
    return build(TEXT, key=KEY)


def dense(weight, x):
    return np.einsum("qpak,...pkc->...qac", np.float64(weight), x)


def normed(norm, x):
    mean_square = np.mean(x**2, axis=(-3, -2, -1), keepdims=True)
    return x / np.sqrt(mean_square + norm.eps) * np.float64(norm.weight) + np.float64(norm.bias)


def attended(attention, x):
    """Attention of x `(t, p, n, n)` to itself, score by score."""
    queries, keys, values = (dense(getattr(attention, f"{name}_proj").weight, x) for name in ("query", "key", "value"))
    y, size = np.zeros_like(values), queries.shape[1] // attention.heads
    for head in range(attention.heads):
        part = slice(head * size, (head + 1) * size)
        scores = np.einsum("tpij,spij->ts", queries[:, part], keys[:, part]) / math.sqrt(size * x.shape[-1] ** 2)
        weights = np.exp(scores) / np.exp(scores).sum(1, keepdims=True)
        y[:, part] = np.einsum("ts,spij->tpij", weights, values[:, part])
    return dense(attention.output_proj.weight, y)


def gelu(x):
    return x / 2 * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def encoded(encoder, x):
    for block in encoder.blocks:
        x = x + attended(block.attention, normed(block.attention_norm, x))
        first, last = block.feed_forward.layers[0].weight, block.feed_forward.layers[-1].weight
        x = x + dense(last, gelu(dense(first, normed(block.feed_forward_norm, x))).swapaxes(-1, -2))
    return normed(encoder.norm, x)


def test_transformer_of_an_image_equals_its_formula_in_numpy(viewer, apply):
    """Each pixel's neighbourhood, row by row, into p neurons, and a row added for its place."""
    _, _, to_tokens, position, encoder, _ = viewer.body.layers
    read_out = viewer.head.layers[0]
    by_hand = []
    for image in np.pad(np.float64(IMAGES), ((0, 0), (1, 1), (1, 1), (0, 0))):
        around = [image[i : i + 3, j : j + 3, 0] for i in range(3) for j in range(2)]
        tokens = dense(to_tokens.weight, np.stack(around)[:, None]) + np.float64(to_tokens.bias)
        features = encoded(encoder, tokens + np.float64(position.weight)).mean(0)
        by_hand.append(np.einsum("cpij,pij->c", np.float64(read_out.weight), features) + np.float64(read_out.bias))
    assert apply(viewer, IMAGES) == pytest.approx(np.stack(by_hand), abs=1e-5)


def test_the_parameters_are_those_of_the_formula(parameters_of):
    """Of p² n² weights are the four maps of an attention, of 2 h p n² the feed-forward layer; a norm has 2 p n²."""
    block = 4 * 4 * 4 + 2 * 3 * 2 * 4 + 2 * 2 * 8
    assert parameters_of(Transformer, TEXT) == 7 * 8 + block + 16 + 7 * 8 + 7
    assert parameters_of(Transformer, MATRICES) == 2 * 3 * 4 + 8 + block + 16 + 2 * 8 + 2
    block = 4 * 4 * 9 + 2 * 3 * 2 * 9 + 2 * 2 * 18
    assert parameters_of(Transformer, IMAGE) == 2 * 9 + 18 + 6 * 18 + 2 * block + 36 + 5 * 18 + 5


def test_any_leading_axes_are_batch(viewer, reader, apply):
    x = IMAGES.reshape(2, 3, 3, 2, 1)
    one_by_one = apply(jax.vmap(jax.vmap(viewer)), x)
    assert apply(viewer, x) == pytest.approx(np.asarray(one_by_one), abs=1e-6)
    assert (viewer.input_shape, reader.input_shape) == ((3, 2, 1), (6,))
    assert eqx.filter_eval_shape(reader, jnp.zeros((2, 3, 9), int)).shape == (2, 3, 9, 7)


def test_without_positions_the_order_of_tokens_counts_for_nothing(apply):
    model = build(MATRICES, key=KEY)
    x = jax.random.normal(jax.random.key(3), (5, 4, 3, 2, 2))
    np.testing.assert_allclose(apply(model, x[:, ::-1]), apply(model, x), rtol=1e-5, atol=1e-6)


def test_columns_meet(apply):
    """What a feed-forward layer adds to one column depends on the other."""
    model = build(MATRICES, key=KEY)
    (block,) = model.body.layers[-2].blocks
    x = jax.random.normal(jax.random.key(3), (2, 2, 2))
    changed = block.feed_forward(x.at[:, :, 1].add(1.0)) - block.feed_forward(x)
    assert np.abs(changed[:, :, 0]).max() > 1e-3


@pytest.mark.parametrize(("config", "given"), [(IMAGE, (6, 6, 5)), (MATRICES, (6, 4, 2))])
def test_a_causal_model_reads_each_token_of_images_and_matrices_too(config, given):
    causal = dataclasses.replace(config, causal=True)
    shaped = eqx.filter_eval_shape(lambda x: Transformer(causal, key=KEY)(x), jnp.zeros((6, *config.shape)))
    assert shaped.shape == given


def test_a_causal_model_reads_no_token_behind(reader, apply):
    changed = TOKENS.at[:, 4].set((TOKENS[:, 4] + 1) % 7)
    before, behind = (apply(reader, tokens) for tokens in (TOKENS, changed))
    np.testing.assert_allclose(behind[:, :4], before[:, :4], rtol=1e-5, atol=1e-6)
    assert np.all(np.abs(behind[:, 4:] - before[:, 4:]).max(-1) > 1e-4)


def test_a_causal_model_steps_as_the_whole(reader, apply):
    whole = apply(reader, TOKENS)
    step = eqx.filter_jit(lambda cache, x: reader.step(cache, x))
    cache, portions = reader.initial_cache(6, (3,)), []
    for part in (TOKENS[:, :4], TOKENS[:, 4:5], TOKENS[:, 5:]):
        cache, logits = step(cache, part)
        portions.append(logits)
    np.testing.assert_allclose(jnp.concatenate(portions, 1), whole, rtol=1e-5, atol=1e-5)
    options = {"length": 4, "temperature": 0}
    cached, uncached = (generate(reader, TOKENS, cached=cached, **options) for cached in (True, False))
    assert jnp.array_equal(cached, uncached)


def test_what_sees_the_whole_does_not_step(viewer):
    with pytest.raises(TypeError, match=r"layers\[0\]: EmbedPixels.* cannot step"):
        viewer.initial_cache(4)


def test_other_inputs_are_refused(viewer, reader):
    with pytest.raises(
        ContractError, match=r"it takes float \(\*batch, h=3, w=2, channels=1\) .*: axis -2 is 4, w is 2"
    ):
        viewer(np.zeros((2, 3, 4, 1), np.float32))
    with pytest.raises(ContractError, match=r"body\.layers\[0\]: EmbedPixels.* its dtype is int32"):
        viewer(np.zeros((2, 4), np.int32))
    with pytest.raises(ContractError, match="axis -1 is 6, vocabulary is 7"):
        reader(np.zeros((2, 6), np.float32))
    with pytest.raises(ValueError, match=r"`x` holds the id 7, which must be from 0 to `vocabulary` − 1"):
        reader(np.full((2, 6), 7))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (
            {"shape": (3, 2)},
            r"`shape` \(=\(3, 2\)\) with `vocabulary` \(=None\) must be \(height, width, channels\) or",
        ),
        ({"shape": (4, 3, 2, 2)}, r"`shape` \(=\(4, 3, 2, 2\)\) .* or \(tokens, neurons, 3, 3\)"),
        ({"vocabulary": 7}, r"`shape` \(=\(3, 2, 1\)\) with `vocabulary` \(=7\) must be \(tokens,\)"),
        ({"heads": 3}, r"`p` \(=2\) must be divisible by `heads` \(=3\): choose `p` as a multiple of 3"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(IMAGE, **change)
