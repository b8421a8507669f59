"""What a call of an adapted model and its gradient cost, against those of its base: ratios of one run."""

import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from matrinox import nn

KEYS = jax.random.split(jax.random.key(0), 6)


def bench_lora_against_its_base():
    base = nn.Sequential([nn.Dense(p=64, q=64, n=4, key=key) for key in KEYS[:4]])
    for rank in (4, 16):
        adapted = nn.lora(base, rank, "**", key=KEYS[4])
        for batch in (1, 32, 512):
            x = jax.random.normal(KEYS[5], (batch, 64, 4, 4))
            ratios = [ratio(step, adapted, base, x) for step in (call, gradient)]
            print(f"rank {rank:2}, batch {batch:3}: call {ratios[0]:.2f}, gradient {ratios[1]:.2f} of the base's")


@eqx.filter_jit
def call(model: Any, x: jax.Array) -> Any:
    return model(x)


@eqx.filter_jit
def gradient(model: Any, x: jax.Array) -> Any:
    return eqx.filter_grad(lambda model: jnp.sum(model(x) ** 2))(model)


def ratio(step: Callable[..., Any], model: Any, other: Any, x: jax.Array) -> float:
    """Of the best times, taken in turn, so that a busy machine slows both."""
    best = [float("inf")] * 2
    for _ in range(30):
        for i, timed in enumerate((model, other)):
            start = time.process_time()
            jax.block_until_ready(step(timed, x))
            best[i] = min(best[i], time.process_time() - start)
    return best[0] / best[1]
