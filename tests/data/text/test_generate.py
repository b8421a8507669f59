"""Generation: what a model says next, with a cache and without."""

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.data.text import generate

KEYS = jax.random.split(jax.random.key(0), 8)
V = 7
PROMPT = jnp.asarray([[1, 2, 3], [4, 5, 6]])


def residual(mixer):
    return nn.Residual(nn.Sequential([nn.RMSNorm(p=2, n=2), mixer]))


def transformer():
    encoder = nn.TransformerEncoder(2, 2, layers=2, heads=2, hidden=3, dropout=0.5, causal=True, key=KEYS[1])
    return nn.Sequential([nn.LearnedPosition(length=10, p=2, n=2, key=KEYS[2]), encoder])


def lstm():
    return nn.Recurrent(nn.LSTMCell(2, 2, 2, key=KEYS[1]))


def recurrences():
    scan = nn.MatrixScan(2, 2, 2, transition="free", method="sequential", key=KEYS[1])
    return nn.Sequential([residual(scan), residual(nn.Mamba(2, 2, 2, state=2, method="sequential", key=KEYS[2]))])


def model_of(body):
    # Far apart logits, so that what is likely is told.
    embedding = nn.Embedding(vocabulary=V, p=2, n=2, key=KEYS[0])
    return nn.LanguageModel(embedding, body, nn.FlattenLinear(p=2, features=V, n=2, key=KEYS[3]))


class Counting(eqx.Module):
    """The next token is one more, of 7; how sure is `weight`."""

    weight: Any = 10.0

    def __call__(self, tokens):
        return jax.nn.one_hot((tokens + 1) % V, V) * self.weight


@pytest.mark.parametrize("body", [transformer, lstm, recurrences], ids=["transformer", "lstm", "mamba and matrix scan"])
def test_with_a_cache_the_tokens_are_those_without(body):
    model = model_of(body())
    plain = eqx.nn.inference_mode(model)
    options = {"length": 8, "key": KEYS[4], "top_k": 6, "top_p": 0.95}
    # At so low a temperature it is greedy, by the same program.
    sampled, greedy = (generate(model, PROMPT, cached=True, temperature=t, **options) for t in (0.9, 1e-9))
    for temperature, cached in ((0.9, sampled), (1e-9, greedy)):
        whole = generate(model, PROMPT, cached=False, temperature=temperature, **options)
        np.testing.assert_array_equal(whole, cached)
        assert cached.shape == (2, 8)
        assert len(np.unique(cached)) > 1
    assert not np.array_equal(sampled, greedy)
    # Each is the likeliest given all before it.
    logits = eqx.filter_jit(plain)(jnp.concatenate([PROMPT, greedy[:, :-1]], axis=1))
    np.testing.assert_array_equal(greedy, jnp.argmax(logits, axis=-1)[:, 2:])


def test_a_function_without_steps_goes_on():
    prompt = jnp.asarray([[3], [6]])
    expected = [[4, 5, 6, 0], [0, 1, 2, 3]]
    np.testing.assert_array_equal(generate(Counting(), prompt, length=4, temperature=0), expected)
    np.testing.assert_array_equal(generate(Counting(1e3), prompt, length=4, key=KEYS[0]), expected)
    single = generate(Counting(), np.asarray([0, 1]), length=2, temperature=0)
    np.testing.assert_array_equal(single, [2, 3])
    many = generate(Counting(), jnp.zeros((2, 3, 1), int), length=1, temperature=0)
    np.testing.assert_array_equal(many, np.ones((2, 3, 1)))


@pytest.mark.parametrize("body", [transformer, recurrences], ids=["transformer", "mamba and matrix scan"])
def test_prompts_of_unequal_length_go_on_as_each_alone(body):
    """What stands behind a prompt is not read: it need not even be a token."""
    model = model_of(body())
    prompt, lengths = np.asarray([[1, 2, 3], [4, 5, -100]]), np.asarray([3, 2])
    tokens = generate(model, prompt, length=4, lengths=lengths, temperature=0)
    for row, own in enumerate(lengths):
        np.testing.assert_array_equal(tokens[row], generate(model, prompt[row, :own], length=4, temperature=0))
    for options in ({"cached": False}, {"lengths": jnp.asarray(lengths, jnp.uint8)}):
        again = generate(model, prompt, length=4, temperature=0, **{"lengths": lengths, **options})
        np.testing.assert_array_equal(again, tokens)


def test_behind_a_short_prompt_the_stop_token_and_a_window_are_its_own():
    prompt, lengths = jnp.asarray([[1, 0, 0, 0], [5, 3, 0, 0], [2, 6, 0, 1]]), np.asarray([1, 2, 4])

    def jump(tokens):
        # Two more than the token before, or one more than the first.
        before = jnp.pad(tokens, [(0, 0)] * (tokens.ndim - 1) + [(1, 0)])[..., :-1]
        return 9.0 * jax.nn.one_hot(jnp.where(jnp.arange(tokens.shape[-1]) == 0, tokens + 1, before + 2) % V, V)

    due = [generate(jump, row[:own], length=5, temperature=0) for row, own in zip(prompt, lengths, strict=True)]
    options = {"length": 5, "lengths": lengths, "temperature": 0}
    np.testing.assert_array_equal(generate(jump, prompt, **options), due)
    np.testing.assert_array_equal(generate(jump, prompt, window=2, **options), due)
    traced = jax.jit(lambda lengths: generate(jump, prompt, **{**options, "lengths": lengths}))(lengths)
    np.testing.assert_array_equal(traced, due)
    # A stop token in a prompt ends nothing; behind the others is padding, not what the prompt was padded with.
    ended = generate(Counting(), prompt[:2], length=3, lengths=lengths[:2], temperature=0, stop=4, padding=6)
    np.testing.assert_array_equal(ended, [[2, 3, 4], [4, 6, 6]])
    first = generate(Counting(), prompt[1:2], length=3, lengths=lengths[1:2], temperature=0, stop=3)
    np.testing.assert_array_equal(first, [[4, 5, 6]])


def test_behind_the_stop_token_of_each_sequence_is_padding():
    prompt = jnp.asarray([[0], [3], [4]])
    tokens = generate(Counting(), prompt, length=5, temperature=0, stop=5)
    np.testing.assert_array_equal(tokens, [[1, 2, 3, 4, 5], [4, 5, 5, 5, 5], [5, 5, 5, 5, 5]])
    padded = generate(Counting(), prompt, length=5, temperature=0, stop=5, padding=0)
    np.testing.assert_array_equal(padded, [[1, 2, 3, 4, 5], [4, 5, 0, 0, 0], [5, 0, 0, 0, 0]])


def test_the_loop_ends_when_all_have_stopped():
    calls = []

    def model(tokens):
        jax.debug.callback(lambda: calls.append(1))
        return Counting()(tokens)

    generate(model, jnp.asarray([[3], [4]]), length=100, temperature=0, stop=5).block_until_ready()
    jax.effects_barrier()
    assert len(calls) == 2


def test_a_fixed_key_gives_fixed_tokens_and_each_place_a_draw_of_its_own():
    model = Counting(0.0)
    options = {"length": 30, "key": KEYS[0]}
    one, again = (generate(model, PROMPT, **options) for _ in range(2))
    np.testing.assert_array_equal(one, again)
    assert len(np.unique(one)) == V
    assert not np.array_equal(one[0], one[1])
    assert not np.array_equal(generate(model, PROMPT, length=30, key=KEYS[1]), one)
    # A longer text begins as the shorter one.
    np.testing.assert_array_equal(generate(model, PROMPT, length=10, key=KEYS[0]), one[:, :10])
    np.testing.assert_array_equal(generate(model, PROMPT, top_k=V, top_p=1.0, **options), one)


def test_top_k_and_top_p_cut_what_is_drawn():
    model = Counting(2.0)
    greedy = generate(model, PROMPT, length=20, temperature=0)
    np.testing.assert_array_equal(generate(model, PROMPT, length=20, key=KEYS[0], top_k=1), greedy)
    np.testing.assert_array_equal(generate(model, PROMPT, length=20, key=KEYS[0], top_p=0.5), greedy)


def test_it_compiles_once_for_all_keys_temperatures_and_weights():
    traces = []

    class Traced(Counting):
        def __call__(self, tokens):
            traces.append(1)
            return super().__call__(tokens)

    generate(Traced(jnp.asarray(1.0)), PROMPT, length=3, key=KEYS[0], temperature=0.5, top_p=0.9)
    # Once for the shapes, and once to compile.
    assert len(traces) == 2
    generate(Traced(jnp.asarray(2.0)), PROMPT, length=3, key=KEYS[1], temperature=0.7, top_p=0.8)
    assert len(traces) == 3


def test_a_window_goes_on_beyond_the_positions():
    model = eqx.nn.inference_mode(model_of(transformer()))
    with pytest.raises(ValueError, match=r"`length` \(=12\) must be at most the 10 positions of LearnedPosition"):
        generate(model, PROMPT, length=10, temperature=0)
    with pytest.raises(ValueError, match=r"`length` \(=10\)"):
        generate(model, PROMPT, length=10, temperature=0, cached=False)
    tokens = generate(model, PROMPT, length=10, temperature=0, window=4)
    whole = np.concatenate([PROMPT, tokens], axis=1)
    windows = np.concatenate([whole[:, start : start + 4] for start in range(9)])
    expected = np.argmax(eqx.filter_jit(model)(windows)[:, -1], axis=-1).reshape(9, 2).T
    np.testing.assert_array_equal(tokens[:, 1:], expected)


def test_a_body_that_cannot_step_is_called_on_the_whole_context_unless_a_cache_is_asked_for():
    class Last(eqx.Module):
        def __call__(self, x):
            return jnp.cumsum(x, axis=-4)

    model = model_of(Last())
    np.testing.assert_array_equal(
        generate(model, PROMPT, length=3, temperature=0), generate(model, PROMPT, length=3, temperature=0, cached=False)
    )
    with pytest.raises(TypeError, match=r"^body: .*Last cannot step: it has no `initial_cache`"):
        generate(model, PROMPT, length=3, temperature=0, cached=True)


class Biased(eqx.Module):
    index: eqx.nn.StateIndex

    def __init__(self):
        self.index = eqx.nn.StateIndex(jnp.zeros(()))

    def __call__(self, tokens, state):
        return Counting()(tokens + state.get(self.index).astype(int)), state.set(self.index, 99 * jnp.ones(()))


def test_a_stateful_model_is_called_with_its_state():
    model, state = eqx.nn.make_with_state(Biased)()
    state = state.set(model.index, jnp.ones(()))
    tokens = generate(model, jnp.asarray([0]), length=3, temperature=0, state=state)
    np.testing.assert_array_equal(tokens, [2, 4, 6])
    assert state.get(model.index) == 1
    with pytest.raises(ValueError, match=r"`cached` \(=True\) must not be chosen beside `state`, which no step takes"):
        generate(model, jnp.asarray([0]), length=3, temperature=0, state=state, cached=True)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"length": 0}, r"`length` \(=0\) must be at least 1: choose how many tokens"),
        ({"window": 0}, r"`window` \(=0\) must be at least 1"),
        ({"prompt": PROMPT[:, :0]}, r"`prompt` has 0 tokens, and must have at least 1: begin with some token"),
        ({"prompt": PROMPT + 1}, r"`prompt` \(=7\) must be from 0 to below 7, the tokens of the model: encode"),
        ({"lengths": jnp.asarray([3, 4])}, r"`lengths` \(=4\) must be from 1 to the 3 tokens of `prompt`: count"),
        ({"lengths": jnp.asarray([0, 3])}, r"`lengths` \(=0\) must be from 1 to the 3 tokens of `prompt`"),
        ({"prompt": PROMPT + 1, "lengths": jnp.asarray([3, 3])}, r"`prompt` \(=7\) must be from 0 to below 7"),
        ({"stop": 7}, r"`stop` \(=7\) must be from 0 to below 7"),
        ({"padding": -1}, r"`padding` \(=-1\) must be from 0 to below 7"),
        ({"top_k": 8}, r"`top_k` \(=8\) must be between 1 and the vocabulary \(=7\)"),
        ({"top_p": 0.0}, r"`top_p` \(=0.0\) must be above 0 and at most 1"),
        ({"temperature": -1.0}, r"`temperature` \(=-1.0\) must be 0 or more"),
        ({"key": None}, r"`key` \(=None\) is needed at a `temperature` of 1.0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_what_is_out_of_range_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        generate(**{"model": Counting(), "prompt": PROMPT, "length": 3, "key": KEYS[0], **options})


def test_a_model_that_gives_no_logits_of_each_token_is_refused():
    for model in (lambda tokens: jnp.zeros((2, V)), lambda tokens: (tokens, tokens), lambda tokens: jnp.zeros(())):
        with pytest.raises(ContractError, match=r"`model` gives .* of tokens \(2, 5\): it must give logits of each"):
            generate(model, PROMPT, length=3, temperature=0)


def test_logits_that_are_not_finite_are_refused_with_their_place():
    def model(tokens):
        return jnp.where(jnp.arange(tokens.shape[-1])[:, None] >= 4, jnp.nan, Counting()(tokens))

    with pytest.raises(FloatingPointError, match="the logits of token 2 behind a prompt are not finite"):
        generate(model, PROMPT, length=5, temperature=0)


def test_it_can_be_traced():
    tokens = jax.jit(lambda prompt: generate(Counting(), prompt, length=2, temperature=0))(PROMPT)
    np.testing.assert_array_equal(tokens, [[4, 5], [0, 1]])
