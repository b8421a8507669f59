"""A convolution's gradients, ours beside JAX's, alone and in a scan: `pytest tests/benchmarks/bench_conv.py -s`.

The ratios are of one run; nothing is asserted, since times are the machine's.
"""

import time

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from matrinox.functional.conv_gradient import convolve

STEPS = 5
# Batch (columns counted), side, channels in and out (p · n and q · n), all with a 3 × 3 kernel.
SIZES = [(256, 8, 8, 16), (512, 8, 16, 32), (128, 14, 64, 64)]


def plain(x, w):
    return lax.conv_general_dilated(x, w, (1, 1), ((1, 1), (1, 1)), dimension_numbers=("NHWC", "HWIO", "NHWC"))


def ours(x, w):
    return convolve(x, w, stride=(1, 1), padding=((1, 1), (1, 1)), dilation=(1, 1), groups=1)


def input_gradient(conv):
    return lambda x, w, g: jax.vjp(lambda x: conv(x, w), x)[1](g)[0]


def kernel_gradient(conv):
    return lambda x, w, g: jax.vjp(lambda w: conv(x, w), w)[1](g)[0]


def forward(conv):
    return lambda x, w, g: conv(x, w)


def in_scan(function):
    """Several steps whose operands differ, so that none is taken out of the loop."""

    def run(*operands):
        def step(total, factor):
            return total + jnp.sum(function(*(factor * operand for operand in operands))[..., :1]), None

        return lax.scan(step, 0.0, 1 + jnp.arange(STEPS) / 100)[0]

    return run


def milliseconds(function, operands):
    compiled = jax.jit(function)
    jax.block_until_ready(compiled(*operands))
    times = []
    for _ in range(5):
        start = time.perf_counter()
        jax.block_until_ready(compiled(*operands))
        times.append(time.perf_counter() - start)
    return 1e3 * min(times)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("part", [forward, input_gradient, kernel_gradient])
def bench_convolution(part, size):
    batch, side, c, o = size
    shapes = (batch, side, side, c), (3, 3, c, o), (batch, side, side, o)
    operands = [
        jax.random.normal(key, shape) for key, shape in zip(jax.random.split(jax.random.key(0), 3), shapes, strict=True)
    ]
    alone = [milliseconds(part(conv), operands) for conv in (plain, ours)]
    scanned = [milliseconds(in_scan(part(conv)), operands) / STEPS for conv in (plain, ours)]
    print(
        f"\n{part.__name__:15} {size}: alone {alone[0]:.2f} ms as JAX writes it, {alone[1]:.2f} ours "
        f"({alone[0] / alone[1]:.1f}×); a step of a scan {scanned[0]:.2f} and {scanned[1]:.2f} "
        f"({scanned[0] / scanned[1]:.1f}×)"
    )
