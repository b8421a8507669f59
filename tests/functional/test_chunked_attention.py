import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_jvp

from matrinox.functional import multihead_attention


def draw(seed, *shape):
    return jnp.asarray(np.random.default_rng(seed).normal(size=shape), jnp.float32)


# A chunk that leaves a rest of queries and of keys, and one that holds all queries but not all keys.
CASES = {
    "masked, biased, of shared keys, causal": (7, 8, 3, {"causal": True}),
    "more keys than queries": (3, 10, 4, {}),
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_values_and_gradients_equal_those_of_all_pairs_at_once(case):
    t, s, chunk, options = case
    operands = [draw(0, 2, t, 4, 2, 2), draw(1, 2, s, 2, 2, 2), draw(2, 2, s, 2, 2, 2), draw(3, 4, t, s)]
    mask = jnp.asarray(np.random.default_rng(4).random((2, 1, t, s)) < 0.7)
    weights = draw(5, 2, t, 4, 2, 2)

    def loss(Q, K, V, bias, chunk):
        y = multihead_attention(Q, K, V, heads=4, bias=bias, mask=mask, chunk=chunk, **options)
        return jnp.sum(weights * y), y

    @jax.jit
    def run(*operands):
        return [jax.grad(loss, (0, 1, 2, 3), has_aux=True)(*operands, chunk) for chunk in (None, chunk)]

    at_once, in_chunks = run(*operands)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5), in_chunks, at_once)


def test_forward_derivatives_pass_through_chunks(x64):
    operands = [jnp.asarray(draw(i, length, 2, 1, 1), jnp.float64) for i, length in enumerate((5, 4, 4))]
    run = jax.jit(functools.partial(multihead_attention, heads=2, chunk=2))
    check_jvp(run, functools.partial(jax.jvp, run), tuple(operands))


@pytest.mark.optimised
@pytest.mark.parametrize("gradient", [False, True], ids=["values", "gradient"])
def test_4096_tokens_take_an_eighth_of_the_memory_or_less(gradient):
    """As compiled, which is when memory is laid out: the sizes are the same at every run."""
    tokens = jax.ShapeDtypeStruct((4096, 2, 2, 2), jnp.float32)
    mask = jax.ShapeDtypeStruct((4096, 4096), jnp.bool_)

    def peak(chunk):
        def run(Q, K, V, mask):
            return multihead_attention(Q, K, V, heads=2, mask=mask, causal=True, chunk=chunk)

        def loss(*operands):
            return jnp.sum(run(*operands) ** 2)

        compiled = jax.jit(jax.grad(loss, (0, 1, 2)) if gradient else run).lower(tokens, tokens, tokens, mask).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert peak(256) <= peak(None) / 8


def test_a_chunk_that_holds_all_tokens_is_no_chunk():
    Q, K, V = (draw(i, 4, 2, 1, 1) for i in range(3))
    texts = [
        str(jax.make_jaxpr(functools.partial(multihead_attention, heads=2, chunk=chunk))(Q, K, V))
        for chunk in (None, 4, 3)
    ]
    assert texts[0] == texts[1] != texts[2]
    assert "scan" not in texts[0]
