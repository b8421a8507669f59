"""Determinants and their gradients, ours beside JAX's: `pytest tests/benchmarks/bench_determinant.py -s`.

The ratios are of one run; nothing is asserted, since times are the machine's.
"""

import time

import jax
import jax.numpy as jnp
import pytest

from matrinox.functional import det

MATRICES = 50_000


def forward(det):
    return det


def gradient(det):
    return jax.grad(lambda x: jnp.sum(det(x)))


def milliseconds(function, x):
    compiled = jax.jit(function)
    jax.block_until_ready(compiled(x))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(compiled(x))
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


@pytest.mark.parametrize("n", [2, 3, 4, 5])
@pytest.mark.parametrize("part", [forward, gradient])
def bench_determinant(part, n):
    x = jax.random.normal(jax.random.key(0), (MATRICES, n, n))
    theirs, ours = (milliseconds(part(function), x) for function in (jnp.linalg.det, det))
    print(f"\n{part.__name__:8} n={n}: {theirs:.2f} ms as JAX writes it, {ours:.2f} ours ({theirs / ours:.1f}×)")
