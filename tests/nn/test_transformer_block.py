import jax
import jax.numpy as jnp
import numpy as np
import pytest
from layer_table.row import drawn

from matrinox import nn
from matrinox.nn.transformer_block import branch_norm

KEY = jax.random.key(0)


def block(**options):
    return nn.TransformerEncoderBlock(p=4, n=2, heads=2, initializer=drawn, key=KEY, **options)


def test_the_last_weights_are_smaller_by_the_root_of_the_count_of_branches():
    post = block(pre_norm=False)
    for depth in (1, 8):
        pre = block(depth=depth)
        for ours, theirs in [
            (pre.attention.output_proj, post.attention.output_proj),
            (pre.feed_forward.layers[-1], post.feed_forward.layers[-1]),
        ]:
            np.testing.assert_allclose(ours.weight, theirs.weight / np.sqrt(2 * depth), rtol=1e-6)
        np.testing.assert_array_equal(pre.attention.query_proj.weight, post.attention.query_proj.weight)
        np.testing.assert_array_equal(pre.feed_forward.layers[0].weight, post.feed_forward.layers[0].weight)


def test_the_last_weights_of_a_decoder_are_of_three_branches():
    def decoder(pre_norm):
        return nn.TransformerDecoderBlock(p=4, n=2, heads=2, depth=5, pre_norm=pre_norm, initializer=drawn, key=KEY)

    pre, post = decoder(True), decoder(False)
    for ours, theirs in [
        (pre.attention.output_proj, post.attention.output_proj),
        (pre.cross_attention.output_proj, post.cross_attention.output_proj),
        (pre.feed_forward.layers[-1], post.feed_forward.layers[-1]),
    ]:
        np.testing.assert_allclose(ours.weight, theirs.weight / np.sqrt(15), rtol=1e-6)


def test_choices_of_hidden_norm_activation_and_biases():
    chosen = block(hidden=5, norm=lambda p, n: nn.RMSNorm(p, n, eps=0.1), activation=nn.Tanh(), use_bias=False)
    assert (chosen.p, chosen.n, chosen.heads) == (4, 2, 2)
    assert chosen.feed_forward.layers[0].q == 5
    assert block().feed_forward.layers[0].q == 16
    assert isinstance(chosen.feed_forward.layers[1], nn.Tanh)
    assert chosen.attention_norm.eps == 0.1
    assert chosen.attention.key_proj.bias is None
    assert chosen.feed_forward.layers[-1].bias is None
    assert isinstance(block(norm="rms").feed_forward_norm, nn.RMSNorm)
    half = block(dtype=jnp.bfloat16)
    assert {leaf.dtype for leaf in jax.tree.leaves(half) if isinstance(leaf, jax.Array)} == {jnp.dtype(jnp.bfloat16)}


def test_what_cannot_be_a_block_is_refused():
    for options, message in [
        (
            {"norm": "batch"},
            r"`norm` \(='batch'\) must keep no state, as the tokens of a sequence are no batch: choose",
        ),
        ({"norm": "leyer"}, r"`norm` \(='leyer'\) must be .*did you mean 'layer'"),
        ({"activation": "gleu"}, r"`activation` \(='gleu'\) must be .*did you mean 'gelu'"),
        ({"hidden": 0}, r"`hidden` \(=0\) must be at least 1"),
        ({"depth": 0}, r"`depth` \(=0\) must be at least 1"),
        ({"dropout": 1.0}, r"must be from 0 up to, but not including, 1"),
        ({"kv_heads": 3}, r"must be divisible by `kv_heads` \(=3\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            block(**options)
    with pytest.raises(
        ValueError, match=r"`p` \(=4\) must be divisible by `heads` \(=3\): choose `p` as a multiple of 3"
    ):
        nn.TransformerEncoderBlock(p=4, n=2, heads=3, key=KEY)


def test_a_norm_of_its_own_is_taken_as_it_is():
    norm = nn.RMSNorm(p=4, n=2)
    assert branch_norm(lambda p, n: norm, 4, 2, None) is norm
