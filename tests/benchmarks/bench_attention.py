"""Attention in chunks, beside all pairs at once: `pytest tests/benchmarks/bench_attention.py -s`.

Memory is what the compiled program takes beyond its inputs and outputs, time the best of three runs. The ratios are of
one run; nothing is asserted here, since times are the machine's (that of memory is, in the tests).
"""

import time

import jax
import jax.numpy as jnp
import pytest

from matrinox.functional import multihead_attention

TOKENS, P, HEADS, N = 4096, 4, 2, 2
CHUNKS = (128, 256, 512)
SCORES = {
    "all pairs": {},
    "causal": {"causal": True},
    "a mask": {"mask": (TOKENS, TOKENS)},
    "a bias that learns": {"bias": (1, TOKENS, TOKENS)},
}


def measured(run, operands):
    """Mebibytes and milliseconds."""
    compiled = jax.jit(run).lower(*operands).compile()
    best = float("inf")
    for _ in range(3):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*operands))
        best = min(best, time.perf_counter() - start)
    return compiled.memory_analysis().temp_size_in_bytes / 2**20, 1e3 * best


@pytest.mark.parametrize("gradient", [False, True], ids=["values", "gradient"])
@pytest.mark.parametrize("case", SCORES)
def bench_chunks(case, gradient):
    options = dict(SCORES[case])
    keys = jax.random.split(jax.random.key(0), 4)
    tokens = [jax.random.normal(key, (TOKENS, P, N, N)) for key in keys[:3]]
    # Only the bias is learnt, and so has a gradient.
    mask = jax.random.bernoulli(keys[3], 0.5, options.pop("mask")) if "mask" in options else None
    scores = [jax.random.normal(keys[3], options.pop("bias"))] if "bias" in options else []

    def attend(chunk):
        def run(Q, K, V, *bias):
            given = {"bias": bias[0]} if bias else {}
            return multihead_attention(Q, K, V, heads=HEADS, mask=mask, chunk=chunk, **given, **options)

        if not gradient:
            return run
        return jax.grad(lambda *operands: jnp.sum(run(*operands) ** 2), range(3 + len(scores)))

    whole_memory, whole_time = measured(attend(None), (*tokens, *scores))
    print(f"\n{case}, {'gradient' if gradient else 'values'}: {whole_memory:.0f} MiB, {whole_time:.0f} ms at once")
    for chunk in CHUNKS:
        memory, duration = measured(attend(chunk), (*tokens, *scores))
        print(f"  chunk {chunk}: {memory / whole_memory:.4f} of the memory, {duration / whole_time:.2f} of the time")
