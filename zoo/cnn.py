"""Convolutional networks of matrix neurons."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox import nn
from matrinox.contract import AnyArray, contract
from matrinox.initializers import gain_of, variance_scaling
from matrinox.io.config import check_config
from matrinox.rand import KeyStream
from matrinox.zoo.architecture import Architecture


@dataclass(frozen=True)
class CNNConfig:
    """A CNN's sizes.

    **Arguments:** `height`, `width`, `channels`: of the images; `n`: side of a neuron; `stages`: the neurons of each
    convolution, grouped into stages, behind each of which a maximum over 2 × 2 halves the image; `kernel`: side of the
    convolutions; `classes`; `encoder`: how pixels become matrices, each pixel's n × n neighbourhood, or n × n patches
    that do not overlap; `dropout`: share of entries dropped before the read-out.
    **Raises:** `ValueError` for a value of another type, out of range or no encoder, if `stages` is empty or halves the
    image to nothing, or if patches do not fit the image.
    """

    height: int = field(default=8, metadata={"min": 1, "max": 4096})
    width: int = field(default=8, metadata={"min": 1, "max": 4096})
    channels: int = field(default=1, metadata={"min": 1, "max": 4096})
    n: int = field(default=2, metadata={"min": 1, "max": 64})
    stages: tuple[tuple[int, ...], ...] = field(default=((8, 8), (16, 12)), metadata={"min": 1, "max": 65536})
    kernel: int = field(default=3, metadata={"min": 1, "max": 63})
    classes: int = field(default=10, metadata={"min": 1, "max": 2**20})
    encoder: Literal["neighbourhoods", "patches"] = "neighbourhoods"
    dropout: float = field(default=0.0, metadata={"min": 0.0, "max": 0.99})

    def __post_init__(self):
        check_config(self)
        if not self.stages or not all(self.stages):
            raise ValueError(f"`stages` (={self.stages}) must hold neurons for each stage: such as ((8, 8), (16, 12)).")
        if self.encoder == "patches" and (self.height % self.n or self.width % self.n):
            raise ValueError(
                f"`height` (={self.height}) and `width` (={self.width}) must be divisible by `n` (={self.n}): "
                "choose such an n, or encoder='neighbourhoods'."
            )
        if min(self.map_size) < 1:
            raise ValueError(
                f"`stages` (={self.stages}) leave nothing of {self.height} × {self.width} pixels: use fewer stages."
            )

    @property
    def map_size(self) -> tuple[int, int]:
        """Height and width of what the read-out sees."""
        shrink = 2 ** len(self.stages) * (self.n if self.encoder == "patches" else 1)
        return self.height // shrink, self.width // shrink


@contract
class CNN(Architecture):
    """Images to logits: pixels → matrices → stages of convolution, relu and pooling → `logit_c = tr(Σ W_c @ x + B_c)`.

    The read-out is a convolution over all that is left of the image, then the trace: any linear map of all entries.

    **Arguments:** `config`; `key`: for the initial weights.
    **Raises:** `ValueError` if the config's sizes do not fit together.
    """

    config: CNNConfig = eqx.field(static=True)

    def __init__(self, config: CNNConfig, *, key: PRNGKeyArray):
        keys = KeyStream(key)
        encoder = nn.EmbedPixels(config.n) if config.encoder == "neighbourhoods" else nn.Patches(config.n)
        initializer = variance_scaling(gain_of("relu"))
        layers: list[Callable[..., Any]] = [encoder]
        p = config.channels
        for stage, widths in enumerate(config.stages):
            for depth, (p_in, q) in enumerate(pairwise((p, *widths))):
                layers += [
                    nn.Conv2d(
                        p=p_in,
                        q=q,
                        n=config.n,
                        kernel=config.kernel,
                        padding="SAME",
                        initializer=initializer,
                        key=keys.key(f"stages[{stage}][{depth}]"),
                    ),
                    nn.ReLU(),
                ]
            layers.append(nn.MaxPool2d(2))
            p = widths[-1]
        if config.dropout:
            layers.append(nn.Dropout(config.dropout))
        read_out = nn.Conv2d(p=p, q=config.classes, n=config.n, kernel=config.map_size, key=keys.key("read-out"))
        self.body = nn.Sequential(layers)
        self.head = nn.Sequential([read_out, nn.GlobalAvgPool2d(), nn.Trace()])
        self.config = config

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """The shape of one input: `(height, width, channels)`."""
        return self.config.height, self.config.width, self.config.channels

    def __call__(
        self,
        x: Float[AnyArray, "*batch {self.config.height} {self.config.width} {self.config.channels}"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch {self.config.classes}"]:
        """The logits of images.

        **Arguments:** `x`: `(*batch, height, width, channels)`; `key`: for dropout, while training.
        **Returns:** `(*batch, classes)`.
        **Raises:** `ContractError` if `x` has other sizes than the config.
        """
        return self.logits(x, key=key)


PRESETS: Mapping[str, CNNConfig] = MappingProxyType({"cnn-digits": CNNConfig()})
"""Config by the name of the entry."""
