"""Attention without the scores of all pairs at once: a softmax that takes in the keys chunk by chunk.

Heads are axes of their own here: queries are `(*batch, kv_heads, group, t, f)`, keys and values `(*batch, kv_heads, 1,
s, f)`, masks and biases broadcast to `(*batch, kv_heads, group, t, s)`.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import PRNGKeyArray

from matrinox.functional.attention import wide_product
from matrinox.functional.dropout import Rate, drop


class Pairs(NamedTuple):
    """Which keys a query sees, what is added to its scores, and what share of its weights is dropped."""

    mask: Array | None
    bias: Array | None
    causal: bool
    rate: Rate
    key: PRNGKeyArray | None


class _Sum(NamedTuple):
    """Over the keys so far: the largest score, and the sums of the weights and of the weighted values against it."""

    top: Array
    weights: Array
    values: Array


def attend(query: Array, key: Array, value: Array, pairs: Pairs, chunk: int | None) -> Array:
    """The means of the values by the softmax of the scores, 0 where a query sees no key.

    **Arguments:** `query`: `(*batch, kv_heads, group, t, f)`; `key`, `value`: `(*batch, kv_heads, 1, s, f)`; `pairs`:
    with a `key` if there is a rate; `chunk`: take so many queries and keys at a time, and compute their scores anew
    for the gradient; all at once where `None`.
    **Returns:** `(*batch, kv_heads, group, t, f)`.
    """
    if chunk is None:
        seen = _seen(pairs, pairs.mask, jnp.arange(query.shape[-2]), jnp.arange(key.shape[-2]))
        return _mean(_absorb(_nothing(query), query, key, value, pairs.bias, seen, pairs.rate, pairs.key), query)
    return _attend_in_chunks(query, key, value, pairs, chunk)


def _attend_in_chunks(query: Array, key: Array, value: Array, pairs: Pairs, chunk: int) -> Array:
    t, s = query.shape[-2], key.shape[-2]
    rows, columns = min(chunk, t), min(chunk, s)

    def of_queries(_: None, i: Array) -> tuple[None, Array]:
        first = _start(i, rows, t)
        some = jax.lax.dynamic_slice_in_dim(query, first, rows, -2)
        mask, bias = (_cut(x, first, rows, -2) for x in (pairs.mask, pairs.bias))
        row = first + jnp.arange(rows)

        def of_keys(so_far: _Sum, j: Array) -> tuple[_Sum, None]:
            start = _start(j, columns, s)
            column = start + jnp.arange(columns)

            def absorb(so_far: _Sum) -> _Sum:
                seen = _seen(pairs, _cut(mask, start, columns, -1), row, column)
                if s % columns:
                    # The last chunk begins early, so as to be whole: what it repeats has been taken in.
                    fresh = column >= j * columns
                    seen = fresh if seen is None else seen & fresh
                draws = None if pairs.key is None else jax.random.fold_in(jax.random.fold_in(pairs.key, i), j)
                keys, values = (jax.lax.dynamic_slice_in_dim(x, start, columns, -2) for x in (key, value))
                return _absorb(so_far, some, keys, values, _cut(bias, start, columns, -1), seen, pairs.rate, draws)

            if pairs.causal:
                return jax.lax.cond(start <= row[-1], absorb, lambda so_far: so_far, so_far), None
            return absorb(so_far), None

        body = jax.checkpoint(of_keys, prevent_cse=False)
        so_far, _ = jax.lax.scan(body, _nothing(some), jnp.arange(-(-s // columns)))
        return None, _mean(so_far, query)

    chunks = -(-t // rows)
    _, parts = jax.lax.scan(jax.checkpoint(of_queries, prevent_cse=False), None, jnp.arange(chunks))
    whole = jnp.moveaxis(parts[:-1], 0, -3)
    whole = whole.reshape(*query.shape[:-2], (chunks - 1) * rows, query.shape[-1])
    return jnp.concatenate([whole, parts[-1][..., chunks * rows - t :, :]], axis=-2)


def _start(i: Array, size: int, length: int) -> Array:
    return jnp.minimum(i * size, length - size)


def _cut(x: Array | None, start: Array, size: int, axis: int) -> Array | None:
    if x is None or x.shape[axis] == 1:
        return x
    return jax.lax.dynamic_slice_in_dim(x, start, size, axis)


def _seen(pairs: Pairs, mask: Array | None, row: Array, column: Array) -> Array | None:
    if not pairs.causal:
        return mask
    before = column <= row[:, None]
    return before if mask is None else mask & before


def _nothing(query: Array) -> _Sum:
    values = jnp.zeros(query.shape, jnp.promote_types(query.dtype, jnp.float32))
    weights = values[..., :1]
    return _Sum(jnp.full_like(weights, -jnp.inf), weights, values)


def _absorb(
    so_far: _Sum,
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None,
    seen: Array | None,
    rate: Rate,
    draws: PRNGKeyArray | None,
) -> _Sum:
    scores = wide_product(query, jnp.swapaxes(key, -1, -2)) / math.sqrt(query.shape[-1])
    if bias is not None:
        scores = scores + bias.astype(scores.dtype)
    if seen is not None:
        scores = jnp.where(seen, scores, -jnp.inf)
    # The mean does not depend on it, so neither do its gradients.
    top = jnp.maximum(so_far.top, jnp.max(jax.lax.stop_gradient(scores), axis=-1, keepdims=True))
    base = jnp.where(top == -jnp.inf, 0, top)
    weights, before = jnp.exp(scores - base), jnp.exp(so_far.top - base)
    total = before * so_far.weights + jnp.sum(weights, axis=-1, keepdims=True)
    if draws is not None:
        weights = drop(weights, draws, rate, ())
    return _Sum(top, total, before * so_far.values + wide_product(weights.astype(value.dtype), value))


def _mean(total: _Sum, query: Array) -> Array:
    return (total.values / jnp.where(total.weights == 0, 1, total.weights)).astype(query.dtype)
