"""`MultiheadAttention`, over neurons."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import multihead_attention, rotary
from matrinox.functional.multihead import kv_heads_of
from matrinox.initializers import Initializer, lecun_normal
from matrinox.nn.cache import KVCache
from matrinox.nn.linear import Dense, check_sizes


@contract
class MultiheadAttention(eqx.Module):
    """Attention of several heads over neurons, between the tokens of a sequence or to those of another.

    **Arguments:** `p`, `n`: neurons of a token, and matrix side; `heads`: divides p; `key`: one key.
    **Raises:** `ValueError` for a size below 1.
    **Source:** Vaswani et al. 2017, arXiv 1706.03762.

    >>> import jax, jax.numpy as jnp
    >>> layer = MultiheadAttention(p=4, n=3, heads=2, causal=True, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 10, 4, 3, 3))).shape
    (32, 10, 4, 3, 3)
    """

    query_proj: Dense
    key_proj: Dense
    value_proj: Dense
    output_proj: Dense
    heads: int = eqx.field(static=True)
    causal: bool = eqx.field(static=True)
    rotary: float | None = eqx.field(static=True)
    dropout: float
    chunk: int | None = eqx.field(static=True)
    inference: bool

    def __init__(
        self,
        p: int,
        n: int,
        *,
        heads: int,
        q: int | None = None,
        memory: int | None = None,
        kv_heads: int | None = None,
        causal: bool = False,
        rotary: bool | float = False,
        dropout: float = 0.0,
        chunk: int | None = None,
        use_bias: bool = True,
        initializer: Initializer = lecun_normal,
        dtype: DTypeLike | None = None,
        inference: bool = False,
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, n=n, heads=heads)
        kv = p // heads * (heads if kv_heads is None else kv_heads)
        kv_heads_of(heads, p, kv)
        memory = p if memory is None else memory
        sizes = (p, p), (memory, kv), (memory, kv), (p, p if q is None else q)
        self.query_proj, self.key_proj, self.value_proj, self.output_proj = (
            Dense(a, b, n, use_bias=use_bias, initializer=initializer, dtype=dtype, key=k)
            for (a, b), k in zip(sizes, jax.random.split(key, 4), strict=True)
        )
        self.heads = heads
        self.causal = causal
        self.rotary = None if rotary is False else 10000.0 if rotary is True else float(rotary)
        self.dropout = dropout
        self.chunk = chunk
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
    def kv_heads(self) -> int:
        """Heads of the keys and values."""
        return self.key_proj.q * self.heads // self.p

    def __call__(
        self,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        memory: Float[AnyArray, "*batch s {self.memory} {self.n} {self.n}"] | None = None,
        *,
        mask: Bool[AnyArray, "*#batch #heads={self.heads} #t #s"] | Bool[AnyArray, "#t #s"] | None = None,
        bias: Float[AnyArray, "*#batch #heads={self.heads} #t #s"] | Float[AnyArray, "#t #s"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch t {self.q} {self.n} {self.n}"]:
        """Applies the layer.

        **Arguments:** `x`: `(*batch, t, p, n, n)`; `memory`: `(*batch, s, memory, n, n)`, x itself where `None`;
        `mask`, `bias`: as for `functional.multihead_attention`; `key`: for dropout.
        **Returns:** `(*batch, t, q, n, n)`.
        **Raises:** `ContractError` for other axes.
        """
        Q, (K, V) = self._query(x, 0), self._memory(x if memory is None else memory, 0)
        y = multihead_attention(Q, K, V, heads=self.heads, mask=mask, bias=bias, causal=self.causal)
        return self.output_proj(y)

    def initial_cache(self, length: int, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None) -> KVCache:
        """An empty cache for `step`.

        **Arguments:** `length`: how many tokens it has room for; `batch_shape`: the leading axes of the tokens;
        `dtype`: of what is kept, that of the weight where `None`.
        **Returns:** a `KVCache`.
        """
        check_sizes(length=length)
        empty = jnp.zeros((*batch_shape, length, self.key_proj.q, self.n, self.n), dtype or self.key_proj.weight.dtype)
        return KVCache(empty, empty, jnp.zeros((), jnp.int32))

    def step(
        self,
        cache: KVCache,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        *,
        mask: Bool[AnyArray, "*#batch #heads={self.heads} #t #s"] | Bool[AnyArray, "#t #s"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[KVCache, Float[Array, "*batch t {self.q} {self.n} {self.n}"]]:
        """The next tokens, which see those in the cache and one another.

        **Arguments:** `cache`: of the tokens before; `x`: `(*batch, t, p, n, n)`; `mask`: over the places of the
        cache; `key`: for dropout.
        **Returns:** `(cache, y)`, y `(*batch, t, q, n, n)`.
        **Raises:** `ContractError` for other axes.
        """
        t = x.shape[-4]
        place = cache.index + jnp.arange(t)
        Q, (K, V) = self._query(x, cache.index), self._memory(x, cache.index)
        cache = cache.append(K, V)
        seen = jnp.arange(cache.length) <= place[:, None]
        if mask is not None:
            seen = seen & mask
        y = multihead_attention(Q, cache.keys, cache.values, heads=self.heads, mask=seen)
        return cache, self.output_proj(y.astype(Q.dtype))

    def _query(self, x: AnyArray, start_pos: int | Array) -> Array:
        return self._placed(self.query_proj(x), self.heads, start_pos)

    def _memory(self, memory: AnyArray, start_pos: int | Array) -> tuple[Array, Array]:
        return self._placed(self.key_proj(memory), self.kv_heads, start_pos), self.value_proj(memory)

    def _placed(self, tokens: Array, heads: int, start_pos: int | Array) -> Array:
        if self.rotary is None:
            return tokens
        return rotary(tokens, heads=heads, start_pos=start_pos, base=self.rotary)
