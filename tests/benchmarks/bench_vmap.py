"""MLX's example of `vmap`, a loop of additions against one mapped: `pytest tests/benchmarks/bench_vmap.py -s`.

Its guide has 0.390 s against 0.025 s for a hundred calls, on an M1 Max, of a loop of 100 additions. Here are 100 of
length 4096 and 4096 of length 100, eager and compiled. Times are the best of several rounds; the ratios are of one run,
and nothing is asserted, since times are the machine's.
"""

import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.transforms import vmap

CALLS = 10


def seconds(func, *args, rounds=3):
    jax.block_until_ready(func(*args))
    best = float("inf")
    for _ in range(rounds):
        start = time.perf_counter()
        for _ in range(CALLS):
            jax.block_until_ready(func(*args))
        best = min(best, time.perf_counter() - start)
    return best / CALLS


@pytest.mark.parametrize(("slices", "length"), [(100, 4096), (4096, 100)])
def bench_a_mapped_addition_against_a_loop(slices, length):
    """How much faster all slices are at once: eager and compiled, against the loop and against plain `x + y.T`."""
    xs, ys = jnp.ones((length, slices)), jnp.full((slices, length), 2.0)

    def naive(xs, ys):
        return [xs[:, i] + ys[i] for i in range(slices)]

    mapped = vmap(lambda x, y: x + y, in_axes=(1, 0))
    compiled = jax.jit(mapped)
    np.testing.assert_array_equal(jnp.stack(naive(xs, ys)), mapped(xs, ys))
    loop = seconds(naive, xs, ys)
    by_jax = seconds(jax.vmap(lambda x, y: x + y, in_axes=(1, 0)), xs, ys)
    times = {"vmap": seconds(mapped, xs, ys), "jit(vmap)": seconds(compiled, xs, ys), "jax.vmap": by_jax}
    times["x.T + y"] = seconds(lambda x, y: x.T + y, xs, ys)
    print(f"\n{slices} slices of {length}: loop {loop * 1e3:.2f} ms")
    for name, taken in times.items():
        print(f"  {name:10} {taken * 1e3:8.3f} ms, {loop / taken:6.1f} times as fast")
