"""Multilayer perceptrons of matrix neurons."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox import nn
from matrinox.contract import AnyArray, contract
from matrinox.initializers import gain_of, variance_scaling
from matrinox.io.config import check_config
from matrinox.rand import KeyStream
from matrinox.zoo.architecture import Architecture


@dataclass(frozen=True)
class MLPConfig:
    """An MLP's sizes.

    **Arguments:** `features`: of an input; `n`: side of a neuron; `widths`: neurons of each hidden layer; `classes`;
    `transpose`: whether neurons are transposed behind each hidden layer, so that columns meet; `dropout`: share of
    entries dropped behind each hidden layer.
    **Raises:** `ValueError` for a value of another type or out of range, or if `widths` is empty.
    """

    features: int = field(default=64, metadata={"min": 1, "max": 2**24})
    n: int = field(default=4, metadata={"min": 1, "max": 64})
    widths: tuple[int, ...] = field(default=(16, 16), metadata={"min": 1, "max": 65536})
    classes: int = field(default=10, metadata={"min": 1, "max": 2**20})
    transpose: bool = True
    dropout: float = field(default=0.0, metadata={"min": 0.0, "max": 0.99})

    def __post_init__(self):
        check_config(self)
        if not self.widths:
            raise ValueError(f"`widths` (={self.widths}) must hold at least one hidden layer: such as (16, 16).")


@contract
class MLP(Architecture):
    """Features to logits: folded into matrices → dense layers and relu → `logit_c = tr(Σ_p W_cp @ x_p + B_c)`.

    A dense layer maps every column of its matrices alike and mixes none with another; a transpose behind each hidden
    layer lets columns meet at no cost in parameters.

    **Arguments:** `config`; `key`: for the initial weights.
    **Raises:** `ContractError` if `config` is no `MLPConfig`.
    """

    config: MLPConfig = eqx.field(static=True)

    def __init__(self, config: MLPConfig, *, key: PRNGKeyArray):
        keys = KeyStream(key)
        initializer = variance_scaling(gain_of("relu"))
        folded = -(-config.features // config.n**2)
        layers: list[Callable[..., Any]] = [nn.Fold(config.n)]
        for depth, (p, q) in enumerate(pairwise((folded, *config.widths))):
            dense_key = keys.key(f"widths[{depth}]")
            layers += [nn.Dense(p=p, q=q, n=config.n, initializer=initializer, key=dense_key), nn.ReLU()]
            if config.transpose:
                layers.append(nn.Lambda(jnp.matrix_transpose))
            if config.dropout:
                layers.append(nn.Dropout(config.dropout))
        read_out = nn.Dense(p=config.widths[-1], q=config.classes, n=config.n, key=keys.key("read-out"))
        self.body = nn.Sequential(layers)
        self.head = nn.Sequential([read_out, nn.Trace()])
        self.config = config

    @property
    def input_shape(self) -> tuple[int]:
        """The shape of one input: `(features,)`."""
        return (self.config.features,)

    def __call__(
        self, x: Float[AnyArray, "*batch {self.config.features}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.config.classes}"]:
        """The logits of rows of features.

        **Arguments:** `x`: `(*batch, features)`; `key`: for dropout, while training.
        **Returns:** `(*batch, classes)`.
        **Raises:** `ContractError` if `x` has another number of features.
        """
        return self.logits(x, key=key)


PRESETS: Mapping[str, MLPConfig] = MappingProxyType({"mlp-digits": MLPConfig()})
"""Config by the name of the entry."""
