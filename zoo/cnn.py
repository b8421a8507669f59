"""Convolutional networks of matrix neurons, of images and of signals, plain and residual."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
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

_CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d}
_POOLS = {1: nn.MaxPool1d, 2: nn.MaxPool2d}
_READS = {
    "mean": {1: nn.GlobalAvgPool1d, 2: nn.GlobalAvgPool2d},
    "max": {1: nn.GlobalMaxPool1d, 2: nn.GlobalMaxPool2d},
}


@dataclass(frozen=True)
class CNNConfig:
    """A CNN's sizes.

    **Arguments:** `shape`: of one input, `(height, width, channels)` of an image or `(length,)` of a signal; `n`: side
    of a neuron; `encoder`: how values become matrices: `"neighbourhoods"`, of each pixel n × n pixels and of each
    moment the last n, or `"patches"`, each n × n pixels or n² moments, which do not overlap; `stages`: the neurons of
    each block, grouped into stages; `block`: one convolution, or a `"residual"` one of two; `kernel`: side of the
    convolutions, 3 in residual blocks; `down`: how space is halved: by the maximum over 2 behind each stage, or by a
    stride of 2 at the start of each but the first; `norm`: what normalises each convolution before its activation;
    `transpose`: whether neurons are transposed behind each block, so that columns meet; `read`: what is read of the
    map that is left: the whole `"map"`, its `"mean"` or its `"max"`; `dense`: neurons of each dense layer behind that;
    `dropout`: share of entries dropped before the head; `classes`.
    **Raises:** `ValueError` for a value of another type, out of range or no choice, for another count of axes, if
    `stages` is empty or halves the space to nothing, if patches do not fit, and for dense layers behind a map or a
    `kernel` other than 3 in residual blocks.
    """

    shape: tuple[int, ...] = field(default=(8, 8, 1), metadata={"min": 1, "max": 4096})
    n: int = field(default=2, metadata={"min": 1, "max": 64})
    encoder: Literal["neighbourhoods", "patches"] = "neighbourhoods"
    stages: tuple[tuple[int, ...], ...] = field(default=((8, 8), (16, 12)), metadata={"min": 1, "max": 65536})
    block: Literal["plain", "residual"] = "plain"
    kernel: int = field(default=3, metadata={"min": 1, "max": 63})
    down: Literal["max", "stride"] = "max"
    norm: Literal["rms"] | None = None
    transpose: bool = False
    read: Literal["map", "mean", "max"] = "map"
    dense: tuple[int, ...] = field(default=(), metadata={"min": 1, "max": 65536})
    dropout: float = field(default=0.0, metadata={"min": 0.0, "max": 0.99})
    classes: int = field(default=10, metadata={"min": 1, "max": 2**20})

    def __post_init__(self):
        check_config(self)
        if len(self.shape) not in (1, 3):
            raise ValueError(f"`shape` (={self.shape}) must be of a signal or an image: such as (40,) or (28, 28, 1).")
        if not self.stages or not all(self.stages):
            raise ValueError(f"`stages` (={self.stages}) must hold neurons for each stage: such as ((8, 8), (16, 12)).")
        if self.encoder == "patches" and any(size % self.patch for size in self.space):
            raise ValueError(
                f"`shape` (={self.shape}) must be divisible along each axis of space by {self.patch}, a patch's side: "
                "choose such an n, or encoder='neighbourhoods'."
            )
        if min(self.map_size) < 1:
            raise ValueError(f"`stages` (={self.stages}) leave nothing of {self.space}: use fewer stages.")
        if self.dense and self.read == "map":
            raise ValueError(f"`dense` (={self.dense}) must be () where the map is read: choose read='mean'.")
        if self.block == "residual" and self.kernel != 3:
            raise ValueError(f"`kernel` (={self.kernel}) must be 3 in residual blocks: choose 3, or block='plain'.")

    @property
    def space(self) -> tuple[int, ...]:
        """The sizes of the axes of space: height and width, or length."""
        return self.shape[:2]

    @property
    def patch(self) -> int:
        """Along each axis of space, the side of what one neuron of the encoder stands for."""
        if self.encoder == "neighbourhoods":
            return 1
        return self.n ** (3 - len(self.space))

    @property
    def map_size(self) -> tuple[int, ...]:
        """The space of what is read."""
        sizes = [size // self.patch for size in self.space]
        if self.down == "max":
            return tuple(size // 2 ** len(self.stages) for size in sizes)
        return tuple(-(-size // 2 ** (len(self.stages) - 1)) for size in sizes)


@contract
class CNN(Architecture):
    """Images or signals to logits: values → matrices → stages of convolutions → what is left, or its mean → logits.

    Read as a map: a convolution over all of it, then the trace, `logit_c = tr(Σ W_c @ x + B_c)`: any linear map of all
    entries. Read as its mean or maximum: dense layers, if any, then a `ClassificationHead`.

    **Arguments:** `config`; `key`: for the initial weights.
    **Raises:** `ContractError` if `config` is no `CNNConfig`.
    """

    config: CNNConfig = eqx.field(static=True)

    def __init__(self, config: CNNConfig, *, key: PRNGKeyArray):
        keys = KeyStream(key)
        axes, n = len(config.space), config.n
        initializer = variance_scaling(gain_of("relu"))
        layers, p = _encoder(config), 1 if axes == 1 else config.shape[2]
        for stage, widths in enumerate(config.stages):
            for depth, (p_in, q) in enumerate(pairwise((p, *widths))):
                stride = 2 if config.down == "stride" and stage and not depth else 1
                layers.append(_block(config, p_in, q, stride, key=keys.key(f"stages[{stage}][{depth}]")))
                if config.transpose:
                    layers.append(nn.Transpose())
            if config.down == "max":
                layers.append(_POOLS[axes](2))
            p = widths[-1]
        if config.read != "map":
            layers.append(_READS[config.read][axes]())
        for depth, (p_in, q) in enumerate(pairwise((p, *config.dense))):
            layers += [nn.Dense(p=p_in, q=q, n=n, initializer=initializer, key=keys.key(f"dense[{depth}]")), nn.ReLU()]
            if config.transpose:
                layers.append(nn.Transpose())
            p = q
        if config.dropout:
            layers.append(nn.Dropout(config.dropout))
        self.body = nn.Sequential(layers)
        if config.read == "map":
            read_out = _CONVOLUTIONS[axes](p, config.classes, n, kernel=config.map_size, key=keys.key("read-out"))
            self.head = nn.Sequential([read_out, _READS["mean"][axes](), nn.Trace()])
        else:
            head = nn.ClassificationHead(p=p, classes=config.classes, n=n, key=keys.key("read-out"))
            self.head = nn.Sequential([head])
        self.config = config

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input: `(height, width, channels)` or `(length,)`."""
        return self.config.shape

    @property
    def values(self) -> int | str:
        """The axes of one input."""
        if len(self.config.shape) == 1:
            return self.config.shape[0]
        height, width, channels = self.config.shape
        return f"height={height} width={width} channels={channels}"

    def __call__(
        self, x: Float[AnyArray, "*batch {self.values}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.config.classes}"]:
        """The logits of images or signals.

        **Arguments:** `x`: `(*batch, height, width, channels)` or `(*batch, length)`; `key`: for dropout, while
        training.
        **Returns:** `(*batch, classes)`.
        **Raises:** `ContractError` if `x` has other sizes than the config.
        """
        return self._logits(x, key)


def _encoder(config: CNNConfig) -> list[Callable[..., Any]]:
    n, by_patches = config.n, config.encoder == "patches"
    if len(config.space) == 2:
        return [nn.Patches(n) if by_patches else nn.EmbedPixels(n)]
    if by_patches:
        return [nn.Frames(n, config.shape, n**2)]
    return [nn.Lambda(_as_one_channel), nn.EmbedSequence(n)]


def _as_one_channel(x: Array) -> Array:
    return x[..., None]


def _block(config: CNNConfig, p: int, q: int, stride: int, *, key: PRNGKeyArray) -> Callable[..., Any]:
    block = {
        "plain": partial(nn.ConvNormAct, kernel=config.kernel, padding="SAME"),
        "residual": nn.BasicBlock,
    }[config.block]
    return block(
        *(p, q, config.n),
        axes=len(config.space),
        stride=stride,
        norm=config.norm,
        use_bias=config.norm is None,
        initializer=variance_scaling(gain_of("relu")),
        key=key,
    )


_mnist = partial(CNNConfig, shape=(28, 28, 1), n=2, encoder="patches", down="stride", read="mean")

PRESETS: Mapping[str, CNNConfig] = MappingProxyType(
    {
        "cnn-digits": CNNConfig(),
        "cnn-mnist-4k": _mnist(stages=((4,), (5, 6), (7,)), transpose=True),
        "cnn-mnist-10k": _mnist(stages=((6, 6), (8, 9), (10,)), transpose=True),
        "resnet-mnist": _mnist(stages=((6,), (10,), (20,)), transpose=True, block="residual", norm="rms"),
        "matcnn-mnist": _mnist(n=4, encoder="neighbourhoods", stages=((2,), (4,), (4, 4, 4)), dense=(32, 16, 8)),
        "cnn1d-mnist1d": CNNConfig(shape=(40,), stages=((16,), (24,), (32,)), kernel=5, transpose=True, read="max"),
    }
)
"""Config by the name of the entry."""
