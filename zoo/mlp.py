"""Multilayer perceptrons of matrix neurons, and linear models, which have no hidden layer."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox import nn
from matrinox.contract import AnyArray, contract
from matrinox.data import Normalize
from matrinox.data.examples import Examples
from matrinox.initializers import gain_of, variance_scaling
from matrinox.io.config import check_config
from matrinox.nn.norm_choice import norm_of
from matrinox.rand import KeyStream
from matrinox.zoo.architecture import Architecture


@dataclass(frozen=True)
class MLPConfig:
    """An MLP's sizes.

    **Arguments:** `features`: of an input, how many there are in a row, or the axes of an image, whose values are taken
    in order; `n`: side of a neuron; `widths`: neurons of each hidden layer, none for a linear model; `classes`: or
    numbers of a regression; `transpose`: whether neurons are transposed behind each hidden layer, so that columns meet;
    `norm`: what normalises each hidden layer before its activation; `dropout`: share of neurons dropped behind each
    hidden layer; `normalize`: whether features of a row come as they are measured, and the model brings them to mean 0
    and variance 1, by numbers of the train part.
    **Raises:** `ValueError` for a value of another type or out of range, or if `features` has no axes.
    """

    features: int | tuple[int, ...] = field(default=64, metadata={"min": 1, "max": 2**24})
    n: int = field(default=4, metadata={"min": 1, "max": 64})
    widths: tuple[int, ...] = field(default=(16, 16), metadata={"min": 1, "max": 65536})
    classes: int = field(default=10, metadata={"min": 1, "max": 2**20})
    transpose: bool = True
    norm: Literal["layer", "rms"] | None = None
    dropout: float = field(default=0.0, metadata={"min": 0.0, "max": 0.99})
    normalize: bool = False

    def __post_init__(self):
        check_config(self)
        if not self.shape:
            raise ValueError("`features` (=()) must have an axis: such as 64, or (28, 28, 1).")

    @property
    def shape(self) -> tuple[int, ...]:
        """The axes of one input."""
        return (self.features,) if isinstance(self.features, int) else self.features


@contract
class MLP(Architecture):
    """Features to logits: folded into matrices → dense layers and relu → `logit_c = tr(Σ_p W_cp @ x_p + B_c)`.

    A dense layer maps every column of its matrices alike and mixes none with another; a transpose behind each hidden
    layer lets columns meet at no cost in parameters. Without hidden layers it is any linear map of all features.

    **Arguments:** `config`; `key`: for the initial weights.
    **Raises:** `ContractError` if `config` is no `MLPConfig`.
    """

    config: MLPConfig = eqx.field(static=True)

    def __init__(self, config: MLPConfig, *, key: PRNGKeyArray):
        keys = KeyStream(key)
        initializer = variance_scaling(gain_of("relu"))
        values = math.prod(config.shape)
        layers: list[Callable[..., Any]] = [Normalize.identity(*config.shape)] if config.normalize else []
        # An image is one frame, the first and the last.
        is_row = len(config.shape) == 1
        layers += [nn.Fold(config.n)] if is_row else [nn.Frames(config.n, config.shape, values), nn.LastStep()]
        sizes = -(-values // config.n**2), *config.widths
        for depth, (p, q) in enumerate(pairwise(sizes)):
            dense_key = keys.key(f"widths[{depth}]")
            layers.append(nn.Dense(p=p, q=q, n=config.n, initializer=initializer, key=dense_key))
            layers += [*norm_of(config.norm, q, config.n), nn.ReLU()]
            if config.transpose:
                layers.append(nn.Transpose())
            if config.dropout:
                layers.append(nn.Dropout(config.dropout, neurons=True))
        read_out = nn.Dense(p=sizes[-1], q=config.classes, n=config.n, key=keys.key("read-out"))
        self.body = nn.Sequential(layers)
        self.head = nn.Sequential([read_out, nn.Trace()])
        self.config = config

    def fitted(self, train: Examples) -> "MLP":
        """The model with what it normalises by, of the train part.

        **Arguments:** `train`: the train part.
        **Returns:** the model, itself where it does not normalise.
        **Raises:** `ValueError` for inputs that are not finite, or of another shape.
        """
        if not self.config.normalize:
            return self
        found = Normalize.fit(train)
        if found.offset.shape != self.input_shape:
            raise ValueError(
                f"`train` (={train.name!r}) has inputs of {found.offset.shape}, which must be of {self.input_shape}: "
                "give the data that the model is for, or choose `features` as they are."
            )
        return eqx.tree_at(lambda model: model.body.layers[0].bits, self, found.bits)

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input: `(features,)`, or that of an image."""
        return self.config.shape

    def __call__(
        self, x: Float[AnyArray, "*batch {self.values}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.config.classes}"]:
        """The logits of features.

        **Arguments:** `x`: `(*batch, features)`, or images; `key`: for dropout, while training.
        **Returns:** `(*batch, classes)`.
        **Raises:** `ContractError` if `x` has another number of features.
        """
        return self._logits(x, key)


PRESETS: Mapping[str, MLPConfig] = MappingProxyType(
    {
        "linear-diabetes": MLPConfig(features=10, n=2, widths=(), classes=1, normalize=True),
        "mlp-3-breast-cancer": MLPConfig(features=30, n=2, widths=(16, 16, 16), classes=2, dropout=0.2, normalize=True),
        "mlp-7-digits": MLPConfig(features=(8, 8, 1), n=4, widths=(16,) * 7, norm="rms"),
        "mlp-digits": MLPConfig(),
        "mlp-mnist": MLPConfig(features=(28, 28, 1), n=2, widths=(160, 160), dropout=0.1),
    }
)
"""Config by the name of the entry."""
