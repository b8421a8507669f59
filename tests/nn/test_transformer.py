import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import transformer_oracle as oracle
from layer_table.row import drawn

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.paths import find

KEY = jax.random.key(0)
X = np.random.default_rng(0).normal(size=(4, 4, 2, 2)).astype(np.float32)


def moved(block):
    """Norms start at 1 and 0, and biases at 0, where mistakes in them would not show."""
    return jax.tree.map(lambda leaf: leaf + 0.1 * jnp.cos(jnp.arange(leaf.size)).reshape(leaf.shape), block)


def encoder_block(**options):
    return nn.TransformerEncoderBlock(p=4, n=2, heads=2, hidden=6, initializer=drawn, key=KEY, **options)


@pytest.mark.parametrize("pre_norm", [True, False], ids=["pre", "post"])
def test_the_block_is_its_formula_in_numpy(pre_norm):
    arrays, rest = eqx.partition(encoder_block(pre_norm=pre_norm, causal=True), eqx.is_array)
    block = eqx.combine(moved(arrays), rest)
    mask = np.array([[True] * 4, [True] * 4, [True, False, True, True], [False, True, True, True]])
    x = np.float64(X)
    x = oracle.branch(
        x, block.attention_norm, lambda x: oracle.attention(block.attention, x, x, causal=True, mask=mask), pre_norm
    )
    x = oracle.branch(x, block.feed_forward_norm, lambda x: oracle.feed_forward(block.feed_forward, x), pre_norm)
    np.testing.assert_allclose(eqx.filter_jit(block)(X, mask=mask), x, rtol=1e-4, atol=1e-5)


def test_the_block_is_of_equinox_layers_when_n_is_1():
    block = nn.TransformerEncoderBlock(p=4, n=1, heads=2, pre_norm=False, activation="relu", initializer=drawn, key=KEY)
    names = ["query", "key", "value", "output"]
    twin = eqx.nn.MultiheadAttention(2, 4, **{f"use_{name}_bias": True for name in names}, key=KEY)
    for name in names:
        ours = getattr(block.attention, f"{name}_proj")
        twin = eqx.tree_at(
            lambda twin, name=name: (getattr(twin, f"{name}_proj").weight, getattr(twin, f"{name}_proj").bias),
            twin,
            (ours.weight[..., 0, 0], ours.bias[..., 0, 0]),
        )
    norm = eqx.nn.LayerNorm(4)
    first, last = ((layer.weight[..., 0, 0], layer.bias[..., 0, 0]) for layer in block.feed_forward.layers[::2])

    @jax.jit
    def expected(x):
        x = jax.vmap(norm)(x + twin(x, x, x))
        return jax.vmap(norm)(x + jax.nn.relu(x @ first[0].T + first[1]) @ last[0].T + last[1])

    x = X[:, :, 0, 0]
    np.testing.assert_allclose(eqx.filter_jit(block)(x[..., None, None])[..., 0, 0], expected(x), rtol=1e-5, atol=1e-6)


def test_a_block_whose_branches_give_nothing_is_the_identity_before_the_norms():
    def last(block):
        return block.attention.output_proj.weight, block.feed_forward.layers[-1].weight

    def silent(block):
        return eqx.tree_at(last, block, replace_fn=jnp.zeros_like)

    np.testing.assert_array_equal(silent(encoder_block())(X), X)
    once = nn.LayerNorm(p=4, n=2)
    np.testing.assert_allclose(silent(encoder_block(pre_norm=False))(X), once(once(X)), rtol=1e-5, atol=1e-6)


def test_a_mask_of_all_is_none_and_no_token_sees_later_ones():
    block = encoder_block(causal=True, kv_heads=1, rotary=True)

    @eqx.filter_jit
    def run(block, x):
        later = x.at[2:].add(1.0)
        return block(x), block(x, mask=jnp.ones((4, 4), bool)), block(later)

    y, masked, changed = run(block, jnp.asarray(X))
    np.testing.assert_allclose(masked, y, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(changed[:2], y[:2], rtol=1e-6, atol=1e-6)
    assert np.abs(changed[2:] - y[2:]).min() > 1e-3


def test_a_bias_of_minus_infinity_masks():
    block, mask = encoder_block(), np.tril(np.ones((4, 4), bool), 1)

    @eqx.filter_jit
    def run(block, x):
        return block(x, mask=mask), block(x, bias=jnp.where(mask, 0.0, -jnp.inf))

    masked, biased = run(block, X)
    np.testing.assert_allclose(biased, masked, rtol=1e-5, atol=1e-6)


def test_steps_equal_the_call_on_all_tokens():
    block = encoder_block(causal=True, rotary=True, norm="rms")
    x, bias = jnp.stack([X, 2 * X]), jnp.cos(jnp.arange(16.0)).reshape(4, 4)

    @eqx.filter_jit
    def run(block, x):
        cache, ys = block.initial_cache(4, (2,)), []
        for tokens in (slice(0, 1), slice(1, 2), slice(2, 4)):
            cache, y = block.step(cache, x[:, tokens], bias=bias[tokens])
            ys.append(y)
        return jnp.concatenate(ys, axis=1), block(x, bias=bias)

    stepped, whole = run(block, x)
    np.testing.assert_allclose(stepped, whole, rtol=1e-5, atol=1e-5)


def test_steps_need_causal_attention():
    block = encoder_block()
    for call in (lambda: block.initial_cache(4), lambda: block.step(encoder_block(causal=True).initial_cache(4), X)):
        with pytest.raises(ValueError, match=r"`causal` \(=False\) must be True to step, .*: build with"):
            call()


def test_dropout_draws_in_every_place_and_needs_a_key():
    block = encoder_block(dropout=0.5)
    assert [path for path in find(block, "**") if path.endswith(("rate", "attention.dropout"))] == [
        "attention.dropout",
        "feed_forward.layers[2].rate",
        "dropout.rate",
    ]
    run = eqx.filter_jit(block)
    k0, k1 = jax.random.split(KEY)
    assert np.abs(run(X, key=k0) - run(X, key=k1)).max() > 0.1
    with pytest.raises(ValueError, match=r"`key` \(=None\) is needed by"):
        block(X)
    calm = eqx.nn.inference_mode(block)
    np.testing.assert_allclose(calm(X), encoder_block()(X), rtol=1e-6, atol=1e-6)


def test_the_projections_of_attention_are_found_by_a_pattern():
    found = find(encoder_block(), "**.attention.*", is_leaf=lambda node: isinstance(node, nn.Dense))
    assert {path for path, layer in found.items() if isinstance(layer, nn.Dense)} == {
        f"attention.{name}_proj" for name in ("query", "key", "value", "output")
    }


def test_wrong_tokens_and_masks_are_refused():
    block = encoder_block()
    with pytest.raises(ContractError, match=r"TransformerEncoderBlock\(.*got x float32\[4, 4, 3, 3\].*n is 2"):
        block(jnp.ones((4, 4, 3, 3)))
    with pytest.raises(ContractError, match=r"^attention: MultiheadAttention\(.*got mask bool\[3, 3\]"):
        block(X, mask=np.ones((3, 3), bool))
    with pytest.raises(TypeError, match=r"unexpected keyword argument 'maks': did you mean 'mask'\?"):
        block(X, maks=None)
