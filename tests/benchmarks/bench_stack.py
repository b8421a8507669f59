"""Deep stacks of transformer blocks, scanned and unrolled: `pytest tests/benchmarks/bench_stack.py -s`.

Times to compile are of the processor, tracing and lowering included, and the best of two; those to run are the best of
several rounds. The ratios are of one run; nothing is asserted, since times are the machine's.
"""

import time

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from matrinox.nn import Sequential, Stack, TransformerEncoderBlock

SHALLOW, DEEP = 6, 48
P, N, TOKENS, BATCH = 16, 4, 16, 4
X = jax.random.normal(jax.random.key(1), (BATCH, TOKENS, P, N, N))


def blocks(depth):
    keys = jax.random.split(jax.random.key(0), depth)
    return [TransformerEncoderBlock(p=P, n=N, heads=4, causal=True, depth=depth, key=key) for key in keys]


def forward(model, x):
    return model(x)


def gradient(model, x):
    return eqx.filter_grad(lambda model: jnp.sum(model(x) ** 2))(model)


PARTS = {"forward": forward, "gradient": gradient}


def seconds_to_compile(part, model, rounds=2):
    best = float("inf")
    for _ in range(rounds):
        jax.clear_caches()
        start = time.process_time()
        compiled = eqx.filter_jit(part).lower(model, X).compile()
        best = min(best, time.process_time() - start)
    return best, compiled


def milliseconds(compiled, model):
    best = float("inf")
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(jax.tree.leaves(eqx.filter(compiled(model, X), eqx.is_array)))
        best = min(best, time.perf_counter() - start)
    return 1e3 * best


@pytest.mark.parametrize("part", PARTS)
def bench_compile(part):
    for kind in (Stack, Sequential):
        # Unrolled, six times as many blocks take minutes; twice as many show the growth.
        depths = (SHALLOW, DEEP) if kind is Stack else (SHALLOW, 2 * SHALLOW)
        shallow, deep = (seconds_to_compile(PARTS[part], kind(blocks(depth)))[0] for depth in depths)
        print(
            f"\n{kind.__name__:10} {part:8}: {depths[1]} blocks compile in {deep / shallow:.2f}× the time of"
            f" {depths[0]} ({deep:.2f} s, {shallow:.2f} s)"
        )


@pytest.mark.parametrize("part", PARTS)
def bench_run(part):
    layers = blocks(SHALLOW)
    times, memory = {}, {}
    for name, model in {
        "Sequential": Sequential(layers),
        "Stack": Stack(layers),
        "checkpoint": Stack(layers, checkpoint=True),
    }.items():
        _, compiled = seconds_to_compile(PARTS[part], model, rounds=1)
        times[name] = milliseconds(compiled, model)
        memory[name] = compiled.compiled.memory_analysis().temp_size_in_bytes
    for name in ("Stack", "checkpoint"):
        print(
            f"\n{name:10} {part:8} of {SHALLOW} blocks: {times[name] / times['Sequential']:.2f}× the time to run of the"
            f" unrolled, {memory[name] / memory['Sequential']:.2f}× its memory"
        )
