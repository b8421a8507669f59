"""What a call of a constrained layer and its gradient cost, against those of the layer alone: ratios of one run."""

import time
from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp

from matrinox import nn

LAWS = (
    nn.Symmetric(),
    nn.Triangular(diagonal="positive"),
    nn.SpectralNorm(),
    nn.SpectralNorm(per="matrix"),
    nn.Orthogonal(),
    nn.Orthogonal(per="matrix"),
)


def bench_constrained_against_the_layer_alone():
    for size in (16, 64):
        layer = nn.Dense(p=size, q=size, n=4, key=jax.random.key(0))
        x = jax.random.normal(jax.random.key(1), (256, size, 4, 4))
        for law in LAWS:
            constrained = nn.Constrained(layer, {"weight": law})
            # As after a step: no longer as it started, where an orthogonal weight is quickly decomposed.
            noise = 0.01 * jax.random.normal(jax.random.key(2), layer.weight.shape)
            constrained = eqx.tree_at(lambda c: c.model.weight, constrained, constrained.model.weight + noise)
            ratios = [ratio(step, constrained, layer, x) for step in (call, gradient)]
            print(f"p = q = {size}, n = 4, {law}: call {ratios[0]:.1f}, gradient {ratios[1]:.1f} of the layer's")


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
            start = time.perf_counter()
            jax.block_until_ready(step(timed, x))
            best[i] = min(best[i], time.perf_counter() - start)
    return best[0] / best[1]
