"""A small architecture with one of everything, for the tests of model files and for the processes they start."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

ACTIVATIONS = {"relu": jax.nn.relu, "tanh": jnp.tanh}


@dataclass(frozen=True)
class TinyConfig:
    depth: int = field(default=2, metadata={"min": 1})
    p: int = field(default=2, metadata={"min": 1, "max": 60_000})
    n: int = field(default=2, metadata={"min": 1, "max": 64})
    activation: Literal["relu", "tanh"] = "relu"
    rate: float = field(default=0.25, metadata={"min": 0.0, "max": 1.0})
    kernel: tuple[int, ...] = ()


class TinyLayer(eqx.Module):
    weight: Float[Array, "q p n n"]
    bias: Float[Array, "q n n"] | None

    def __init__(self, p: int, n: int, *, key: Array):
        self.weight = jax.random.normal(key, (p, p, n, n))
        self.bias = jnp.zeros((p, n, n))


class TinyNet(eqx.Module):
    layers: tuple[TinyLayer, ...]
    head: Float[Array, " p"]
    rate: float
    inference: bool
    activation: Callable[[Array], Array]
    scaled: Callable[[Array], Array]
    config: TinyConfig = eqx.field(static=True)

    def __init__(self, config: TinyConfig, *, key: Array):
        keys = jax.random.split(key, config.depth + 1)
        self.layers = tuple(TinyLayer(config.p, config.n, key=keys[i + 1]) for i in range(config.depth))
        self.head = jax.random.normal(keys[0], (config.p,), jnp.bfloat16)
        self.rate = config.rate
        self.inference = False
        self.activation = ACTIVATIONS[config.activation]
        rate = config.rate
        self.scaled = lambda x: x * rate
        self.config = config


class TinyStateful(eqx.Module):
    norm: eqx.nn.BatchNorm
    weight: Float[Array, "p n n"]
    config: TinyConfig = eqx.field(static=True)

    def __init__(self, config: TinyConfig, *, key: Array):
        self.norm = eqx.nn.BatchNorm(config.p, "batch", mode="batch")
        self.weight = jax.random.normal(key, (config.p, config.n, config.n))
        self.config = config
