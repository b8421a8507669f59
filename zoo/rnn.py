"""Recurrent networks of matrix neurons."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import pairwise
from types import MappingProxyType
from typing import Any, Literal

import equinox as eqx
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from matrinox import nn
from matrinox.contract import AnyArray, contract
from matrinox.initializers import identity_plus_noise, orthogonal, rotations
from matrinox.io.config import check_config
from matrinox.rand import KeyStream
from matrinox.zoo.architecture import Architecture


@dataclass(frozen=True)
class RNNConfig:
    """An RNN's sizes.

    **Arguments:** `shape`: of one input, values or tokens; `frame`: values of a step, taken in order, as those of a row
    of an image; `stride`: from the start of a step to that of the next, less than `frame` where steps overlap, more
    where values between them are left out, and `frame` where `None`; `vocabulary`: how many tokens there are, each of
    them a step, or `None` for values; `embedding`: neurons of a token; `n`: side of a neuron; `cell`: what runs over
    the steps, `"scan"` for matrices that multiply and `"mamba"` for a diagonal state space; `widths`: neurons of each
    layer's state; `bidirectional`: whether each layer runs both ways, and gives twice as many; `transpose`: whether
    neurons are transposed between layers, so that columns meet; `dropout`: share of entries dropped behind each layer;
    `read`: what the head reads, the `"last"` step, the `"mean"` or `"max"` of the steps, or `"each"` step; `head`: a
    `"linear"` map of all entries, or distances to `"prototypes"`; `classes`.
    **Raises:** `ValueError` for a value of another type or out of range, if `shape` or `widths` is empty, or if the
    last step does not end where the values do.
    """

    shape: tuple[int, ...] = field(default=(40,), metadata={"min": 1, "max": 2**20})
    frame: int = field(default=1, metadata={"min": 1, "max": 2**20})
    stride: int | None = field(default=None, metadata={"min": 1, "max": 2**20})
    vocabulary: int | None = field(default=None, metadata={"min": 1, "max": 2**20})
    embedding: int = field(default=16, metadata={"min": 1, "max": 65536})
    n: int = field(default=2, metadata={"min": 1, "max": 64})
    cell: Literal["rnn", "gru", "lstm", "scan", "mamba"] = "lstm"
    widths: tuple[int, ...] = field(default=(32,), metadata={"min": 1, "max": 65536})
    bidirectional: bool = False
    transpose: bool = True
    dropout: float = field(default=0.0, metadata={"min": 0.0, "max": 0.99})
    read: Literal["last", "mean", "max", "each"] = "last"
    head: Literal["linear", "prototypes"] = "linear"
    classes: int = field(default=10, metadata={"min": 1, "max": 2**20})

    def __post_init__(self):
        check_config(self)
        if not self.widths:
            raise ValueError(f"`widths` (={self.widths}) must hold at least one layer: such as (32,).")
        framed = self.frame > 1 or self.stride is not None
        if not self.shape or (self.vocabulary is not None and (len(self.shape) > 1 or framed)):
            raise ValueError(
                f"`shape` (={self.shape}) with `frame` (={self.frame}) must be one axis or more of values, or one of "
                "tokens, each a frame: such as (40,)."
            )
        values = math.prod(self.shape)
        if self.frame > values or (values - self.frame) % (self.stride or self.frame):
            raise ValueError(
                f"`frame` (={self.frame}) with `stride` (={self.stride}) must end with the {values} values of `shape` "
                f"(={self.shape}): choose a frame that divides them, or a stride that divides those behind the first."
            )

    @property
    def steps(self) -> int:
        """Steps of an input of values, or tokens of one."""
        return (math.prod(self.shape) - self.frame) // (self.stride or self.frame) + 1


_CELLS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {
        "rnn": nn.RNNCell,
        "gru": partial(nn.GRUCell, reset_after=True),
        "lstm": partial(nn.LSTMCell, forget_bias=1.0),
    }
)


_READS: Mapping[str, Callable[..., Any]] = MappingProxyType(
    {"last": nn.LastStep, "mean": nn.GlobalAvgPool1d, "max": nn.GlobalMaxPool1d}
)


@contract
class RNN(Architecture):
    """Sequences to logits: values or tokens → matrices, step by step → recurrent layers → `logit_c = ⟨W_c, x⟩ + b_c`.

    A cell maps every column of its matrices alike and mixes none with another; a transpose between layers lets columns
    meet, and so does the read-out, any linear map of all entries. A model of tokens that reads each step forward can
    also step: what it keeps of the tokens before is the state of its cells.

    **Arguments:** `config`; `key`: for the initial weights.
    **Raises:** `ContractError` if `config` is no `RNNConfig`.
    """

    config: RNNConfig = eqx.field(static=True)

    def __init__(self, config: RNNConfig, *, key: PRNGKeyArray):
        keys = KeyStream(key)
        layers: list[Callable[..., Any]]
        if config.vocabulary is None:
            p = -(-config.frame // config.n**2)
            layers = [nn.Frames(config.n, config.shape, config.frame, config.stride)]
        else:
            p = config.embedding
            # A token of a scan is a rotation to multiply by, and no mirror, which training could not undo.
            drawn: dict[str, Any] = {"initializer": rotations} if config.cell == "scan" else {}
            layers = [nn.Embedding(vocabulary=config.vocabulary, p=p, n=config.n, **drawn, key=keys.key("embedding"))]
        ways = 2 if config.bidirectional else 1
        for depth, (p_in, q) in enumerate(pairwise((p, *config.widths))):
            if depth > 0 and config.transpose:
                layers.append(nn.Transpose())
            layers.append(_recurrent(config, p_in if depth == 0 else ways * p_in, q, keys, f"widths[{depth}]"))
            if config.dropout:
                layers.append(nn.Dropout(config.dropout))
        if config.read != "each":
            layers.append(_READS[config.read]())
        sizes = {"p": ways * config.widths[-1], "n": config.n, "key": keys.key("read-out")}
        if config.head == "linear":
            read_out = nn.FlattenLinear(features=config.classes, **sizes)
        else:
            # Logits that are nearly alike at first let states find their places before they are told apart.
            read_out = nn.Prototypes(classes=config.classes, scale=0.1, initializer=rotations, **sizes)
        self.body = nn.Sequential(layers)
        self.head = nn.Sequential([read_out])
        self.config = config

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input: that of the values, or `(tokens,)`, of which a call may take fewer or more."""
        return self.config.shape

    @property
    def outputs(self) -> int | str:
        """The axes of what is read of one input: the classes, of each step where each is read."""
        if self.config.read != "each":
            return self.config.classes
        steps = self.config.steps if self.config.vocabulary is None else "t"
        return f"{steps} classes={self.config.classes}"

    def __call__(
        self,
        x: Float[AnyArray, "*batch {self.values}"] | Integer[AnyArray, "*batch t"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch {self.outputs}"]:
        """The logits of sequences.

        **Arguments:** `x`: values `(*batch, *shape)`; or tokens, ids `(*batch, t)`, of any number t, or distributions
        over them `(*batch, t, vocabulary)`; `key`: for dropout, while training.
        **Returns:** `(*batch, classes)`, or of each step `(*batch, t, classes)`.
        **Raises:** `ContractError` if `x` has other sizes than the config.
        """
        return self._logits(x, key)


def _recurrent(config: RNNConfig, p: int, q: int, keys: KeyStream, name: str) -> Callable[..., Any]:
    def run(way: str) -> Any:
        reverse, sizes = way == "backward", {"p": p, "q": q, "n": config.n, "key": keys.key(f"{name}.{way}")}
        if config.cell == "mamba":
            # Step by step, as on a CPU all steps at once take longer.
            return nn.Mamba(**sizes, reverse=reverse, method="sequential")
        if config.cell == "scan":
            # Transitions start as what comes in, which the I that is added would draw together.
            options = {"use_input": False, "use_bias": False, "noise": 4.0, "initializer": identity_plus_noise(0.0)}
            return nn.MatrixScan(**sizes, **options, reverse=reverse)
        # A state that is turned, and not scaled, lasts: Saxe et al. 2014, arXiv 1312.6120.
        cell = _CELLS[config.cell](**sizes, hidden_initializer=orthogonal())
        return nn.Recurrent(cell, reverse=reverse)

    return nn.Bidirectional(run("forward"), run("backward")) if config.bidirectional else run("forward")


_MNIST1D = RNNConfig(shape=(40,), frame=8, stride=2, cell="gru", widths=(16, 16), bidirectional=True, read="max")

PRESETS: Mapping[str, RNNConfig] = MappingProxyType(
    {
        "gru-mnist1d": _MNIST1D,
        "rnn-mnist1d": replace(_MNIST1D, cell="rnn", widths=(24,)),
        "lstm-rows-mnist": RNNConfig(shape=(28, 28, 1), frame=28, widths=(32, 32), read="mean"),
        "charlm-lstm": RNNConfig(shape=(128,), vocabulary=65, embedding=16, widths=(64, 64), read="each", classes=65),
        "scan-a5": RNNConfig(
            shape=(32,),
            vocabulary=60,
            embedding=4,
            n=3,
            cell="scan",
            widths=(4,),
            read="each",
            head="prototypes",
            classes=60,
        ),
    }
)
"""Config by the name of the entry."""
