"""`TransformerDecoderBlock`: self-attention, attention to a memory, and a feed-forward layer."""

from typing import NamedTuple

import jax
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.initializers import Initializer, lecun_normal
from matrinox.nn.activation_choice import Activation
from matrinox.nn.attention import MultiheadAttention
from matrinox.nn.cache import KVCache, KVMemory
from matrinox.nn.child import Layer, split_key
from matrinox.nn.dropout import Dropout
from matrinox.nn.linear import check_sizes
from matrinox.nn.norm_choice import Norm
from matrinox.nn.transformer_block import (
    BaseTransformerBlock,
    branch_norm,
    feed_forward_of,
    last_of_attention,
    last_of_mlp,
    shrunk,
)


class DecoderCache(NamedTuple):
    """What a decoder block keeps from step to step: of the tokens so far, and of the memory, which stays."""

    tokens: KVCache
    memory: KVMemory


@contract
class TransformerDecoderBlock(BaseTransformerBlock):
    """Tokens that attend to earlier ones, then to a memory, then a feed-forward layer: `(*batch, t, p, n, n)` kept.

    `x ← x + attention(norm(x))`, `x ← x + cross_attention(norm(x), memory)`, `x ← x + feed_forward(norm(x))`, or with
    the normalisation behind each sum, as in `TransformerEncoderBlock`. The memory is what an encoder gives.

    **Arguments:** `memory`: neurons of the tokens of the memory, p where `None`; `causal`: whether a token sees only
    those up to itself; `chunk`, `kv_heads`, `head_size`: of both attentions; `rotary`: of that of the tokens alone;
    `depth`: as for `TransformerEncoderBlock`, with three branches; all else as there.
    **Raises:** as `TransformerEncoderBlock`.
    **Source:** Vaswani et al. 2017, arXiv 1706.03762; `torch.nn.TransformerDecoderLayer`.

    >>> import jax, jax.numpy as jnp
    >>> block = TransformerDecoderBlock(p=4, n=3, heads=2, memory=6, key=jax.random.key(0))
    >>> block(jnp.ones((32, 10, 4, 3, 3)), jnp.ones((32, 7, 6, 3, 3))).shape
    (32, 10, 4, 3, 3)
    """

    cross_attention: MultiheadAttention
    cross_attention_norm: Layer

    def __init__(
        self,
        p: int,
        n: int,
        *,
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
        depth: int = 1,
        use_bias: bool = True,
        initializer: Initializer | None = None,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, n=n, heads=heads, depth=depth)
        attention_key, cross_key, feed_forward_key = jax.random.split(key, 3)
        options = {"use_bias": use_bias, "dropout": dropout, "dtype": dtype}
        attends = {
            "heads": heads,
            "kv_heads": kv_heads,
            "head_size": head_size,
            "chunk": chunk,
            "initializer": initializer or lecun_normal,
        }
        attention = MultiheadAttention(p, n, causal=causal, rotary=rotary, key=attention_key, **attends, **options)
        cross_attention = MultiheadAttention(p, n, memory=memory, key=cross_key, **attends, **options)
        feed_forward = feed_forward_of(
            *(p, n, hidden), activation=activation, initializer=initializer, key=feed_forward_key, **options
        )
        self.attention = shrunk(attention, last_of_attention, 3 * depth, pre_norm)
        self.attention_norm = branch_norm(norm, p, n, dtype)
        self.cross_attention = shrunk(cross_attention, last_of_attention, 3 * depth, pre_norm)
        self.cross_attention_norm = branch_norm(norm, p, n, dtype)
        self.feed_forward = shrunk(feed_forward, last_of_mlp, 3 * depth, pre_norm)
        self.feed_forward_norm = branch_norm(norm, p, n, dtype)
        self.dropout = Dropout(dropout)
        self.pre_norm = pre_norm

    @property
    def memory(self) -> int:
        """Neurons of the tokens of the memory."""
        return self.cross_attention.memory

    def __call__(
        self,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        memory: Float[AnyArray, "*batch s {self.memory} {self.n} {self.n}"],
        *,
        mask: Bool[AnyArray, "..."] | None = None,
        memory_mask: Bool[AnyArray, "..."] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch t {self.p} {self.n} {self.n}"]:
        """Applies the block.

        **Arguments:** `x`: `(*batch, t, p, n, n)`; `memory`: `(*batch, s, memory, n, n)`; `mask`, `memory_mask`: True
        where a token, and a token of the memory, takes part, broadcast to `(*batch, heads, t, t)` and `(*batch, heads,
        t, s)`; `key`: needed in training if there is dropout.
        **Returns:** `(*batch, t, p, n, n)`.
        **Raises:** `ContractError` for other axes; `ValueError` if dropout has no key.
        """
        inner, behind, across, behind_across, *rest = split_key(key, 6)
        y = self.attention(self._taken(self.attention_norm, x), mask=mask, key=inner)
        x = self._added(self.attention_norm, x, y, behind)
        y = self.cross_attention(self._taken(self.cross_attention_norm, x), memory, mask=memory_mask, key=across)
        return self._fed_forward(self._added(self.cross_attention_norm, x, y, behind_across), *rest)

    def initial_cache(
        self,
        memory: Float[AnyArray, "*batch s {self.memory} {self.n} {self.n}"],
        length: int,
        dtype: DTypeLike | None = None,
    ) -> DecoderCache:
        """A cache for `step`, with no token, and with the keys and values of the memory.

        **Arguments:** `memory`: `(*batch, s, memory, n, n)`; `length`: how many tokens the cache has room for; `dtype`:
        of what is kept of them, that of the weights where `None`.
        **Returns:** a `DecoderCache`.
        **Raises:** `ContractError` for other axes; `ValueError` for a length below 1, and without `causal=True`.
        """
        self._require_causal()
        tokens = self.attention.initial_cache(length, memory.shape[:-4], dtype)
        return DecoderCache(tokens, self.cross_attention.memory_cache(memory))

    def step(
        self,
        cache: DecoderCache,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        *,
        mask: Bool[AnyArray, "..."] | None = None,
        memory_mask: Bool[AnyArray, "..."] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[DecoderCache, Float[Array, "*batch t {self.p} {self.n} {self.n}"]]:
        """The next tokens, one or more, which see those in the cache: equal to the call on all tokens at once.

        **Arguments:** `cache`: as `initial_cache` gives it, or the step before; `x`: `(*batch, t, p, n, n)`; `mask`:
        over the places of the cache; `memory_mask`, `key`: as for a call.
        **Returns:** `(cache, y)`, y `(*batch, t, p, n, n)`.
        **Raises:** as for a call; `ValueError` without `causal=True`.
        """
        self._require_causal()
        inner, behind, across, behind_across, *rest = split_key(key, 6)
        tokens, y = self.attention.step(cache.tokens, self._taken(self.attention_norm, x), mask=mask, key=inner)
        x = self._added(self.attention_norm, x, y, behind)
        y = self.cross_attention(self._taken(self.cross_attention_norm, x), cache.memory, mask=memory_mask, key=across)
        y = self._fed_forward(self._added(self.cross_attention_norm, x, y, behind_across), *rest)
        return cache._replace(tokens=tokens), y
