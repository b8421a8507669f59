"""Transformers of matrix neurons."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

import equinox as eqx
from jaxtyping import Array, Float, Integer, PRNGKeyArray

from matrinox import nn
from matrinox.contract import AnyArray, contract
from matrinox.functional.multihead import require_heads
from matrinox.io.config import check_config
from matrinox.rand import KeyStream
from matrinox.zoo.architecture import Architecture


@dataclass(frozen=True)
class TransformerConfig:
    """A transformer's sizes.

    **Arguments:** `shape`: of one input, `(height, width, channels)` of an image, of which each pixel's n × n
    neighbourhood is a token, `(tokens, neurons, n, n)` of matrices, or `(tokens,)` of ids; `vocabulary`: how many ids
    there are, or `None` for images and matrices; `n`, `p`: side and neurons of a token within; `layers`: how many
    blocks; `heads`: of the attention; `hidden`: neurons of the feed-forward layers; `position`: what tells tokens their
    places, a `"learned"` row for each, which is added, `"rotary"` attention, or `None`, with which their order counts
    for nothing; `causal`: whether a token sees none behind it, and each is read, as of a language model, rather than
    the mean of all; `classes`: what comes out.
    **Raises:** `ValueError` for a value of another type or out of range, for a `shape` that is none of these, or if
    `heads` does not divide `p`.
    """

    shape: tuple[int, ...] = field(default=(8, 8, 1), metadata={"min": 1, "max": 2**20})
    vocabulary: int | None = field(default=None, metadata={"min": 1, "max": 2**20})
    n: int = field(default=3, metadata={"min": 1, "max": 64})
    p: int = field(default=8, metadata={"min": 1, "max": 65536})
    layers: int = field(default=3, metadata={"min": 1, "max": 1024})
    heads: int = field(default=2, metadata={"min": 1, "max": 65536})
    hidden: int = field(default=16, metadata={"min": 1, "max": 2**20})
    position: Literal["learned", "rotary"] | None = "learned"
    causal: bool = False
    classes: int = field(default=10, metadata={"min": 1, "max": 2**20})

    def __post_init__(self):
        check_config(self)
        due = f"(height, width, channels) or (tokens, neurons, {self.n}, {self.n})"
        fits = self.is_image or (len(self.shape) == 4 and self.shape[2:] == (self.n, self.n))
        if self.vocabulary is not None:
            due, fits = "(tokens,)", len(self.shape) == 1
        if not fits:
            raise ValueError(f"`shape` (={self.shape}) with `vocabulary` (={self.vocabulary}) must be {due}.")
        require_heads(self.heads, self.p)

    @property
    def is_image(self) -> bool:
        """Whether an input is an image, and not ids or matrices."""
        return len(self.shape) == 3

    @property
    def tokens(self) -> int:
        """How many tokens an input has."""
        return math.prod(self.shape[:2]) if self.is_image else self.shape[0]


@contract
class Transformer(Architecture):
    """Tokens to logits: into p neurons → blocks of attention and a feed-forward layer → `logit_c = ⟨W_c, x⟩ + b_c`.

    A dense layer maps every column of its matrices alike and mixes none with another. Columns meet within the
    feed-forward layers, where neurons are transposed behind the activation, in the scores of the attention, which are
    of whole matrices, and in the read-out, any linear map of all entries. A causal model of ids can also step: what it
    keeps of the tokens before are their keys and values.

    **Arguments:** `config`; `key`: for the initial weights.
    **Raises:** `ContractError` if `config` is no `TransformerConfig`.
    """

    config: TransformerConfig = eqx.field(static=True)

    def __init__(self, config: TransformerConfig, *, key: PRNGKeyArray):
        keys = KeyStream(key)
        p, n = config.p, config.n
        layers: list[Callable[..., Any]]
        if config.vocabulary is not None:
            layers = [nn.Embedding(vocabulary=config.vocabulary, p=p, n=n, key=keys.key("embedding"))]
        elif config.is_image:
            to_tokens = nn.Dense(p=config.shape[-1], q=p, n=n, key=keys.key("tokens"))
            layers = [nn.EmbedPixels(n), nn.FlattenSpace(), to_tokens]
        else:
            layers = [nn.Dense(p=config.shape[1], q=p, n=n, key=keys.key("tokens"))]
        if config.position == "learned":
            layers.append(nn.LearnedPosition(length=config.tokens, p=p, n=n, key=keys.key("position")))
        layers.append(
            nn.TransformerEncoder(
                p=p,
                n=n,
                layers=config.layers,
                heads=config.heads,
                hidden=config.hidden,
                activation=nn.Sequential([nn.GELU(), nn.Transpose()]),
                norm="rms",
                causal=config.causal,
                rotary=config.position == "rotary",
                use_bias=False,
                # A loop over blocks within the loop over steps takes a CPU twice as long.
                unroll=True,
                key=keys.key("blocks"),
            )
        )
        if not config.causal:
            layers.append(nn.GlobalAvgPool1d())
        self.body = nn.Sequential(layers)
        self.head = nn.Sequential([nn.FlattenLinear(p=p, features=config.classes, n=n, key=keys.key("read-out"))])
        self.config = config

    @property
    def input_shape(self) -> tuple[int, ...]:
        """The shape of one input; of ids and matrices, a call may take fewer or more tokens."""
        return self.config.shape

    @property
    def values(self) -> int | str:
        """The axes of one input of floats: an image, matrices, or a share of each token."""
        shape = self.config.shape
        if self.config.vocabulary is not None:
            return super().values
        if self.config.is_image:
            return f"h={shape[0]} w={shape[1]} channels={shape[2]}"
        return f"t p={shape[1]} n={shape[2]} n={shape[3]}"

    @property
    def outputs(self) -> int | str:
        """The axes of what is read of one input: the classes, of each token where each is read."""
        if not self.config.causal:
            return self.config.classes
        return f"{self.config.tokens if self.config.is_image else 't'} classes={self.config.classes}"

    def __call__(
        self,
        x: Float[AnyArray, "*batch {self.values}"] | Integer[AnyArray, "*batch t"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch {self.outputs}"]:
        """The logits.

        **Arguments:** `x`: images `(*batch, height, width, channels)`, matrices `(*batch, t, neurons, n, n)`, or ids
        `(*batch, t)` and distributions over them `(*batch, t, vocabulary)`, of any number t, up to that of learned
        positions; `key`: not used.
        **Returns:** `(*batch, classes)`, or of each token `(*batch, t, classes)`.
        **Raises:** `ContractError` if `x` has other sizes than the config; `ValueError` for an id that is none, and
        for more tokens than learned positions.
        """
        return self._logits(x, key)


PRESETS: Mapping[str, TransformerConfig] = MappingProxyType(
    {
        "transformer-xor": TransformerConfig(
            shape=(7, 3, 2, 2), n=2, p=8, layers=2, heads=2, hidden=16, position=None, classes=2
        ),
        "vit-digits": TransformerConfig(),
        "gpt-shakespeare": TransformerConfig(
            shape=(128,),
            vocabulary=65,
            n=2,
            p=32,
            layers=4,
            heads=4,
            hidden=128,
            position="rotary",
            causal=True,
            classes=65,
        ),
    }
)
"""Config by the name of the entry."""
