import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import transformer_oracle as oracle
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import ContractError

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(3, 4, 2, 2)).astype(np.float32)
MEMORY = np.random.default_rng(1).normal(size=(5, 3, 2, 2)).astype(np.float32)
MEMORY_MASK = np.array([[True, True, False, True, True]] * 3)


def decoder_block(**options):
    options = {"memory": 3, "hidden": 6, "initializer": drawn, **options}
    return nn.TransformerDecoderBlock(p=4, n=2, heads=2, key=KEY, **options)


@pytest.mark.parametrize("pre_norm", [True, False], ids=["pre", "post"])
def test_the_block_is_its_formula_in_numpy(pre_norm):
    block = decoder_block(pre_norm=pre_norm)
    x, memory = np.float64(X), np.float64(MEMORY)

    def attend(x):
        return oracle.attention(block.attention, x, x, causal=True)

    def attend_across(x):
        return oracle.attention(block.cross_attention, x, memory, mask=MEMORY_MASK)

    x = oracle.branch(x, block.attention_norm, attend, pre_norm)
    x = oracle.branch(x, block.cross_attention_norm, attend_across, pre_norm)
    x = oracle.branch(x, block.feed_forward_norm, lambda x: oracle.feed_forward(block.feed_forward, x), pre_norm)
    y = eqx.filter_jit(block)(X, MEMORY, memory_mask=MEMORY_MASK)
    np.testing.assert_allclose(y, x, rtol=1e-4, atol=1e-5)


def test_masks_of_all_are_none_no_token_sees_later_ones_and_all_see_the_memory():
    @eqx.filter_jit
    def run(block, x, memory):
        everything = {"mask": jnp.ones((3, 3), bool), "memory_mask": jnp.ones((3, 5), bool)}
        return (
            block(x, memory),
            block(x, memory, **everything),
            block(x.at[2:].add(1.0), memory),
            block(x, memory.at[4].add(1.0)),
        )

    y, masked, later, remembered = run(decoder_block(), jnp.asarray(X), jnp.asarray(MEMORY))
    np.testing.assert_allclose(masked, y, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(later[:2], y[:2], rtol=1e-6, atol=1e-6)
    assert (np.abs(later - y).max(axis=(1, 2, 3)) > 1e-3).tolist() == [False, False, True]
    assert (np.abs(remembered - y).max(axis=(1, 2, 3)) > 1e-4).all()


def test_steps_equal_the_call_on_all_tokens():
    block = decoder_block(rotary=True, kv_heads=1)
    x, memory = jnp.stack([X, 2 * X]), jnp.stack([MEMORY, -MEMORY])

    @eqx.filter_jit
    def run(block, x, memory):
        cache, ys = block.initial_cache(memory, 3), []
        for tokens in (x[:, :1], x[:, 1:]):
            cache, y = block.step(cache, tokens, memory_mask=MEMORY_MASK[:1])
            ys.append(y)
        return jnp.concatenate(ys, axis=1), block(x, memory, memory_mask=MEMORY_MASK)

    stepped, whole = run(block, x, memory)
    np.testing.assert_allclose(stepped, whole, rtol=1e-5, atol=1e-5)


def test_steps_drop_in_training_and_need_a_key():
    block = decoder_block(dropout=0.5)
    cache = eqx.filter_jit(lambda block: block.initial_cache(MEMORY, 3))(block)
    with pytest.raises(ValueError, match=r"`key` \(=None\) is needed"):
        block.step(cache, X[:1])
    k0, k1 = jax.random.split(KEY)
    run = eqx.filter_jit(lambda key: block.step(cache, X[:1], key=key)[1])
    assert np.abs(run(k0) - run(k1)).max() > 0.1
    calm = eqx.filter_jit(lambda block: (block.step(cache, X[:1])[1], block(X[:1], MEMORY)))
    np.testing.assert_allclose(*calm(eqx.nn.inference_mode(block)), rtol=1e-5, atol=1e-5)


def test_steps_need_causal_attention():
    with pytest.raises(ValueError, match=r"`causal` \(=False\) must be True to step"):
        decoder_block(causal=False).initial_cache(MEMORY, 3)
    with pytest.raises(ValueError, match=r"`causal` \(=False\) must be True to step"):
        decoder_block(causal=False).step(decoder_block().initial_cache(MEMORY, 3), X)


def test_a_memory_of_other_neurons_is_refused():
    block = decoder_block()
    assert block.memory == 3
    with pytest.raises(ContractError, match=r"TransformerDecoderBlock\(.*got memory float32\[3, 4, 2, 2\].*memory"):
        block(X, X)
