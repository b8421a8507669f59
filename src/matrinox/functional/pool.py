"""Max, average and sum pools, entry by entry, over windows of one, two or three axes."""

from math import prod

import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.pool_window import (
    MOST_SLICES,
    NOT_EMPTY,
    Windows,
    explains_windows,
    require_entries,
    window_sums,
    windows_over,
)
from matrinox.functional.window import Padding, Sizes


@contract
@explains_windows(1, refused=NOT_EMPTY)
def max_pool1d(
    x: Float[AnyArray, "*batch t p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
) -> Float[Array, "*batch _ p n n"]:
    """The largest of each window's entries, over a sequence.

    Padding and holes never win; of equals, the first takes the gradient.

    **Source:** MATNETS 3.2.5, `max_pool1d`.
    """
    return _max(x, windows_over(x.shape, 1, window, stride, padding, dilation, input_dilation))


@contract
@explains_windows(2, refused=NOT_EMPTY)
def max_pool2d(
    x: Float[AnyArray, "*batch h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
) -> Float[Array, "*batch _ _ p n n"]:
    """The largest of each window's entries, over an image.

    Padding and holes never win; of equals, the first takes the gradient.

    **Source:** MATNETS 3.2.5, `max_pool2d`.
    """
    return _max(x, windows_over(x.shape, 2, window, stride, padding, dilation, input_dilation))


@contract
@explains_windows(3, refused=NOT_EMPTY)
def max_pool3d(
    x: Float[AnyArray, "*batch d h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
) -> Float[Array, "*batch _ _ _ p n n"]:
    """The largest of each window's entries, over a volume.

    Padding and holes never win; of equals, the first takes the gradient.

    **Source:** MATNETS 3.2.5, `max_pool2d`, in three dimensions.
    """
    return _max(x, windows_over(x.shape, 3, window, stride, padding, dilation, input_dilation))


@contract
@explains_windows(1)
def avg_pool1d(
    x: Float[AnyArray, "*batch t p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
) -> Float[Array, "*batch _ p n n"]:
    """The mean of each window's entries, over a sequence.

    Padding and holes count as zeros: the divisor is the window's size throughout, as in MATNETS.

    **Source:** MATNETS 3.2.5, `avg_pool1d`.
    """
    return _average(x, windows_over(x.shape, 1, window, stride, padding, dilation, input_dilation))


@contract
@explains_windows(2)
def avg_pool2d(
    x: Float[AnyArray, "*batch h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
) -> Float[Array, "*batch _ _ p n n"]:
    """The mean of each window's entries, over an image.

    Padding and holes count as zeros: the divisor is the window's size throughout, as in MATNETS.

    **Source:** MATNETS 3.2.5, `avg_pool2d`.
    """
    return _average(x, windows_over(x.shape, 2, window, stride, padding, dilation, input_dilation))


@contract
@explains_windows(3)
def avg_pool3d(
    x: Float[AnyArray, "*batch d h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
) -> Float[Array, "*batch _ _ _ p n n"]:
    """The mean of each window's entries, over a volume.

    Padding and holes count as zeros: the divisor is the window's size throughout, as in MATNETS.

    **Source:** MATNETS 3.2.5, `avg_pool2d`, in three dimensions.
    """
    return _average(x, windows_over(x.shape, 3, window, stride, padding, dilation, input_dilation))


@contract
@explains_windows(1)
def sum_pool1d(
    x: Float[AnyArray, "*batch t p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
) -> Float[Array, "*batch _ p n n"]:
    """The sum of each window's entries, over a sequence.

    Padding and holes count as zeros.

    **Source:** MATNETS 3.2.5, `sum_pool1d`.
    """
    return _sum(x, windows_over(x.shape, 1, window, stride, padding, dilation, input_dilation))


@contract
@explains_windows(2)
def sum_pool2d(
    x: Float[AnyArray, "*batch h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
) -> Float[Array, "*batch _ _ p n n"]:
    """The sum of each window's entries, over an image.

    Padding and holes count as zeros.

    **Source:** MATNETS 3.2.5, `sum_pool2d`.
    """
    return _sum(x, windows_over(x.shape, 2, window, stride, padding, dilation, input_dilation))


@contract
@explains_windows(3)
def sum_pool3d(
    x: Float[AnyArray, "*batch d h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
) -> Float[Array, "*batch _ _ _ p n n"]:
    """The sum of each window's entries, over a volume.

    Padding and holes count as zeros.

    **Source:** MATNETS 3.2.5, `sum_pool2d`, in three dimensions.
    """
    return _sum(x, windows_over(x.shape, 3, window, stride, padding, dilation, input_dilation))


def _max(x: AnyArray, windows: Windows) -> Array:
    x = jnp.asarray(x)
    require_entries(windows, x.shape[-3 - len(windows.sizes) : -3])
    # The gradient of `reduce_window` takes XLA's CPU backend 2 to 4 times as long as that of a few slices compared one
    # by one, but the slices of a long window take longer. It has none for dilated windows and inputs.
    if max(windows.sizes) > MOST_SLICES and max(*windows.dilations, *windows.spreads) == 1:
        return lax.reduce_window(x, -jnp.inf, lax.max, **windows.of_rank(x.ndim))
    return windows.best(_larger, (x,), (-jnp.inf,))[0]


def _larger(a: tuple[Array], b: tuple[Array]) -> tuple[Array]:
    # The first of equals takes the gradient, and NaN wins, as with `reduce_window`.
    return (lax.select((a[0] < b[0]) | (b[0] != b[0]), b[0], a[0]),)


def _sum(x: AnyArray, windows: Windows) -> Array:
    x = jnp.asarray(x)
    return window_sums(x, windows).astype(x.dtype)


def _average(x: AnyArray, windows: Windows) -> Array:
    x = jnp.asarray(x)
    return (window_sums(x, windows) / prod(windows.sizes)).astype(x.dtype)
