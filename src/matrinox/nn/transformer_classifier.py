"""`TransformerClassifier`: a transformer encoder and a head that gives a logit for each class."""

import math
from typing import Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.initializers import Initializer, lecun_normal
from matrinox.nn.activation_choice import Activation
from matrinox.nn.child import Layer
from matrinox.nn.head import ClassificationHead, FlattenLinear
from matrinox.nn.linear import check_sizes
from matrinox.nn.norm_choice import Norm
from matrinox.nn.position import LearnedPosition, SinusoidalPosition
from matrinox.nn.transformer_stack import TransformerEncoder

Readout = Literal["mean", "first", "flatten"]
Position = Literal["learned", "sinusoidal"]


@contract
class TransformerClassifier(eqx.Module):
    """Positions, a transformer encoder, and a logit for each class: `(*batch, t, p, n, n)` to `(*batch, classes)`.

    **Arguments:** `p`, `n`: neurons of a token, and matrix side; `classes`: how many; `layers`: how many blocks;
    `readout`: what the head takes, the `"mean"` of the tokens, the `"first"` of them or all in a row, by `"flatten"`,
    which then are always `length`; `position`: what tells the tokens their places, `"sinusoidal"`, `"learned"` for at
    most `length` tokens, a layer or a function of your own, or `None`, with which their order counts for nothing unless
    `rotary` or `causal` tell it; `length`: see these two; all else as for `TransformerEncoder`.
    **Raises:** as `TransformerEncoder`; `ValueError` for `classes` below 1, and for a `length` that is missing.
    **Source:** TorchLean, transformer classifier; `ClassificationHead`, and `FlattenLinear` behind `"flatten"`.

    >>> import jax, jax.numpy as jnp
    >>> model = TransformerClassifier(p=4, n=3, classes=5, layers=2, heads=2, key=jax.random.key(0))
    >>> model(jnp.ones((32, 10, 4, 3, 3))).shape
    (32, 5)
    """

    position: Layer | None
    encoder: TransformerEncoder
    head: ClassificationHead | FlattenLinear
    readout: Readout = eqx.field(static=True)

    def __init__(
        self,
        p: int,
        n: int,
        classes: int,
        *,
        layers: int,
        heads: int,
        readout: Readout = "mean",
        position: Position | Layer | None = "sinusoidal",
        length: int | None = None,
        hidden: int | None = None,
        activation: Activation = "gelu",
        norm: Norm = "layer",
        pre_norm: bool = True,
        dropout: float = 0.0,
        causal: bool = False,
        rotary: bool | float = False,
        kv_heads: int | None = None,
        head_size: int | None = None,
        chunk: int | None = None,
        use_bias: bool = True,
        checkpoint: bool = False,
        unroll: int | bool = 1,
        initializer: Initializer | None = None,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(classes=classes, **({} if length is None else {"length": length}))
        position_key, encoder_key, head_key = jax.random.split(key, 3)
        if length is None:
            for name, choice in (("position", position), ("readout", readout)):
                if isinstance(choice, str) and choice in ("learned", "flatten"):
                    raise ValueError(f"`length` (=None) must be given for `{name}` (={choice!r}): count the tokens.")
        if position == "learned" and length is not None:
            self.position = LearnedPosition(length, p, n, dtype=dtype, key=position_key)
        else:
            self.position = SinusoidalPosition() if isinstance(position, str) else position
        self.encoder = TransformerEncoder(
            *(p, n),
            layers=layers,
            heads=heads,
            hidden=hidden,
            activation=activation,
            norm=norm,
            pre_norm=pre_norm,
            dropout=dropout,
            causal=causal,
            rotary=rotary,
            kv_heads=kv_heads,
            head_size=head_size,
            chunk=chunk,
            use_bias=use_bias,
            checkpoint=checkpoint,
            unroll=unroll,
            initializer=initializer,
            dtype=dtype,
            key=encoder_key,
        )
        options = {"use_bias": use_bias, "initializer": initializer or lecun_normal, "dtype": dtype, "key": head_key}
        if readout == "flatten" and length is not None:
            self.head = FlattenLinear(length * p, classes, n, **options)
        else:
            self.head = ClassificationHead(p, classes, n, **options)
        self.readout = readout

    @property
    def p(self) -> int:
        """Neurons of a token."""
        return self.encoder.p

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.encoder.n

    @property
    def classes(self) -> int:
        """How many logits there are."""
        return self.head.features if isinstance(self.head, FlattenLinear) else self.head.classes

    @property
    def length(self) -> int | None:
        """How many tokens there always are, where the head takes all in a row."""
        return self.head.p // self.p if isinstance(self.head, FlattenLinear) else None

    @property
    def taken(self) -> str:
        """The axes of an example, with the sizes that are fixed: `"t p=4 n=3 n=3"`."""
        # Of what the options of a `Lazy` tell too, before there is a head.
        t = f"t={self.length}" if self.readout == "flatten" else "t"
        return f"{t} p={self.p} n={self.n} n={self.n}"

    def __call__(
        self,
        x: Float[AnyArray, "*batch {self.taken}"],
        *,
        valid: Bool[AnyArray, "*batch t"] | None = None,
        mask: Bool[AnyArray, "..."] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch {self.classes}"]:
        """The logits.

        **Arguments:** `x`: `(*batch, t, p, n, n)`; `valid`: `(*batch, t)`, False for padding, which no token attends to
        and which the head does not see; `mask`: True where a key takes part, broadcast to `(*batch, heads, t, t)`;
        `key`: needed in training if there is dropout.
        **Returns:** `(*batch, classes)`.
        **Raises:** `ContractError` for other axes; `ValueError` if dropout has no key.
        """
        x = jnp.asarray(x)
        if self.position is not None:
            x = self.position(x)
        if valid is not None:
            takes_part = jnp.asarray(valid)[..., None, None, :]
            mask = takes_part if mask is None else takes_part & mask
            # A weight of 0 keeps no NaN out: what padding holds is taken away before.
            x = _where(valid, x)
        y = self.encoder(x, mask=mask, key=key)
        if self.readout == "first":
            return self.head(y[..., 0, :, :, :])
        if valid is not None:
            y = _where(valid, y)
        if self.readout == "flatten":
            return self.head(y.reshape(*y.shape[:-4], math.prod(y.shape[-4:-2]), *y.shape[-2:]))
        count = y.shape[-4] if valid is None else jnp.maximum(jnp.sum(valid, axis=-1), 1)[..., None, None, None]
        total = jnp.sum(y, axis=-4, dtype=jnp.promote_types(y.dtype, jnp.float32))
        return self.head((total / count).astype(y.dtype))


def _where(valid: AnyArray, x: AnyArray) -> Array:
    return jnp.where(jnp.asarray(valid)[..., None, None, None], x, 0)
