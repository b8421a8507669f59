"""Pools to a size that is given, entry by entry, whatever the size of what comes in."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.precision import widen
from matrinox.functional.window import LETTERS, Sizes, per_axis


@contract
def adaptive_avg_pool1d(x: Float[AnyArray, "*batch t p n n"], *, size: Sizes) -> Float[Array, "*batch _ p n n"]:
    """The mean of the entries in each of `size` parts of a sequence.

    The parts are those of `adaptive_avg_pool2d`.

    **Arguments:** `x`: `(*batch, t, p, n, n)`; `size`: the parts, as an int, or one in a tuple.
    **Returns:** `(*batch, t', p, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(t, p, n, n)` with square matrices;
    `ValueError` for a size below 1, of another count of axes, or larger than the axis.
    **Source:** Equinox, `nn.AdaptiveAvgPool1d`.
    """
    return _pool(jnp.mean, x, 1, size)


@contract
def adaptive_avg_pool2d(x: Float[AnyArray, "*batch h w p n n"], *, size: Sizes) -> Float[Array, "*batch _ _ p n n"]:
    """The mean of the entries in each of `size` parts of an image.

    An axis of length h is cut into h' parts without gap or overlap. Where h' does not divide h, the first h % h' parts
    have one place more than the others, as in Equinox; parts that overlap, as in PyTorch, would count places twice.

    **Arguments:** `x`: `(*batch, h, w, p, n, n)`; `size`: the parts, as an int, or one for each axis.
    **Returns:** `(*batch, h', w', p, n, n)`, where `(h', w')` is `size`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(h, w, p, n, n)` with square matrices; `ValueError`
    for a size below 1, of another count of axes, or larger than the axis.
    **Source:** Equinox, `nn.AdaptiveAvgPool2d`.
    """
    return _pool(jnp.mean, x, 2, size)


@contract
def adaptive_avg_pool3d(x: Float[AnyArray, "*batch d h w p n n"], *, size: Sizes) -> Float[Array, "*batch _ _ _ p n n"]:
    """The mean of the entries in each of `size` parts of a volume.

    The parts are those of `adaptive_avg_pool2d`.

    **Arguments:** `x`: `(*batch, d, h, w, p, n, n)`; `size`: the parts, as an int, or one for each axis.
    **Returns:** `(*batch, d', h', w', p, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(d, h, w, p, n, n)` with square matrices;
    `ValueError` for a size below 1, of another count of axes, or larger than the axis.
    **Source:** Equinox, `nn.AdaptiveAvgPool3d`.
    """
    return _pool(jnp.mean, x, 3, size)


@contract
def adaptive_max_pool1d(x: Float[AnyArray, "*batch t p n n"], *, size: Sizes) -> Float[Array, "*batch _ p n n"]:
    """The largest of the entries in each of `size` parts of a sequence.

    The parts are those of `adaptive_avg_pool2d`. Equals share the gradient.

    **Arguments:** `x`: `(*batch, t, p, n, n)`; `size`: the parts, as an int, or one in a tuple.
    **Returns:** `(*batch, t', p, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(t, p, n, n)` with square matrices;
    `ValueError` for a size below 1, of another count of axes, or larger than the axis.
    **Source:** Equinox, `nn.AdaptiveMaxPool1d`.
    """
    return _pool(jnp.max, x, 1, size)


@contract
def adaptive_max_pool2d(x: Float[AnyArray, "*batch h w p n n"], *, size: Sizes) -> Float[Array, "*batch _ _ p n n"]:
    """The largest of the entries in each of `size` parts of an image.

    The parts are those of `adaptive_avg_pool2d`. Equals share the gradient.

    **Arguments:** `x`: `(*batch, h, w, p, n, n)`; `size`: the parts, as an int, or one for each axis.
    **Returns:** `(*batch, h', w', p, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(h, w, p, n, n)` with square matrices;
    `ValueError` for a size below 1, of another count of axes, or larger than the axis.
    **Source:** Equinox, `nn.AdaptiveMaxPool2d`.
    """
    return _pool(jnp.max, x, 2, size)


@contract
def adaptive_max_pool3d(x: Float[AnyArray, "*batch d h w p n n"], *, size: Sizes) -> Float[Array, "*batch _ _ _ p n n"]:
    """The largest of the entries in each of `size` parts of a volume.

    The parts are those of `adaptive_avg_pool2d`. Equals share the gradient.

    **Arguments:** `x`: `(*batch, d, h, w, p, n, n)`; `size`: the parts, as an int, or one for each axis.
    **Returns:** `(*batch, d', h', w', p, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(d, h, w, p, n, n)` with square matrices;
    `ValueError` for a size below 1, of another count of axes, or larger than the axis.
    **Source:** Equinox, `nn.AdaptiveMaxPool3d`.
    """
    return _pool(jnp.max, x, 3, size)


def _pool(reduce_fn: Callable[..., Array], x: AnyArray, axes: int, size: Sizes) -> Array:
    x = jnp.asarray(x)
    y = widen(x)
    for axis, parts in enumerate(per_axis("size", size, axes)):
        place = x.ndim - 3 - axes + axis
        if parts > x.shape[place]:
            letter = LETTERS[axes][axis]
            raise ValueError(
                f"`size` (={size}) must not exceed {letter} (={x.shape[place]}): choose at most {x.shape[place]}."
            )
        # All parts have as many places along the other axes, so that a mean of means is the mean.
        y = _along(reduce_fn, y, place, parts)
    return y.astype(x.dtype)


def _along(reduce_fn: Callable[..., Array], x: Array, axis: int, parts: int) -> Array:
    shorter, longer_parts = divmod(x.shape[axis], parts)
    before, after = x.shape[:axis], x.shape[axis + 1 :]
    head, tail = jnp.split(x, [longer_parts * (shorter + 1)], axis)
    cut = [
        part.reshape(*before, count, length, *after)
        for part, count, length in ((head, longer_parts, shorter + 1), (tail, parts - longer_parts, shorter))
        if count
    ]
    return jnp.concatenate([reduce_fn(part, axis=axis + 1) for part in cut], axis)
