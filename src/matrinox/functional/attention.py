"""Attention between matrix-valued tokens, and the scores it weighs them by."""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from matrinox.contract import AnyArray, ContractError, contract
from matrinox.functional.dense import dense
from matrinox.functional.precision import widen
from matrinox.params import MatrixParams

Score = Callable[[Array, Array], Array]
"""Of two tokens `(p, n, n)`, one number."""


@contract
def frobenius_score(Q: Float[AnyArray, "*batch p n n"], K: Float[AnyArray, "*batch p n n"]) -> Float[Array, "*batch"]:
    """The Frobenius inner product of two tokens, `Σ_pij Q_pij K_pij`.

    **Arguments:** `Q`, `K`: `(*batch, p, n, n)`.
    **Returns:** `(*batch)`, summed in float32 for half precision.
    **Raises:** `ContractError` if the two differ in shape, if the matrices are not square, or for a missing axis.
    **Source:** MATNETS 3.2.5, `frobenius_score`.
    """
    Q, K = jnp.asarray(Q), jnp.asarray(K)
    return _inner(Q, K).astype(jnp.result_type(Q, K))


@contract
def scaled_frobenius_score(
    Q: Float[AnyArray, "*batch p n n"], K: Float[AnyArray, "*batch p n n"]
) -> Float[Array, "*batch"]:
    """The Frobenius inner product over the root of its count of terms, `Σ_pij Q_pij K_pij / √(p·n·n)`.

    Independent entries of mean 0 and variance 1 give a score of variance 1.

    **Arguments:** `Q`, `K`: `(*batch, p, n, n)`.
    **Returns:** `(*batch)`, summed in float32 for half precision.
    **Raises:** `ContractError` if the two differ in shape, if the matrices are not square, or for a missing axis.
    **Source:** MATNETS 3.2.5, `scaled_frobenius_score`.
    """
    Q, K = jnp.asarray(Q), jnp.asarray(K)
    return (_inner(Q, K) / _root_of_terms(Q)).astype(jnp.result_type(Q, K))


@contract
def matrix_attention(
    params: MatrixParams | None,
    Q: Float[AnyArray, "*batch t p n n"],
    K: Float[AnyArray, "*batch s p n n"],
    V: Float[AnyArray, "*batch s p n n"],
    score_fn: Score = scaled_frobenius_score,
) -> Float[Array, "*batch t _ n n"]:
    """Each query's mean of the values, by the softmax of its scores: `C_t = Σ_s softmax_s(score(Q_t, K_s)) V_s`.

    The two Frobenius scores take one matrix product for all pairs of an example; any other is mapped over the pairs.

    **Arguments:** `params`: a dense map that each token `C_t` goes through, or `None` for none; `Q`: `(*batch, t, p, n,
    n)`; `K`, `V`: `(*batch, s, p, n, n)`, with at least one key; `score_fn`: of two tokens `(p, n, n)`, one number.
    **Returns:** `(*batch, t, q, n, n)`, with q = p where `params` is `None`; softmax and sums are taken in float32 for
    half precision.
    **Raises:** `ContractError` for axes that differ, for matrices that are not square, for `params` of another p or n,
    and for a `score_fn` that returns more than a number; `ValueError` where there is no key.
    **Source:** MATNETS 3.2.5, `matrix_attention`.
    """
    require_keys(K)
    Q, K, V = jnp.asarray(Q), jnp.asarray(K), jnp.asarray(V)
    dtype = jnp.result_type(Q, K, V)
    weights = jax.nn.softmax(_scores(Q, K, score_fn), axis=-1).astype(dtype)
    context = apply_attention_weights(weights, V)
    return context if params is None else dense(params, context)


@contract
def dot_product_attention_logits(
    query: Float[AnyArray, "*batch t p n n"], key: Float[AnyArray, "*batch s p n n"]
) -> Float[Array, "*batch t s"]:
    """The scaled Frobenius score of each query with each key, `Σ_pij Q_tpij K_spij / √(p·n·n)`, in one product.

    **Arguments:** `query`: `(*batch, t, p, n, n)`; `key`: `(*batch, s, p, n, n)`.
    **Returns:** `(*batch, t, s)`, before softmax; summed in float32 for half precision.
    **Raises:** `ContractError` for axes that differ, or for matrices that are not square.
    **Source:** mlax, `functional.dot_product_attention_logits`.
    """
    query, key = jnp.asarray(query), jnp.asarray(key)
    return _scores(query, key, scaled_frobenius_score).astype(jnp.result_type(query, key))


@contract
def apply_attention_weights(
    attention_weights: Float[AnyArray, "*batch t s"], value: Float[AnyArray, "*batch s p n n"]
) -> Float[Array, "*batch t p n n"]:
    """The values, summed by the weights of each query: `C_t = Σ_s a_ts V_s`.

    **Arguments:** `attention_weights`: `(*batch, t, s)`, after softmax; `value`: `(*batch, s, p, n, n)`.
    **Returns:** `(*batch, t, p, n, n)`, summed in float32 for half precision.
    **Raises:** `ContractError` for axes that differ, or for matrices that are not square.
    **Source:** mlax, `functional.apply_attention_weights`.
    """
    weights, value = jnp.asarray(attention_weights), jnp.asarray(value)
    context = wide_product(weights, _flat(value)).astype(jnp.result_type(weights, value))
    return context.reshape(*weights.shape[:-1], *value.shape[-3:])


def require_keys(K: AnyArray) -> None:
    """Refuses a sequence without tokens as keys."""
    if K.shape[-4] < 1:
        raise ValueError("`K` (of length s=0) must hold at least one token: a query with no key has nothing to weigh.")


def _scores(Q: Array, K: Array, score_fn: Score) -> Array:
    """`(*batch, t, s)`, wide."""
    if score_fn is frobenius_score or score_fn is scaled_frobenius_score:
        scores = wide_product(_flat(Q), jnp.swapaxes(_flat(K), -1, -2))
        return scores if score_fn is frobenius_score else scores / _root_of_terms(Q)

    def score(query: Array, key: Array) -> Array:
        value = jnp.asarray(score_fn(query, key))
        if value.ndim:
            raise ContractError(
                f"`score_fn` must return one number for two tokens, it returned an array of shape {value.shape}: "
                "sum over the rest."
            )
        return value

    pairs = jnp.vectorize(score, signature="(p,i,j),(p,i,j)->()")
    return widen(pairs(Q[..., :, None, :, :, :], K[..., None, :, :, :, :]))


def _inner(Q: Array, K: Array) -> Array:
    wide = jnp.promote_types(jnp.result_type(Q, K), jnp.float32)
    return jnp.einsum("...pij,...pij->...", Q, K, preferred_element_type=wide)


def wide_product(a: Array, b: Array) -> Array:
    """The matrix product, of half precision in float32."""
    return jnp.matmul(a, b, preferred_element_type=jnp.promote_types(jnp.result_type(a, b), jnp.float32))


def _flat(tokens: Array) -> Array:
    return tokens.reshape(*tokens.shape[:-3], math.prod(tokens.shape[-3:]))


def _root_of_terms(tokens: Array) -> float:
    return math.sqrt(math.prod(tokens.shape[-3:]))
