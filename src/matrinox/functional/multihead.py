"""Attention of several heads, each over neurons of its own."""

import math

import jax.numpy as jnp
from jax import Array
from jaxtyping import Bool, Float, PRNGKeyArray

from matrinox.contract import AnyArray, ContractError, contract
from matrinox.functional.attention import require_keys
from matrinox.functional.chunked_attention import Pairs, attend
from matrinox.functional.dropout import Rate, may_drop, require_rate
from matrinox.functional.fused_attention import Implementation, fused_attention


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
    chunk: int | None = None,
    dropout: Rate = 0.0,
    implementation: Implementation = None,
    key: PRNGKeyArray | None = None,
) -> Float[Array, "*batch t p n n"]:
    """Attention head by head: `Y_h = softmax(⟨Q_h, K_h⟩ / √f + bias) V_h`, a head being p / heads neurons in a row.

    ⟨·, ·⟩ is the Frobenius inner product over the f = p / heads · n · n entries of a head. It is computed by
    `jax.nn.dot_product_attention`, and on an NVIDIA GPU by cuDNN's fused kernel where that takes what is given (half
    precision, f a multiple of 8 up to 128 or 256, even t and s with a mask or a bias); by a softmax of our own for
    dropout, in chunks, and for float64, where that of JAX is of float32. A query that sees no key gets 0.

    **Arguments:** `Q`: `(*batch, t, p, n, n)`; `K`, `V`: `(*batch, s, kv, n, n)`, with at least one token, where kv is
    p, or the neurons of fewer heads, each shared by as many heads of `Q` in a row; `heads`: divides p; `mask`: True
    where a key takes part; `bias`: added to the scores, where −∞ masks too; both broadcast to `(*batch, heads, t, s)`;
    `causal`: query t sees the keys s ≤ t; `chunk`: so many queries and keys at a time, in memory that grows as t + s
    rather than t · s; `dropout`: the share of the weights to drop, and `key` for the draws, which are others for
    another `chunk`; `implementation`: `"xla"` or `"cudnn"`, to choose it oneself.
    **Returns:** `(*batch, t, p, n, n)`; softmax and sums are taken in float32 for half precision.
    **Raises:** `ContractError` for axes that differ or do not broadcast, and for kv neurons that are not whole heads;
    `ValueError` if `heads` does not divide p, or the heads of `K` those of `Q`, for a `chunk` below 1, for a rate out
    of range or without a key, where there is no key token, and for `"cudnn"` where it cannot be; JAX's `RuntimeError`
    on an NVIDIA GPU without cuDNN, where `"xla"` can be chosen.
    **Source:** Vaswani et al. 2017, arXiv 1706.03762; Ainslie et al. 2023, arXiv 2305.13245; in chunks, Rabe and
    Staats 2021, arXiv 2112.05682.
    """
    kv_heads = kv_heads_of(heads, Q.shape[-3], K.shape[-3])
    require_keys(K)
    require_rate(dropout, "dropout")
    require_chunk(chunk)
    drops = may_drop(dropout)
    if drops and key is None:
        raise ValueError(
            f"`key` (=None) is needed for `dropout` (={dropout}): pass a key, or a rate of 0 in inference."
        )
    dtype = jnp.result_type(Q, K, V)
    if 0 in Q.shape:
        return jnp.zeros(Q.shape, dtype)
    Q, K, V = (jnp.asarray(x, dtype) for x in (Q, K, V))
    mask, bias = (None if x is None else jnp.asarray(x) for x in (mask, bias))
    in_chunks = chunk is not None and chunk < max(Q.shape[-4], K.shape[-4])
    reasons = {"`dropout`": drops, "`chunk`": in_chunks, "float64": dtype == jnp.float64}
    if not any(reasons.values()):
        mask, bias = (_four_axes(x, Q.shape[:-4]) for x in (mask, bias))
        query, keys, values = (_tokens(x, count) for x, count in ((Q, heads), (K, kv_heads), (V, kv_heads)))
        y = fused_attention(query, keys, values, mask, bias, causal=causal, implementation=implementation)
        return y.reshape(Q.shape)
    if implementation == "cudnn":
        why = next(reason for reason, holds in reasons.items() if holds)
        raise ValueError(f"`implementation` (='cudnn') cannot compute attention with {why}: leave one of them out.")
    mask, bias = (_scores_by_group(x, kv_heads) for x in (mask, bias))
    query, keys, values = (_by_group(x, kv_heads, count) for x, count in ((Q, heads // kv_heads), (K, 1), (V, 1)))
    pairs = Pairs(mask, bias, causal, dropout, key if drops else None)
    y = attend(query, keys, values, pairs, chunk if in_chunks else None)
    return jnp.moveaxis(y, -2, -4).reshape(Q.shape)


def kv_heads_of(heads: int, p: int, kv: int) -> int:
    """How many heads the kv neurons of keys and values hold, if the p neurons of queries hold `heads`.

    **Raises:** `ContractError` for kv neurons that are not whole heads; `ValueError` if `heads` does not divide p, or
    is not divided by the heads of the keys.
    """
    require_heads(heads, p)
    kv_heads, rest = divmod(kv, p // heads)
    if rest:
        raise ContractError(
            f"`K` (of kv={kv} neurons) must hold whole heads, of p / heads (={p // heads}) neurons: choose kv as a "
            f"multiple of {p // heads}."
        )
    require_kv_heads(heads, kv_heads)
    return kv_heads


def require_heads(heads: int, p: int) -> None:
    """Refuses heads that cannot share p neurons evenly."""
    if heads < 1:
        raise ValueError(f"`heads` (={heads}) must be at least 1: choose a positive number.")
    if p % heads:
        raise ValueError(f"`p` (={p}) must be divisible by `heads` (={heads}): choose `p` as a multiple of {heads}.")


def require_kv_heads(heads: int, kv_heads: int) -> None:
    """Refuses heads of keys and values that the heads of queries cannot share evenly."""
    if kv_heads < 1 or heads % kv_heads:
        raise ValueError(
            f"`heads` (={heads}) must be divisible by `kv_heads` (={kv_heads}), those of keys and values: choose a "
            f"divisor of {heads}."
        )


def require_chunk(chunk: int | None) -> None:
    """Refuses chunks of no tokens."""
    if chunk is not None and chunk < 1:
        raise ValueError(f"`chunk` (={chunk}) must be at least 1: 128 to 512 tokens are common.")


def _tokens(x: Array, heads: int) -> Array:
    """`(batch, t, heads, f)`."""
    t, p, n, _ = x.shape[-4:]
    return x.reshape(math.prod(x.shape[:-4]), t, heads, p // heads * n * n)


def _four_axes(scores: Array | None, batch: tuple[int, ...]) -> Array | None:
    """`(batch or 1, heads or 1, t or 1, s or 1)`."""
    if scores is None:
        return None
    scores = scores.reshape((1,) * (4 - scores.ndim) + scores.shape)
    if scores.size != math.prod(scores.shape[-3:]):
        scores = jnp.broadcast_to(scores, (*batch, *scores.shape[-3:]))
    return scores.reshape(-1, *scores.shape[-3:])


def _by_group(x: Array, kv_heads: int, group: int) -> Array:
    """`(*batch, kv_heads, group, t, f)`."""
    *batch, t, p, n, _ = x.shape
    return jnp.moveaxis(x.reshape(*batch, t, kv_heads, group, p // (kv_heads * group) * n * n), -4, -2)


def _scores_by_group(scores: Array | None, kv_heads: int) -> Array | None:
    """`(*batch, kv_heads or 1, group or 1, t or 1, s or 1)`, or fewer axes that broadcast to it."""
    if scores is None or scores.ndim == 2:
        return scores
    *batch, heads, t, s = scores.shape
    return scores.reshape(*batch, *((1, 1) if heads == 1 else (kv_heads, heads // kv_heads)), t, s)
