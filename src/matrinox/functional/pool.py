"""Max, average and sum pools, entry by entry, over windows of one, two or three axes."""

from collections.abc import Callable
from functools import reduce
from math import prod

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.precision import widen
from matrinox.functional.window import Padding, Pairs, Sizes, pad_pairs, per_axis, require_fit

_MOST_SLICES = 4


@contract
def max_pool1d(
    x: Float[AnyArray, "*batch t p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
) -> Float[Array, "*batch _ p n n"]:
    """The largest of each window's entries, over a sequence.

    **Arguments:** `x`: `(*batch, t, p, n, n)`; `window`, `stride`, `padding`: as for `max_pool2d`, for 1 axis.
    **Returns:** `(*batch, t', p, n, n)`.
    **Raises:** as `max_pool2d`: `ContractError` for other axes than `(t, p, n, n)`, `ValueError` for the options.
    **Source:** MATNETS 3.2.5, `max_pool1d`.
    """
    return _pool(_max, jnp.asarray(x), 1, window, stride, padding)


@contract
def max_pool2d(
    x: Float[AnyArray, "*batch h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
) -> Float[Array, "*batch _ _ p n n"]:
    """The largest of each window's entries, over an image.

    **Arguments:** `x`: `(*batch, h, w, p, n, n)`; `window`, `stride`: an int, or one for each axis, and a `None` stride
    is the window; `padding`: `"VALID"`; `"SAME"`, (window − 1) // 2 before and the rest after; an int; or an int or a
    pair `(before, after)` for each axis. Padding never wins.
    **Returns:** `(*batch, h', w', p, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(h, w, p, n, n)` with square matrices; `ValueError`
    for a size below 1, for padding that is negative, as long as the window, or of a wrong name or count, and for a
    window longer than a padded axis.
    **Source:** MATNETS 3.2.5, `max_pool2d`.
    """
    return _pool(_max, jnp.asarray(x), 2, window, stride, padding)


@contract
def max_pool3d(
    x: Float[AnyArray, "*batch d h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
) -> Float[Array, "*batch _ _ _ p n n"]:
    """The largest of each window's entries, over a volume.

    **Arguments:** `x`: `(*batch, d, h, w, p, n, n)`; `window`, `stride`, `padding`: as for `max_pool2d`, for 3 axes.
    **Returns:** `(*batch, d', h', w', p, n, n)`.
    **Raises:** as `max_pool2d`: `ContractError` for other axes than `(d, h, w, p, n, n)`, `ValueError` for the options.
    **Source:** MATNETS 3.2.5, `max_pool2d`, in three dimensions.
    """
    return _pool(_max, jnp.asarray(x), 3, window, stride, padding)


@contract
def avg_pool1d(
    x: Float[AnyArray, "*batch t p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
) -> Float[Array, "*batch _ p n n"]:
    """The mean of each window's entries, over a sequence.

    **Arguments:** `x`: `(*batch, t, p, n, n)`; `window`, `stride`, `padding`: as for `max_pool2d`, for 1 axis.
    Padding counts as zeros: the divisor is the window's size throughout, as in MATNETS.
    **Returns:** `(*batch, t', p, n, n)`.
    **Raises:** as `max_pool2d`: `ContractError` for other axes than `(t, p, n, n)`, `ValueError` for the options.
    **Source:** MATNETS 3.2.5, `avg_pool1d`.
    """
    return _pool(_average, jnp.asarray(x), 1, window, stride, padding)


@contract
def avg_pool2d(
    x: Float[AnyArray, "*batch h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
) -> Float[Array, "*batch _ _ p n n"]:
    """The mean of each window's entries, over an image.

    **Arguments:** `x`: `(*batch, h, w, p, n, n)`; `window`, `stride`, `padding`: as for `max_pool2d`, for 2 axes.
    Padding counts as zeros: the divisor is the window's size throughout, as in MATNETS.
    **Returns:** `(*batch, h', w', p, n, n)`.
    **Raises:** as `max_pool2d`: `ContractError` for other axes than `(h, w, p, n, n)`, `ValueError` for the options.
    **Source:** MATNETS 3.2.5, `avg_pool2d`.
    """
    return _pool(_average, jnp.asarray(x), 2, window, stride, padding)


@contract
def avg_pool3d(
    x: Float[AnyArray, "*batch d h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
) -> Float[Array, "*batch _ _ _ p n n"]:
    """The mean of each window's entries, over a volume.

    **Arguments:** `x`: `(*batch, d, h, w, p, n, n)`; `window`, `stride`, `padding`: as for `max_pool2d`, for 3 axes.
    Padding counts as zeros: the divisor is the window's size throughout, as in MATNETS.
    **Returns:** `(*batch, d', h', w', p, n, n)`.
    **Raises:** as `max_pool2d`: `ContractError` for other axes than `(d, h, w, p, n, n)`, `ValueError` for the options.
    **Source:** MATNETS 3.2.5, `avg_pool2d`, in three dimensions.
    """
    return _pool(_average, jnp.asarray(x), 3, window, stride, padding)


@contract
def sum_pool1d(
    x: Float[AnyArray, "*batch t p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
) -> Float[Array, "*batch _ p n n"]:
    """The sum of each window's entries, over a sequence.

    **Arguments:** `x`: `(*batch, t, p, n, n)`; `window`, `stride`, `padding`: as for `max_pool2d`, for 1 axis.
    Padding counts as zeros.
    **Returns:** `(*batch, t', p, n, n)`.
    **Raises:** as `max_pool2d`: `ContractError` for other axes than `(t, p, n, n)`, `ValueError` for the options.
    **Source:** MATNETS 3.2.5, `sum_pool1d`.
    """
    return _pool(_sum, jnp.asarray(x), 1, window, stride, padding)


@contract
def sum_pool2d(
    x: Float[AnyArray, "*batch h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
) -> Float[Array, "*batch _ _ p n n"]:
    """The sum of each window's entries, over an image.

    **Arguments:** `x`: `(*batch, h, w, p, n, n)`; `window`, `stride`, `padding`: as for `max_pool2d`, for 2 axes.
    Padding counts as zeros.
    **Returns:** `(*batch, h', w', p, n, n)`.
    **Raises:** as `max_pool2d`: `ContractError` for other axes than `(h, w, p, n, n)`, `ValueError` for the options.
    **Source:** MATNETS 3.2.5, `sum_pool2d`.
    """
    return _pool(_sum, jnp.asarray(x), 2, window, stride, padding)


@contract
def sum_pool3d(
    x: Float[AnyArray, "*batch d h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
) -> Float[Array, "*batch _ _ _ p n n"]:
    """The sum of each window's entries, over a volume.

    **Arguments:** `x`: `(*batch, d, h, w, p, n, n)`; `window`, `stride`, `padding`: as for `max_pool2d`, for 3 axes.
    Padding counts as zeros.
    **Returns:** `(*batch, d', h', w', p, n, n)`.
    **Raises:** as `max_pool2d`: `ContractError` for other axes than `(d, h, w, p, n, n)`, `ValueError` for the options.
    **Source:** MATNETS 3.2.5, `sum_pool2d`, in three dimensions.
    """
    return _pool(_sum, jnp.asarray(x), 3, window, stride, padding)


def _pool(
    core: Callable[..., Array],
    x: Array,
    axes: int,
    window: Sizes,
    stride: Sizes | None,
    padding: Padding,
) -> Array:
    sizes = per_axis("window", window, axes)
    steps = sizes if stride is None else per_axis("stride", stride, axes)
    pairs = pad_pairs(padding, sizes)
    for size, pair in zip(sizes, pairs, strict=True):
        if max(pair) >= size:
            raise ValueError(
                f"`padding` (={padding}) must be shorter than `window` (={window}), or a window would see nothing "
                f"else: choose at most {min(sizes) - 1}."
            )
    require_fit("window", sizes, x.shape[-3 - axes : -3], pairs)
    before = (1,) * (x.ndim - 3 - axes)
    return core(
        x,
        window_dimensions=(*before, *sizes, 1, 1, 1),
        window_strides=(*before, *steps, 1, 1, 1),
        padding=(*((0, 0),) * len(before), *pairs, (0, 0), (0, 0), (0, 0)),
    )


def _max(x: Array, *, window_dimensions: tuple[int, ...], window_strides: tuple[int, ...], padding: Pairs) -> Array:
    # The gradient of `reduce_window` takes XLA's CPU backend 2 to 4 times as long as that of a few slices compared one
    # by one, but the slices of a long window take long to compile.
    if max(window_dimensions) > _MOST_SLICES:
        return lax.reduce_window(x, -jnp.inf, lax.max, window_dimensions, window_strides, padding)
    for axis in reversed(range(x.ndim)):
        x = _max_along(x, axis, window_dimensions[axis], window_strides[axis], padding[axis])
    return x


def _max_along(x: Array, axis: int, size: int, stride: int, pair: tuple[int, int]) -> Array:
    edges = [(0, 0, 0)] * x.ndim
    edges[axis] = (*pair, 0)
    x = lax.pad(x, jnp.array(-jnp.inf, x.dtype), edges)
    span = (x.shape[axis] - size) // stride * stride + 1
    return reduce(_larger, [lax.slice_in_dim(x, first, first + span, stride, axis) for first in range(size)])


def _larger(a: Array, b: Array) -> Array:
    # The first of equals takes the gradient, and NaN wins, as with `reduce_window`.
    return lax.select((a < b) | (b != b), b, a)


def _sum(x: Array, **windows: tuple) -> Array:
    return lax.reduce_window(widen(x), 0.0, lax.add, **windows).astype(x.dtype)


def _average(x: Array, *, window_dimensions: tuple[int, ...], **windows: tuple) -> Array:
    total = lax.reduce_window(widen(x), 0.0, lax.add, window_dimensions=window_dimensions, **windows)
    return (total / prod(window_dimensions)).astype(x.dtype)
