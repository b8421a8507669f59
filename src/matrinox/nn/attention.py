"""`MultiheadAttention`, over neurons."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import multihead_attention, rotary
from matrinox.functional.dropout import may_drop, require_rate
from matrinox.functional.fused_attention import Implementation
from matrinox.functional.multihead import require_chunk, require_heads, require_kv_heads
from matrinox.functional.position import require_base, require_pairs
from matrinox.initializers import Initializer, lecun_normal
from matrinox.nn.cache import KVCache, KVMemory, axes_after
from matrinox.nn.linear import Dense, check_sizes

_BASE = 10000.0


@contract
class MultiheadAttention(eqx.Module):
    """Attention of several heads over neurons, between the tokens of a sequence or from them to those of another.

    Queries, keys and values are a dense map of the tokens each; a head is `head_size` of their neurons, in a row; and
    what the heads give, side by side, goes through another dense map: `functional.multihead_attention`.

    **Arguments:** `p`, `n`: neurons of a token, and matrix side; `heads`: how many; `head_size`: neurons of a
    head, p / heads where `None`; `q`: neurons out, p where `None`;
    `memory`: neurons of the tokens that keys and values are made of, p where `None`; `kv_heads`: heads of keys and
    values, a divisor of `heads`, each shared by as many of those in a row; all where `None`, 1 for multi-query
    attention; `causal`: a token sees no later one; `rotary`: turn queries and keys by their positions, with the base
    given, or 10000 for True; `dropout`: the share of the weights to drop in training; `chunk`: so many queries and
    keys at a time, for long sequences; `implementation`: as for `functional.multihead_attention`; `use_bias`,
    `initializer`, `dtype`: of the four maps, as for `Dense`; `inference`: start in inference; `key`: one key.
    **Raises:** `ValueError` for a size below 1, for heads that do not divide p or one another, for `rotary` with an odd
    number of entries in a head, with a base out of range or with a `memory`, and for a rate out of range.
    **Source:** Vaswani et al. 2017, arXiv 1706.03762; TorchLean, `multiHeadAttention`; `eqx.nn.MultiheadAttention`.

    >>> import jax, jax.numpy as jnp
    >>> layer = MultiheadAttention(p=4, n=3, heads=2, causal=True, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 10, 4, 3, 3))).shape
    (32, 10, 4, 3, 3)
    >>> cache, y = layer.step(layer.initial_cache(length=10, batch_shape=(32,)), jnp.ones((32, 1, 4, 3, 3)))
    >>> y.shape
    (32, 1, 4, 3, 3)
    """

    query_proj: Dense
    key_proj: Dense
    value_proj: Dense
    output_proj: Dense
    # Not static, so that `eqx.tree_at` and `eqx.nn.inference_mode` can change them.
    dropout: float
    inference: bool
    heads: int = eqx.field(static=True)
    causal: bool = eqx.field(static=True)
    rotary: float | None = eqx.field(static=True)
    chunk: int | None = eqx.field(static=True)
    implementation: Implementation = eqx.field(static=True)

    def __init__(
        self,
        p: int,
        n: int,
        *,
        heads: int,
        head_size: int | None = None,
        q: int | None = None,
        memory: int | None = None,
        kv_heads: int | None = None,
        causal: bool = False,
        rotary: bool | float = False,
        dropout: float = 0.0,
        chunk: int | None = None,
        implementation: Implementation = None,
        use_bias: bool = True,
        initializer: Initializer = lecun_normal,
        dtype: DTypeLike | None = None,
        inference: bool = False,
        key: PRNGKeyArray,
    ):
        q, kv_heads = p if q is None else q, heads if kv_heads is None else kv_heads
        tokens = p if memory is None else memory
        check_sizes(p=p, n=n, heads=heads, q=q, memory=tokens, kv_heads=kv_heads)
        if head_size is None:
            require_heads(heads, p)
            head_size = p // heads
        check_sizes(head_size=head_size)
        require_kv_heads(heads, kv_heads)
        require_rate(dropout, "dropout")
        require_chunk(chunk)
        self.rotary = _base(rotary, head_size * n * n)
        if memory is not None:
            self._require_no_rotary()
        inner, kv = head_size * heads, head_size * kv_heads
        self.query_proj, self.key_proj, self.value_proj, self.output_proj = (
            Dense(a, b, n, use_bias=use_bias, initializer=initializer, dtype=dtype, key=each)
            for (a, b), each in zip(
                ((p, inner), (tokens, kv), (tokens, kv), (inner, q)), jax.random.split(key, 4), strict=True
            )
        )
        self.heads = heads
        self.causal = causal
        self.dropout = dropout
        self.chunk = chunk
        self.implementation = implementation
        self.inference = inference

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.query_proj.p

    @property
    def q(self) -> int:
        """Neurons out."""
        return self.output_proj.q

    @property
    def memory(self) -> int:
        """Neurons of the tokens that keys and values are made of."""
        return self.key_proj.p

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.query_proj.n

    @property
    def head_size(self) -> int:
        """Neurons of a head."""
        return self.query_proj.q // self.heads

    @property
    def kv_heads(self) -> int:
        """Heads of keys and values."""
        return self.key_proj.q // self.head_size

    def __call__(
        self,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        memory: Float[AnyArray, "*batch s {self.memory} {self.n} {self.n}"] | KVMemory | None = None,
        *,
        mask: Bool[AnyArray, "*#batch #heads={self.heads} #t #s"] | Bool[AnyArray, "#t #s"] | None = None,
        bias: Float[AnyArray, "*#batch #heads={self.heads} #t #s"] | Float[AnyArray, "#t #s"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch t {self.q} {self.n} {self.n}"]:
        """Lets each token of `x` attend to those of `memory`, or of `x` itself.

        **Arguments:** `x`: `(*batch, t, p, n, n)`; `memory`: `(*batch, s, memory, n, n)`, or the keys and values of
        these from `memory_cache`; `x` where `None`; `mask`: True where a token of the memory takes part; `bias`: added
        to the scores; both `(t, s)`, or with heads, and batch axes before them, that broadcast to `(*batch, heads, t,
        s)`: padding `(*batch, s)` is given as `padding[..., None, None, :]`; `key`: needed in training with dropout.
        **Returns:** `(*batch, t, q, n, n)`; what sees no token is the bias of `output_proj`.
        **Raises:** `ContractError` for axes that differ or do not broadcast; `ValueError` if the key is missing, for a
        memory with `rotary`, whose positions are those of one sequence, and if `x` has not the neurons of a memory.
        """
        if isinstance(memory, KVMemory):
            self._require_no_rotary()
            keys, values = memory.keys, memory.values
        elif memory is not None:
            self._require_no_rotary()
            keys, values = self.key_proj(memory), self.value_proj(memory)
        else:
            keys, values = self._own_keys(x, 0)
        return self._attend(x, 0, keys, values, mask, bias, self.causal, key)

    def memory_cache(self, memory: Float[AnyArray, "*batch s {self.memory} {self.n} {self.n}"]) -> KVMemory:
        """The keys and values of a memory, which a decoder would else compute at each step: `layer(x, cache)`.

        **Arguments:** `memory`: `(*batch, s, memory, n, n)`.
        **Returns:** a `KVMemory`, to give in place of `memory`.
        **Raises:** `ContractError` if the trailing axes are not `(s, memory, n, n)`; `ValueError` with `rotary`.
        """
        self._require_no_rotary()
        return KVMemory(self.key_proj(memory), self.value_proj(memory))

    def initial_cache(self, length: int, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None) -> KVCache:
        """An empty cache, for `step`.

        **Arguments:** `length`: how many tokens it has room for; `batch_shape`: their leading axes; `dtype`: of what
        is kept, where `None` that of the weights.
        **Returns:** a `KVCache`.
        **Raises:** `ValueError` for a length below 1.
        """
        check_sizes(length=length)
        dtype = self.key_proj.weight.dtype if dtype is None else dtype
        empty = jnp.zeros((*batch_shape, length, self.key_proj.q, self.n, self.n), dtype)
        return KVCache(empty, empty, jnp.zeros((), jnp.int32))

    def step(
        self,
        cache: KVCache,
        x: Float[AnyArray, "{axes_after(cache,self.p)}"],
        *,
        mask: Bool[AnyArray, "*#batch #heads={self.heads} #t #length={cache.length}"]
        | Bool[AnyArray, "#t #length={cache.length}"]
        | None = None,
        bias: Float[AnyArray, "*#batch #heads={self.heads} #t #length={cache.length}"]
        | Float[AnyArray, "#t #length={cache.length}"]
        | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[KVCache, Float[Array, "*batch t {self.q} {self.n} {self.n}"]]:
        """The next tokens, one or several, which see those in the cache and, up to themselves, one another.

        Step by step, in whatever portions, this gives what a call gives for the whole sequence.

        **Arguments:** `cache`: of the tokens before; `x`: `(*batch, t, p, n, n)`; `mask`, `bias`: as for a call, with
        the places of the cache as memory; `key`: as for a call.
        **Returns:** `(cache, y)`, y `(*batch, t, q, n, n)`. While tracing, where the place is unknown, tokens beyond
        the length of the cache give NaN.
        **Raises:** `ContractError` for axes that differ or do not broadcast; `ValueError` for tokens beyond the length
        of the cache, for a layer that is not causal, and as for a call.
        """
        if not self.causal:
            raise ValueError(
                "`causal` (=False) must be True for `step`, as later tokens would change what has been given: build "
                "with causal=True."
            )
        place = cache.index
        keys, values = self._own_keys(x, place)
        cache = cache.append(keys, values)
        seen = jnp.arange(cache.length) <= place + jnp.arange(x.shape[-4])[:, None]
        seen = seen if mask is None else seen & mask
        return cache, self._attend(x, place, cache.keys, cache.values, seen, bias, False, key)

    def _own_keys(self, x: AnyArray, start_pos: int | Array) -> tuple[Array, Array]:
        if self.memory != self.p:
            raise ValueError(
                f"`memory` (=None) must be given, as keys are made of tokens of {self.memory} neurons, not of those of "
                f"`x` (p={self.p}): give the tokens to attend to."
            )
        return self._turned(self.key_proj(x), self.kv_heads, start_pos), self.value_proj(x)

    def _attend(
        self,
        x: AnyArray,
        start_pos: int | Array,
        keys: Array,
        values: Array,
        mask: AnyArray | None,
        bias: AnyArray | None,
        causal: bool,
        key: PRNGKeyArray | None,
    ) -> Array:
        rate = 0.0 if self.inference else self.dropout
        if key is None and may_drop(rate):
            raise ValueError(
                f"`key` (=None) is needed by MultiheadAttention(dropout={rate}) in training: pass a key, or switch the "
                "model to inference with eqx.nn.inference_mode(model)."
            )
        queries = self._turned(self.query_proj(x), self.heads, start_pos)
        y = multihead_attention(
            queries,
            keys,
            values,
            heads=self.heads,
            mask=mask,
            bias=bias,
            causal=causal,
            chunk=self.chunk,
            dropout=rate,
            implementation=self.implementation,
            key=key,
        )
        # A cache may be of a wider dtype.
        return self.output_proj(y.astype(queries.dtype))

    def _turned(self, tokens: Array, heads: int, start_pos: int | Array) -> Array:
        if self.rotary is None:
            return tokens
        return rotary(tokens, heads=heads, start_pos=start_pos, base=self.rotary)

    def _require_no_rotary(self) -> None:
        if self.rotary is not None:
            raise ValueError(
                f"`rotary` (={self.rotary}) must be False where there is a `memory`, as the positions of two sequences "
                "have nothing to do with one another: build with rotary=False."
            )


def _base(rotary: bool | float, features: int) -> float | None:
    if rotary is False:
        return None
    base = _BASE if rotary is True else float(rotary)
    require_base(base, "rotary")
    require_pairs(features)
    return base
