import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import Examples, minibatches
from matrinox.data.text import TokenWindows

TOKENS = np.random.default_rng(0).integers(0, 50, 23)


@pytest.mark.parametrize(("length", "stride"), [(4, 1), (4, 3), (4, 4), (5, 9), (22, 1)])
def test_windows_are_slices_and_their_targets_the_same_shifted_by_one(length, stride):
    data = TokenWindows(TOKENS, length, stride=stride)
    starts = [start for start in range(0, len(TOKENS), stride) if start + length + 1 <= len(TOKENS)]
    assert len(data) == len(starts)
    inputs, targets = data.gather(np.arange(len(data)))
    np.testing.assert_array_equal(inputs, [TOKENS[start : start + length] for start in starts])
    np.testing.assert_array_equal(targets, [TOKENS[start + 1 : start + length + 1] for start in starts])
    assert inputs.dtype == targets.dtype == jnp.int32


def test_with_a_stride_of_the_length_every_token_is_a_target_once():
    data = TokenWindows(np.arange(21), 5, stride=5)
    _, targets = data.gather(np.arange(len(data)))
    np.testing.assert_array_equal(targets.ravel(), np.arange(1, 21))


def test_windows_are_gathered_while_tracing_from_small_dtypes_too():
    data = TokenWindows(np.arange(300).astype(np.uint16), 4, stride=2)
    inputs, _ = jax.jit(lambda data, rows: data.gather(rows))(data, jnp.asarray([140], jnp.uint8))
    np.testing.assert_array_equal(inputs, [[280, 281, 282, 283]])
    assert data.tokens.dtype == jnp.uint16


def test_windows_are_examples_for_minibatches():
    data = TokenWindows(TOKENS, 4, name="verse")
    assert isinstance(data, Examples)
    assert data.name == "verse"
    (rows,) = minibatches(jax.random.key(0), len(data), 6, count=1)
    assert data.gather(rows)[0].shape == (6, 4)


def test_fingerprint_sees_tokens_length_and_stride():
    prints = [
        TokenWindows(tokens, length, stride=stride).fingerprint()
        for tokens, length, stride in [(TOKENS, 4, 1), (TOKENS, 5, 1), (TOKENS, 4, 2), (TOKENS[::-1], 4, 1)]
    ]
    assert len(set(prints)) == 4
    assert TokenWindows(TOKENS.copy(), 4, name="another").fingerprint() == prints[0]


def test_a_short_text_and_wrong_sizes_are_refused():
    with pytest.raises(ValueError, match=r"`tokens` has 23 tokens, .*`length` \(=23\) with its targets takes 24: give"):
        TokenWindows(TOKENS, 23)
    with pytest.raises(ValueError, match=r"`length` \(=0\) must be at least 1: count in tokens"):
        TokenWindows(TOKENS, 0)
    with pytest.raises(ValueError, match=r"`stride` \(=0\) must be at least 1"):
        TokenWindows(TOKENS, 3, stride=0)
    for wrong in (-1, 2**33):
        with pytest.raises(ValueError, match=rf"`tokens` holds {wrong}, which must be from 0 to below 2³¹: give"):
            TokenWindows(np.append(TOKENS, wrong), 3)
    for wrong in (TOKENS.astype(float), TOKENS[None], "text"):
        with pytest.raises(ContractError):
            TokenWindows(wrong, 3)
