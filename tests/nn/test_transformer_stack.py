import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.paths import find

KEY = jax.random.key(0)
X = jax.random.normal(jax.random.key(1), (2, 4, 2, 2, 2))
MEMORY = jax.random.normal(jax.random.key(2), (2, 3, 1, 2, 2))


def encoder(**options):
    options = {"layers": 2, "hidden": 3, "initializer": drawn, **options}
    return nn.TransformerEncoder(p=2, n=2, heads=2, key=KEY, **options)


def decoder(**options):
    options = {"layers": 2, "memory": 1, "hidden": 3, "initializer": drawn, **options}
    return nn.TransformerDecoder(p=2, n=2, heads=2, key=KEY, **options)


def test_an_encoder_is_its_blocks_in_turn_and_one_more_norm():
    model, mask = encoder(causal=True), np.tril(np.ones((4, 4), bool), -1) | np.eye(4, dtype=bool)

    @eqx.filter_jit
    def run(model, x):
        unrolled = x
        for block in model.blocks:
            unrolled = block(unrolled, mask=mask)
        return model(x, mask=mask), model.norm(unrolled)

    ours, unrolled = run(model, X)
    np.testing.assert_allclose(ours, unrolled, rtol=1e-5, atol=1e-6)
    assert encoder(pre_norm=False).norm is None


def test_dropout_gets_the_keys_of_the_unrolled_blocks():
    model = encoder(dropout=0.5, pre_norm=False)

    @eqx.filter_jit
    def run(model, x, key):
        return model(x, key=key), nn.Sequential(model.blocks)(x, key=key)

    ours, unrolled = run(model, X, KEY)
    np.testing.assert_allclose(ours, unrolled, rtol=1e-5, atol=1e-6)


def test_steps_of_an_encoder_equal_the_call_on_all_tokens():
    model, bias = encoder(causal=True, rotary=True), jnp.cos(jnp.arange(16.0)).reshape(4, 4)

    @eqx.filter_jit
    def run(model, x):
        cache, ys = model.initial_cache(4, (2,)), []
        for t in range(4):
            cache, y = model.step(cache, x[:, t : t + 1], bias=bias[t : t + 1])
            ys.append(y)
        return jnp.concatenate(ys, axis=1), model(x, bias=bias)

    stepped, whole = run(model, X)
    np.testing.assert_allclose(stepped, whole, rtol=1e-5, atol=1e-5)


def test_a_decoder_is_its_blocks_in_turn_and_steps_equal_the_call():
    model = decoder()

    @eqx.filter_jit
    def run(model, x, memory):
        unrolled = x
        for block in model.blocks:
            unrolled = block(unrolled, memory)
        cache, ys = model.initial_cache(memory, 4), []
        for tokens in (x[:, :3], x[:, 3:]):
            cache, y = model.step(cache, tokens)
            ys.append(y)
        return model(x, memory), model.norm(unrolled), jnp.concatenate(ys, axis=1)

    ours, unrolled, stepped = run(model, X, MEMORY)
    np.testing.assert_allclose(ours, unrolled, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(stepped, ours, rtol=1e-5, atol=1e-5)


def test_entries_at_most_about_double_their_variance_over_all_blocks():
    x = jax.random.normal(KEY, (4, 6, 4, 2, 2))
    model = nn.TransformerEncoder(p=4, n=2, heads=2, layers=12, key=KEY)
    assert 1.2 < float(jnp.var(model.stack(x))) < 2.5
    assert abs(float(jnp.var(model(x))) - 1) < 0.01


def test_paths_name_the_blocks_and_attention_is_found_by_a_pattern():
    paths = list(find(encoder(use_bias=False), "**.attention.*.weight"))
    assert paths == [
        f"stack.layers[{index}].attention.{name}_proj.weight"
        for index in range(2)
        for name in ("query", "key", "value", "output")
    ]
    assert "stack.layers[1].cross_attention.key_proj.weight" in find(decoder(), "**.cross_attention.*.weight")


def test_errors_within_name_all_blocks_and_options_reach_them():
    model = encoder(checkpoint=True, unroll=2, kv_heads=1, norm="rms", chunk=2)
    assert (model.stack.checkpoint, model.stack.unroll, model.p, model.n) == (True, 2, 2, 2)
    assert (model.blocks[1].attention.kv_heads, model.blocks[1].attention.chunk) == (1, 2)
    assert isinstance(model.norm, nn.RMSNorm)
    with pytest.raises(ContractError, match=r"^stack\.layers\[\*\]\.attention: MultiheadAttention\(.*got mask"):
        model(X, mask=np.ones((3, 3), bool))
    with pytest.raises(ValueError, match=r"`causal` \(=False\) must be True to step"):
        model.initial_cache(4)
    with pytest.raises(ValueError, match=r"`layers` \(=0\) must be at least 1"):
        encoder(layers=0)
    with pytest.raises(ContractError, match=r"TransformerDecoder\(.*got memory float32\[2, 4, 2, 2, 2\]"):
        decoder()(X, X)
