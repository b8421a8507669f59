"""`dropout`: a random share of an array set to zero, entry by entry or in slices."""

from collections.abc import Collection
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional.axis import AxesFromEnd, from_the_end

Rate: TypeAlias = float | np.floating | Float[AnyArray, ""]


@contract
def dropout(
    x: Float[AnyArray, "*shape"], key: PRNGKeyArray, rate: Rate, axis: AxesFromEnd | None = None
) -> Float[Array, "*shape"]:
    """`x / (1 − rate)` where a draw says so, with probability `1 − rate`, and 0 elsewhere: the mean stays.

    There is a draw for each index of the axes that `axis` names, and all of the other axes share it: along -3, of
    `(h, w, p, n, n)`, each of the p maps is dropped or kept as a whole.

    **Arguments:** `x`: `(*shape)`; `key`: of the draws; `rate`: the share to drop, from 0 up to, but not including, 1;
    `axis`: counted from the end, one or several; every axis, and so every entry by itself, where `None`. Batch axes
    share the draws as well, unless they are named or mapped by `jax.vmap`, with a key for each example.
    **Returns:** `(*shape)`, of the dtype of `x`.
    **Raises:** `ContractError` if `x` is not a float array; `ValueError` for a rate out of range, and for an `axis`
    that is not below 0, is beyond the axes of `x`, or is named twice.
    **Source:** mlax, `functional.dropout`; Srivastava et al. 2014.
    """
    require_rate(rate)
    shared = () if axis is None else set(range(-x.ndim, 0)).difference(from_the_end(axis, x.ndim))
    return drop(jnp.asarray(x), key, rate, shared)


def drop(x: Array, key: PRNGKeyArray, rate: Rate, shared: Collection[int]) -> Array:
    """`dropout` with a draw for each index of all axes but the `shared` ones, which are counted from the end."""
    kept = 1 - rate
    places = range(-x.ndim, 0)
    mask = jax.random.bernoulli(key, kept, tuple(1 if place in shared else x.shape[place] for place in places))
    # A rate that is an array has a dtype, which `x` does not take over.
    return jnp.where(mask, (x / kept).astype(x.dtype), 0)


def may_drop(rate: Rate) -> bool:
    """Whether a rate drops anything, as one that is not known while tracing may."""
    return isinstance(rate, Tracer) or float(rate) != 0


def require_rate(rate: Rate, name: str = "rate") -> None:
    """Refuses a rate that is known to be out of range, by the name that its argument has.

    **Raises:** `ValueError`.
    """
    if not isinstance(rate, Tracer) and not 0 <= float(rate) < 1:
        raise ValueError(f"`{name}` (={rate}) must be from 0 up to, but not including, 1: choose the share to drop.")
