"""Attention of several heads, each over neurons of its own."""

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float

from matrinox.contract import AnyArray, ContractError, contract


@contract
def multihead_attention(
    Q: Float[AnyArray, "*batch t p n n"],
    K: Float[AnyArray, "*batch s kv n n"],
    V: Float[AnyArray, "*batch s kv n n"],
    *,
    heads: int,
    mask: Bool[AnyArray, "*#batch #heads={heads} #t #s"] | Bool[AnyArray, "#t #s"] | None = None,
    bias: Float[AnyArray, "*#batch #heads={heads} #t #s"] | Float[AnyArray, "#t #s"] | None = None,
    causal: bool = False,
) -> Float[Array, "*batch t p n n"]:
    """Attention head by head: `Y_h = softmax(⟨Q_h, K_h⟩ / √f + bias) V_h`, a head being p / heads neurons in a row.

    The f = p / heads · n · n entries of a head count as `flatten` counts them.

    **Arguments:** `Q`: `(*batch, t, p, n, n)`; `K`, `V`: `(*batch, s, kv, n, n)`, where kv is p, or the neurons of
    fewer heads, each shared by as many queries' heads in a row; `heads`: divides p; `mask`: True where a key takes
    part; `bias`: added to the scores; both broadcast to `(*batch, heads, t, s)`; `causal`: query t sees the keys
    s ≤ t.
    **Returns:** `(*batch, t, p, n, n)`.
    **Raises:** `ContractError` for axes that differ or do not broadcast; `ValueError` if `heads` does not divide p,
    or kv does not hold heads that divide them.
    **Source:** Vaswani et al. 2017, arXiv 1706.03762; Ainslie et al. 2023, arXiv 2305.13245.
    """
    kv_heads = kv_heads_of(heads, Q.shape[-3], K.shape[-3])
    dtype = jnp.result_type(Q, K, V)
    batch, rank = Q.shape[:-4], len(Q.shape) - 1
    query, key, value = (_heads(x, count, dtype) for x, count in ((Q, heads), (K, kv_heads), (V, kv_heads)))

    def flat(scores: AnyArray | None) -> Array | None:
        if scores is None:
            return None
        scores = jnp.asarray(scores)
        scores = scores.reshape((1,) * (rank - scores.ndim) + scores.shape)
        return jnp.broadcast_to(scores, (*batch, *scores.shape[-3:])).reshape(-1, *scores.shape[-3:])

    y = jax.nn.dot_product_attention(query, key, value, flat(bias), flat(mask), is_causal=causal)
    return y.reshape(Q.shape)


def _heads(tokens: AnyArray, heads: int, dtype: jnp.dtype) -> Array:
    tokens = jnp.asarray(tokens, dtype)
    t, p, n, _ = tokens.shape[-4:]
    return tokens.reshape(-1, t, heads, p // heads * n * n)


def kv_heads_of(heads: int, p: int, kv: int) -> int:
    """How many heads keys and values of kv neurons hold."""
    if heads < 1:
        raise ValueError(f"`heads` (={heads}) must be at least 1: choose a positive number.")
    if p % heads:
        raise ValueError(f"`p` (={p}) must be divisible by `heads` (={heads}): choose `p` as a multiple of {heads}.")
    kv_heads, rest = divmod(kv, p // heads)
    if rest:
        raise ContractError(
            f"`K` (of kv={kv} neurons) must hold whole heads of p / heads (={p // heads}) neurons: choose kv as a "
            f"multiple of {p // heads}."
        )
    if not kv_heads or heads % kv_heads:
        raise ValueError(
            f"`heads` (={heads}) must be divisible by the heads of `K` (={kv_heads}): choose one of their divisors."
        )
    return kv_heads
