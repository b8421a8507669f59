"""`TransformerEncoder` and `TransformerDecoder`: blocks in a row, compiled once, and what normalises behind them."""

from typing import Any

import equinox as eqx
import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from matrinox.contract import AnyArray, contract
from matrinox.initializers import Initializer
from matrinox.nn.activation_choice import Activation
from matrinox.nn.child import Layer
from matrinox.nn.linear import check_sizes
from matrinox.nn.norm_choice import Norm
from matrinox.nn.stack import Stack
from matrinox.nn.transformer import TransformerEncoderBlock
from matrinox.nn.transformer_block import branch_norm
from matrinox.nn.transformer_decoder import TransformerDecoderBlock


@contract
class _TransformerStack(eqx.Module):
    stack: Stack
    norm: Layer | None

    @property
    def blocks(self) -> tuple[Any, ...]:
        """The blocks, as they are kept in `stack.layers`."""
        return self.stack.layers

    @property
    def p(self) -> int:
        """Neurons of a token, in and out."""
        return self.blocks[0].p

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.blocks[0].n

    def _normalised(self, x: Array) -> Array:
        return x if self.norm is None else self.norm(x)


@contract
class TransformerEncoder(_TransformerStack):
    """Encoder blocks in a row, which compile as one: `(*batch, t, p, n, n)` to `(*batch, t, p, n, n)`.

    With `pre_norm` one more normalisation stands behind the last of them. With `causal=True` it is the body of a
    decoder-only language model, and can step token by token. Block i is `blocks[i]`, its path `stack.layers[i]`.

    **Arguments:** `layers`: how many blocks; `checkpoint`, `unroll`: as for `Stack`; all else as for
    `TransformerEncoderBlock`, whose `depth` is `layers`.
    **Raises:** as `TransformerEncoderBlock`; `ValueError` for `layers` or `unroll` below 1.
    **Source:** TorchLean, `transformerEncoderStack`; `torch.nn.TransformerEncoder`.

    >>> import jax, jax.numpy as jnp
    >>> encoder = TransformerEncoder(p=4, n=3, layers=6, heads=2, key=jax.random.key(0))
    >>> encoder(jnp.ones((32, 10, 4, 3, 3))).shape
    (32, 10, 4, 3, 3)
    >>> encoder.stack.layers[5].attention.query_proj.weight.shape
    (4, 4, 3, 3)
    """

    def __init__(
        self,
        p: int,
        n: int,
        *,
        layers: int,
        heads: int,
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
        check_sizes(p=p, n=n, layers=layers)
        blocks = [
            TransformerEncoderBlock(
                *(p, n),
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
                depth=layers,
                use_bias=use_bias,
                initializer=initializer,
                dtype=dtype,
                key=block_key,
            )
            for block_key in jax.random.split(key, layers)
        ]
        self.stack = Stack(blocks, checkpoint=checkpoint, unroll=unroll)
        self.norm = branch_norm(norm, p, n, dtype) if pre_norm else None

    def __call__(
        self,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        *,
        mask: Bool[AnyArray, "..."] | None = None,
        bias: Float[AnyArray, "..."] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch t {self.p} {self.n} {self.n}"]:
        """Applies the blocks in turn.

        **Arguments:** as for `TransformerEncoderBlock`; every block gets the same `mask` and `bias`, and a key of its
        own.
        **Returns:** `(*batch, t, p, n, n)`.
        **Raises:** as `TransformerEncoderBlock`, the path of a block beginning with `stack.layers[*]`.
        """
        return self._normalised(self.stack(x, mask=mask, bias=bias, key=key))

    def initial_cache(self, length: int, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None) -> PyTree:
        """An empty cache for `step`: that of a block, with an axis over the blocks in front of each array.

        **Arguments:** `length`: how many tokens it has room for; `batch_shape`: the leading axes of the tokens;
        `dtype`: of what is kept, that of the weights where `None`.
        **Returns:** a tree of arrays.
        **Raises:** `ValueError` for a size below 1, and without `causal=True`.
        """
        return self.stack.initial_cache(length, batch_shape, dtype)

    def step(
        self,
        cache: PyTree,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        *,
        mask: Bool[AnyArray, "..."] | None = None,
        bias: Float[AnyArray, "..."] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[PyTree, Float[Array, "*batch t {self.p} {self.n} {self.n}"]]:
        """The next tokens, one or more, which see those in the cache: equal to the call on all tokens at once.

        **Arguments:** `cache`: as `initial_cache` gives it, or the step before; `x`: `(*batch, t, p, n, n)`; `mask`,
        `bias`, `key`: as for the step of a block.
        **Returns:** `(cache, y)`, y `(*batch, t, p, n, n)`.
        **Raises:** as for a call; `ValueError` without `causal=True`.
        """
        cache, y = self.stack.step(cache, x, mask=mask, bias=bias, key=key)
        return cache, self._normalised(y)


@contract
class TransformerDecoder(_TransformerStack):
    """Decoder blocks in a row, which compile as one, all on the same memory: `(*batch, t, p, n, n)` to the same.

    With `pre_norm` one more normalisation stands behind the last of them. Block i is `blocks[i]`, its path
    `stack.layers[i]`.

    **Arguments:** `layers`: how many blocks; `checkpoint`, `unroll`: as for `Stack`; all else as for
    `TransformerDecoderBlock`, whose `depth` is `layers`.
    **Raises:** as `TransformerDecoderBlock`; `ValueError` for `layers` or `unroll` below 1.
    **Source:** `torch.nn.TransformerDecoder`.

    >>> import jax, jax.numpy as jnp
    >>> decoder = TransformerDecoder(p=4, n=3, layers=6, heads=2, memory=5, key=jax.random.key(0))
    >>> decoder(jnp.ones((32, 10, 4, 3, 3)), jnp.ones((32, 7, 5, 3, 3))).shape
    (32, 10, 4, 3, 3)
    """

    def __init__(
        self,
        p: int,
        n: int,
        *,
        layers: int,
        heads: int,
        memory: int | None = None,
        hidden: int | None = None,
        activation: Activation = "gelu",
        norm: Norm = "layer",
        pre_norm: bool = True,
        dropout: float = 0.0,
        causal: bool = True,
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
        check_sizes(p=p, n=n, layers=layers)
        blocks = [
            TransformerDecoderBlock(
                *(p, n),
                heads=heads,
                memory=memory,
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
                depth=layers,
                use_bias=use_bias,
                initializer=initializer,
                dtype=dtype,
                key=block_key,
            )
            for block_key in jax.random.split(key, layers)
        ]
        self.stack = Stack(blocks, checkpoint=checkpoint, unroll=unroll)
        self.norm = branch_norm(norm, p, n, dtype) if pre_norm else None

    @property
    def memory(self) -> int:
        """Neurons of the tokens of the memory."""
        return self.blocks[0].memory

    def __call__(
        self,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        memory: Float[AnyArray, "*batch s {self.memory} {self.n} {self.n}"],
        *,
        mask: Bool[AnyArray, "..."] | None = None,
        memory_mask: Bool[AnyArray, "..."] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch t {self.p} {self.n} {self.n}"]:
        """Applies the blocks in turn.

        **Arguments:** as for `TransformerDecoderBlock`; every block gets the same memory and masks, and a key of its
        own.
        **Returns:** `(*batch, t, p, n, n)`.
        **Raises:** as `TransformerDecoderBlock`, the path of a block beginning with `stack.layers[*]`.
        """
        return self._normalised(self.stack(x, memory, mask=mask, memory_mask=memory_mask, key=key))

    def initial_cache(
        self,
        memory: Float[AnyArray, "*batch s {self.memory} {self.n} {self.n}"],
        length: int,
        dtype: DTypeLike | None = None,
    ) -> PyTree:
        """A cache for `step`: that of a block, with an axis over the blocks in front of each array.

        **Arguments:** as for `TransformerDecoderBlock`.
        **Returns:** a tree of arrays.
        **Raises:** as for `TransformerDecoderBlock`.
        """
        return self.stack.initial_cache(memory, length, dtype)

    def step(
        self,
        cache: PyTree,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        *,
        mask: Bool[AnyArray, "..."] | None = None,
        memory_mask: Bool[AnyArray, "..."] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[PyTree, Float[Array, "*batch t {self.p} {self.n} {self.n}"]]:
        """The next tokens, one or more, which see those in the cache: equal to the call on all tokens at once.

        **Arguments:** `cache`: as `initial_cache` gives it, or the step before; `x`: `(*batch, t, p, n, n)`; all else
        as for the step of a block.
        **Returns:** `(cache, y)`, y `(*batch, t, p, n, n)`.
        **Raises:** as for a call; `ValueError` without `causal=True`.
        """
        cache, y = self.stack.step(cache, x, mask=mask, memory_mask=memory_mask, key=key)
        return cache, self._normalised(y)
