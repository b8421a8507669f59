"""Pools by the highest determinant, ours beside matnets': `pytest tests/benchmarks/bench_pool.py -s`.

The ratios are of one run; nothing is asserted, since times are the machine's.
"""

import time

import jax
import jax.numpy as jnp
import matnets
import pytest

from matrinox.functional import maxd_pool2d

# Batch, side, p and n; window and stride.
SIZES = [
    ((32, 16, 16, 3), 2, 2),
    ((32, 16, 16, 4), 2, 2),
    ((32, 16, 16, 4), 3, 1),
    ((8, 16, 8, 6), 2, 2),
    ((8, 16, 8, 6), 3, 1),
]


def ours(x, window, stride):
    return maxd_pool2d(x, window=window, stride=stride)


def theirs(x, window, stride):
    return matnets.conv.maxd_pool2d(x, window_size=window, stride=stride)


def forward(pool, window, stride):
    return lambda x: pool(x, window, stride)


def gradient(pool, window, stride):
    return jax.grad(lambda x: jnp.sum(jnp.sin(pool(x, window, stride))))


def milliseconds(function, x):
    compiled = jax.jit(function)
    jax.block_until_ready(compiled(x))
    times = []
    for _ in range(7):
        start = time.perf_counter()
        jax.block_until_ready(compiled(x))
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


@pytest.mark.parametrize(("size", "window", "stride"), SIZES, ids=str)
@pytest.mark.parametrize("part", [forward, gradient])
def bench_maxd_pool(part, size, window, stride):
    batch, side, p, n = size
    x = jax.random.normal(jax.random.key(0), (batch, side, side, p, n, n))
    mine, other = (milliseconds(part(pool, window, stride), x) for pool in (ours, theirs))
    print(
        f"\n{part.__name__:8} {size}, window {window}, stride {stride}: {other:.2f} ms as matnets has it, "
        f"{mine:.2f} ours ({other / mine:.1f}×)"
    )
