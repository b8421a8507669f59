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
    scores = {}
    if "mask" in options:
        scores["mask"] = jax.random.bernoulli(keys[3], 0.5, options.pop("mask"))
    if "bias" in options:
        scores["bias"] = jax.random.normal(keys[3], options.pop("bias"))
    learns = range(4 if "bias" in scores else 3)

    def attend(chunk):
        def run(Q, K, V, *rest):
            given = dict(zip(scores, rest, strict=True))
            return multihead_attention(Q, K, V, heads=HEADS, chunk=chunk, **given, **options)

        return jax.grad(lambda *operands: jnp.sum(run(*operands) ** 2), learns) if gradient else run

    whole_memory, whole_time = measured(attend(None), (*tokens, *scores.values()))
    print(f"\n{case}, {'gradient' if gradient else 'values'}: {whole_memory:.0f} MiB, {whole_time:.0f} ms at once")
    for chunk in CHUNKS:
        memory, duration = measured(attend(chunk), (*tokens, *scores.values()))
        print(f"  chunk {chunk}: {memory / whole_memory:.4f} of the memory, {duration / whole_time:.2f} of the time")
