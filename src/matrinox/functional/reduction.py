"""What a loss or a metric of each entry or example becomes: the mean over all, the sum, or what it is."""

import jax.numpy as jnp
from jax import Array

from matrinox.contract import AnyArray
from matrinox.contract.nearest import nearest

_REDUCTIONS = ("mean", "sum", "none")


def reduce_each(reduction: str, each: Array, weight: AnyArray | None = None, *, of_nothing: float = 0.0) -> Array:
    """`each`, reduced: with a weight, the mean is the sum divided by the sum of the weights.

    **Arguments:** `reduction`: `"mean"`, `"sum"` or `"none"`; `each`: `(*shape)`, with its weights multiplied in;
    `weight`: `(*shape)`, only for the mean; `of_nothing`: the mean where no entry counts: 0 for a loss, as a minibatch
    of padding alone has nothing to learn from, and NaN would end the run.
    **Returns:** a scalar, or `(*shape)` with `"none"`.
    **Raises:** `ValueError` for an unknown reduction, with the nearest name.
    """
    if reduction not in _REDUCTIONS:
        close = nearest(reduction, _REDUCTIONS)
        raise ValueError(f"`reduction` (={reduction!r}) must be 'mean', 'sum' or 'none': did you mean {close!r}?")
    if reduction != "mean":
        return jnp.sum(each) if reduction == "sum" else each
    if weight is None and each.size:
        return jnp.mean(each)
    total = jnp.sum(jnp.zeros(()) if weight is None else weight, dtype=each.dtype)
    return jnp.where(total == 0, of_nothing, jnp.sum(each) / jnp.where(total == 0, 1, total))


def kept(where: AnyArray | None, *values: Array) -> tuple[Array, ...]:
    """The values with 0 where they do not count, so that no NaN or ∞ among those reaches a loss or its gradient.

    **Arguments:** `where`: `(*leading)`, the first axes of the values; `None` where all count; `values`: `(*shape)`.
    **Returns:** as many arrays `(*shape)`.
    """
    if where is None:
        return values
    return tuple(jnp.where(jnp.reshape(where, where.shape + (1,) * (x.ndim - where.ndim)), x, 0) for x in values)
