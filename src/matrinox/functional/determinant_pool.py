"""Pools of whole matrices by their determinants, over windows of one, two or three axes."""

from math import prod

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.determinant import det, det_root
from matrinox.functional.pool_window import (
    NOT_EMPTY,
    Windows,
    explains_windows,
    require_entries,
    window_sums,
    windows_over,
)
from matrinox.functional.precision import widen
from matrinox.functional.window import Padding, Sizes

_NOWHERE = -1


@contract
@explains_windows(1, refused=NOT_EMPTY)
def maxd_pool1d(
    x: Float[AnyArray, "*batch t p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
) -> Float[Array, "*batch _ p n n"]:
    """Of each window, for each neuron, the matrix of the highest determinant, over a sequence.

    Of equals, the first in the order of the axes is kept, and NaN counts as the highest. Padding and holes are no
    candidates; in MATNETS the zeros of `"SAME"` are, and win where every determinant is negative. Gradients flow to the
    matrices that are kept, and to no other.

    **Source:** MATNETS 3.2.5, `maxd_pool1d`.
    """
    return _maxd(x, windows_over(x.shape, 1, window, stride, padding, dilation, input_dilation))


@contract
@explains_windows(2, refused=NOT_EMPTY)
def maxd_pool2d(
    x: Float[AnyArray, "*batch h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
) -> Float[Array, "*batch _ _ p n n"]:
    """Of each window, for each neuron, the matrix of the highest determinant, over an image.

    Of equals, the first in the order of the axes is kept, and NaN counts as the highest. Padding and holes are no
    candidates; in MATNETS the zeros of `"SAME"` are, and win where every determinant is negative. Gradients flow to the
    matrices that are kept, and to no other.

    **Source:** MATNETS 3.2.5, `maxd_pool2d`.
    """
    return _maxd(x, windows_over(x.shape, 2, window, stride, padding, dilation, input_dilation))


@contract
@explains_windows(3, refused=NOT_EMPTY)
def maxd_pool3d(
    x: Float[AnyArray, "*batch d h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
) -> Float[Array, "*batch _ _ _ p n n"]:
    """Of each window, for each neuron, the matrix of the highest determinant, over a volume.

    Of equals, the first in the order of the axes is kept, and NaN counts as the highest. Padding and holes are no
    candidates; in MATNETS the zeros of `"SAME"` are, and win where every determinant is negative. Gradients flow to the
    matrices that are kept, and to no other.

    **Source:** MATNETS 3.2.5, `maxd_pool2d`, in three dimensions.
    """
    return _maxd(x, windows_over(x.shape, 3, window, stride, padding, dilation, input_dilation))


@contract
@explains_windows(1)
def avgd_pool1d(
    x: Float[AnyArray, "*batch t p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
) -> Float[Array, "*batch _ p n n"]:
    """Each window's sum of `X / r`, with `r = sign(det X) · max(|det X|, 1e-7)^(1/n)`, over a sequence.

    It is a sum, not divided by the window's size, as in MATNETS. Padding and holes add nothing; in MATNETS, whose r is
    0 for a determinant of exactly 0, `"SAME"` gives NaN. As for `det_root`, such a determinant counts as positive.

    **Source:** MATNETS 3.2.5, `avgd_pool1d`.
    """
    return _avgd(x, windows_over(x.shape, 1, window, stride, padding, dilation, input_dilation))


@contract
@explains_windows(2)
def avgd_pool2d(
    x: Float[AnyArray, "*batch h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
) -> Float[Array, "*batch _ _ p n n"]:
    """Each window's sum of `X / r`, with `r = sign(det X) · max(|det X|, 1e-7)^(1/n)`, over an image.

    It is a sum, not divided by the window's size, as in MATNETS. Padding and holes add nothing; in MATNETS, whose r is
    0 for a determinant of exactly 0, `"SAME"` gives NaN. As for `det_root`, such a determinant counts as positive.

    **Source:** MATNETS 3.2.5, `avgd_pool2d`.
    """
    return _avgd(x, windows_over(x.shape, 2, window, stride, padding, dilation, input_dilation))


@contract
@explains_windows(3)
def avgd_pool3d(
    x: Float[AnyArray, "*batch d h w p n n"],
    *,
    window: Sizes,
    stride: Sizes | None = None,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
) -> Float[Array, "*batch _ _ _ p n n"]:
    """Each window's sum of `X / r`, with `r = sign(det X) · max(|det X|, 1e-7)^(1/n)`, over a volume.

    It is a sum, not divided by the window's size, as in MATNETS. Padding and holes add nothing; in MATNETS, whose r is
    0 for a determinant of exactly 0, `"SAME"` gives NaN. As for `det_root`, such a determinant counts as positive.

    **Source:** MATNETS 3.2.5, `avgd_pool2d`, in three dimensions.
    """
    return _avgd(x, windows_over(x.shape, 3, window, stride, padding, dilation, input_dilation))


def _maxd(x: AnyArray, windows: Windows) -> Array:
    axes, x = len(windows.sizes), jnp.asarray(x)
    space = x.shape[-3 - axes : -3]
    require_entries(windows, space)
    # Nothing flows through the choice; rounded to half precision, different determinants would be equal.
    values = det(widen(jax.lax.stop_gradient(x)))[..., None, None]
    places = jnp.arange(prod(space), dtype=jnp.int32).reshape(*space, 1, 1, 1)
    choices = values, jnp.broadcast_to(places, values.shape)
    chosen = windows.best(_higher, choices, (-jnp.inf, _NOWHERE))[1]
    batch, out = chosen.shape[: -3 - axes], chosen.shape[-3 - axes : -3]
    kept = jnp.take_along_axis(
        x.reshape(*batch, prod(space), *x.shape[-3:]),
        chosen.reshape(*batch, prod(out), *chosen.shape[-3:]),
        axis=-4,
        mode="clip",
    )
    return kept.reshape(*batch, *out, *x.shape[-3:])


def _higher(a: tuple[Array, Array], b: tuple[Array, Array]) -> tuple[Array, Array]:
    (a_value, a_place), (b_value, b_place) = a, b
    # A matrix comes before padding even at a determinant of -inf.
    later = (b_value > a_value) | (jnp.isnan(b_value) & ~jnp.isnan(a_value)) | (a_place == _NOWHERE)
    return jnp.where(later, b_value, a_value), jnp.where(later, b_place, a_place)


def _avgd(x: AnyArray, windows: Windows) -> Array:
    x = jnp.asarray(x)
    wide = widen(x)
    return window_sums(wide / det_root(wide)[..., None, None], windows).astype(x.dtype)
