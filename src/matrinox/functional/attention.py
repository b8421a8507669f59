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
    Q, K, V = jnp.asarray(Q), jnp.asarray(K), jnp.asarray(V)
    if K.shape[-4] < 1:
        raise ValueError("`K` (of length s=0) must hold at least one token: a query with no key has nothing to weigh.")
    dtype = jnp.result_type(Q, K, V)
    weights = jax.nn.softmax(_scores(Q, K, score_fn), axis=-1).astype(dtype)
    context = _product(weights, _flat(V)).reshape(*Q.shape[:-3], *V.shape[-3:]).astype(dtype)
    return context if params is None else dense(params, context)


def _scores(Q: Array, K: Array, score_fn: Score) -> Array:
    """`(*batch, t, s)`, wide."""
    if score_fn is frobenius_score or score_fn is scaled_frobenius_score:
        scores = _product(_flat(Q), jnp.swapaxes(_flat(K), -1, -2))
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


def _product(a: Array, b: Array) -> Array:
    return jnp.matmul(a, b, preferred_element_type=jnp.promote_types(jnp.result_type(a, b), jnp.float32))


def _flat(tokens: Array) -> Array:
    return tokens.reshape(*tokens.shape[:-3], math.prod(tokens.shape[-3:]))


def _root_of_terms(tokens: Array) -> float:
    return math.sqrt(math.prod(tokens.shape[-3:]))
