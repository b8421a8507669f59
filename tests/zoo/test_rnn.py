"""Recurrent networks."""

import dataclasses

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.data.text import generate
from matrinox.zoo import RNN, RNNConfig

SMALL = RNNConfig(shape=(4, 3, 1), frame=3, n=2, widths=(3, 2), classes=5)
TOKENS = RNNConfig(shape=(6,), vocabulary=7, embedding=3, n=2, widths=(3, 2), read="each", classes=7)
KEY = jax.random.key(0)
IMAGES = jax.random.normal(jax.random.key(1), (6, 4, 3, 1))


@pytest.fixture(scope="module")
def small() -> RNN:
    return RNN(SMALL, key=KEY)


@pytest.fixture(scope="module")
def reader() -> RNN:
    return RNN(TOKENS, key=KEY)


def lstm_in_numpy(cell, x):
    """The states of an LSTM over x `(batch, t, p, n, n)`, gate by gate."""
    weight, bias = np.float64(cell.weight), np.float64(cell.bias)
    h = c = np.zeros((len(x), cell.q, cell.n, cell.n))
    states = []
    for step in np.moveaxis(np.float64(x), 1, 0):
        gates = np.einsum("gpak,bpkc->bgac", weight, np.concatenate([h, step], 1)) + bias
        i, f, g, o = np.split(gates, 4, 1)
        i, f, o = (1 / (1 + np.exp(-gate)) for gate in (i, f, o))
        c = f * c + i * np.tanh(g)
        h = o * np.tanh(c)
        states.append(h)
    return np.stack(states, 1)


@pytest.mark.parametrize(("read", "transpose"), [("mean", True), ("max", True), ("last", False)])
def test_rnn_equals_its_formula_in_numpy(read, transpose, apply):
    """Rows of three pixels, each in one 2 × 2 matrix with a zero at the end, and two layers of LSTM."""
    model = RNN(dataclasses.replace(SMALL, read=read, transpose=transpose), key=KEY)
    first, last = (layer.cell for layer in model.body.layers if hasattr(layer, "cell"))
    rows = np.pad(np.float64(IMAGES).reshape(6, 4, 3), ((0, 0), (0, 0), (0, 1))).reshape(6, 4, 1, 2, 2)
    hidden = lstm_in_numpy(first, rows)
    hidden = lstm_in_numpy(last, hidden.swapaxes(-1, -2) if transpose else hidden)
    hidden = {"mean": hidden.mean(1), "max": hidden.max(1), "last": hidden[:, -1]}[read]
    read_out = model.head.layers[0]
    by_hand = np.einsum("cpij,bpij->bc", np.float64(read_out.weight), hidden) + np.float64(read_out.bias)
    assert apply(model, IMAGES) == pytest.approx(by_hand, abs=1e-5)


def test_the_parameters_are_those_of_the_formula(parameters_of):
    """A cell has gates · q · (q + p) · n² weights and gates · q · n² biases; both ways, two cells, and twice the p."""
    config = dataclasses.replace(SMALL, bidirectional=True)
    cells = 2 * 4 * 4 * (3 * (3 + 1 + 1) + 2 * (2 + 2 * 3 + 1))
    assert parameters_of(RNN, config) == cells + 5 * 2 * 2 * 4 + 5
    gru = dataclasses.replace(TOKENS, cell="gru")
    cells = 4 * (9 * (3 + 3 + 1) + 3 + 6 * (2 + 3 + 1) + 2)
    assert parameters_of(RNN, gru) == 7 * 3 * 4 + cells + 7 * 2 * 4 + 7


def test_a_scan_multiplies_rotations_and_is_read_by_distance(apply, parameters_of):
    """The embedding is what the transitions start from: the polar factor of I and four times it."""
    config = dataclasses.replace(TOKENS, embedding=2, n=3, cell="scan", widths=(2,), head="prototypes")
    model, words = RNN(config, key=KEY), np.array([[0, 3, 6, 3], [5, 5, 1, 2]])
    tokens = np.float64(model.body.layers[0].weight)
    assert np.linalg.det(tokens) == pytest.approx(np.ones((7, 2)), abs=1e-5)
    left, _, right = np.linalg.svd(np.eye(3) + 4 * tokens)
    state, due = np.eye(3), []
    for step in words.T:
        state = (left @ right)[step] @ state
        due.append(state)
    prototypes = np.float64(model.head.layers[0].prototypes)
    apart = np.square(np.stack(due, 1)[..., None, :, :] - prototypes).sum((-2, -1)).sum(2)
    assert apply(model, words) == pytest.approx(-0.1 * apart, abs=1e-4)
    assert parameters_of(RNN, config) == 7 * 2 * 9 + 2 * 2 * 9 + 2 * 7 * 9 + 2


def test_a_mamba_is_the_layer_of_that_name(apply):
    config = dataclasses.replace(TOKENS, cell="mamba", widths=(2,))
    model, words = RNN(config, key=KEY), np.array([[0, 3, 6, 3]])
    embedding, mamba = model.body.layers
    assert isinstance(mamba, nn.Mamba)
    assert apply(model, words) == pytest.approx(np.asarray(model.head(mamba(embedding(words)))), abs=1e-5)


def test_any_leading_axes_are_batch(small, reader, apply):
    x = IMAGES.reshape(2, 3, 4, 3, 1)
    one_by_one = apply(jax.vmap(jax.vmap(small)), x)
    assert apply(small, x) == pytest.approx(np.asarray(one_by_one), abs=1e-6)
    assert apply(small, x[0, 0]).shape == (5,)
    assert (small.input_shape, reader.input_shape) == ((4, 3, 1), (6,))
    assert apply(reader, jnp.zeros((2, 3, 9), int)).shape == (2, 3, 9, 7)


def test_an_image_is_read_row_by_row(small, apply):
    """What is given of a row, none of the rows below it has changed; both ways, they have."""
    changed = IMAGES.at[:, 3].add(1.0)
    for config, same in ((SMALL, True), (dataclasses.replace(SMALL, bidirectional=True), False)):
        model = RNN(config, key=KEY)
        run = eqx.filter_jit(lambda x, model=model: model.body.layers[:-1][1](model.body.layers[0](x)))
        assert bool(jnp.all(run(IMAGES)[:, :3] == run(changed)[:, :3])) == same


def test_steps_with_a_stride_below_their_length_overlap(apply):
    """Four steps of six values, two further each, of which a layer that runs forward has seen no later one."""
    model = RNN(dataclasses.replace(SMALL, frame=6, stride=2, widths=(3,), read="each"), key=KEY)
    before, after = apply(model, IMAGES), apply(model, IMAGES.at[:, 2, 2].add(1.0))
    assert before.shape == (6, 4, 5)
    assert [bool(jnp.all(before[:, step] == after[:, step])) for step in range(4)] == [True, True, False, False]


def test_a_model_of_tokens_steps_as_the_whole(reader, apply):
    tokens = jax.random.randint(jax.random.key(2), (3, 6), 0, 7)
    whole = apply(reader, tokens)
    step = eqx.filter_jit(lambda cache, x: reader.step(cache, x))
    cache, portions = reader.initial_cache(6, (3,)), []
    for part in (tokens[:, :4], tokens[:, 4:5], tokens[:, 5:]):
        cache, logits = step(cache, part)
        portions.append(logits)
    np.testing.assert_allclose(jnp.concatenate(portions, 1), whole, rtol=1e-5, atol=1e-6)
    options = {"length": 4, "temperature": 0}
    assert jnp.array_equal(
        generate(reader, tokens, cached=True, **options), generate(reader, tokens, cached=False, **options)
    )


def test_what_reads_a_whole_sequence_does_not_step(small):
    with pytest.raises(TypeError, match=r"layers\[0\]: Frames.* cannot step"):
        small.initial_cache(4)
    both = RNN(dataclasses.replace(TOKENS, bidirectional=True), key=KEY)
    with pytest.raises(TypeError, match=r"layers\[1\]: Bidirectional.* cannot step: it runs in reverse"):
        both.initial_cache(4)


def test_dropout_is_for_training_alone(apply):
    model = RNN(dataclasses.replace(SMALL, dropout=0.5), key=KEY)
    a, b = (apply(model, IMAGES, jax.random.key(seed)) for seed in (2, 3))
    assert not jnp.array_equal(a, b)
    still = eqx.nn.inference_mode(model)
    assert jnp.array_equal(apply(still, IMAGES), apply(still, IMAGES, jax.random.key(2)))


def test_other_inputs_are_refused(small, reader):
    with pytest.raises(ContractError, match=r"it takes float \(\*batch, 4, 3, 1\) .*: axis -2 is 4, not 3"):
        small(np.zeros((2, 4, 4, 1), np.float32))
    with pytest.raises(ContractError, match=r"body\.layers\[0\]: Frames.* its dtype is int32"):
        small(np.zeros((2, 4), np.int32))
    with pytest.raises(ContractError, match=r"RNN\(values=40.* axis -1 is 39, values is 40"):
        RNN(RNNConfig(), key=KEY)(np.zeros((2, 39), np.float32))
    with pytest.raises(ContractError, match="axis -1 is 6, vocabulary is 7"):
        reader(np.zeros((2, 6), np.float32))
    with pytest.raises(ValueError, match=r"`x` holds the id 7, which must be from 0 to `vocabulary` − 1"):
        reader(np.full((2, 6), 7))


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"widths": ()}, r"`widths` \(=\(\)\) must hold at least one layer: such as \(32,\)"),
        ({"shape": ()}, r"`shape` \(=\(\)\) with `frame` \(=3\) must be one axis or more of values, or one of tokens"),
        ({"vocabulary": 7}, r"`shape` \(=\(4, 3, 1\)\) with `frame` \(=3\) must be one axis or more of values, or one"),
        (
            {"frame": 5},
            r"`frame` \(=5\) with `stride` \(=None\) must end with the 12 values of `shape` \(=\(4, 3, 1\)\)",
        ),
        ({"stride": 4}, r"`frame` \(=3\) with `stride` \(=4\) must end with the 12 values"),
        ({"frame": 13, "stride": 1}, r"`frame` \(=13\) with `stride` \(=1\) must end with the 12 values"),
    ],
)
def test_sizes_that_do_not_fit_together_are_refused(change, match):
    with pytest.raises(ValueError, match=match):
        dataclasses.replace(SMALL, **change)
