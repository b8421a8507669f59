"""Encoders: numbers into matrix neurons. `fold` and `patches` fill each entry with another number; `tile` repeats."""

from collections.abc import Sequence
from math import ceil

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, ContractError, contract


@contract
def fold(x: Float[AnyArray, "*batch f"], n: int) -> Float[Array, "*batch _ {n} {n}"]:
    """Features in order into matrices: feature `i` becomes entry `i mod n²`, row by row, of neuron `i // n²`.

    **Arguments:** `x`: `(*batch, f)`; `n`: matrix side.
    **Returns:** `(*batch, p, n, n)` with p = ⌈f / n²⌉; what is left of the last matrix is zero.
    **Raises:** `ContractError` if `x` has no feature axis; `ValueError` for `n` below 1.
    """
    _require_positive(n)
    p = ceil(x.shape[-1] / n**2)
    missing = p * n**2 - x.shape[-1]
    padded = jnp.pad(x, ((0, 0),) * (x.ndim - 1) + ((0, missing),))
    return padded.reshape(*x.shape[:-1], p, n, n)


@contract
def fold_frames(
    x: Float[AnyArray, "*batch f"], n: int, length: int, stride: int | None = None
) -> Float[Array, "*batch _ _ {n} {n}"]:
    """Features in order, cut into frames of equal length, each folded: moments of a signal, rows of an image.

    **Arguments:** `x`: `(*batch, f)`; `n`: matrix side; `length`: features of a frame; `stride`: from the start of a
    frame to that of the next, less than `length` where frames overlap, more where features between them are left out,
    and `length` where `None`.
    **Returns:** `(*batch, t, p, n, n)` with t = (f − length) / stride + 1 and p = ⌈length / n²⌉.
    **Raises:** `ContractError` if `x` has no feature axis; `ValueError` if the last frame does not end where `x` does,
    or for `n`, `length` or `stride` below 1.
    """
    f = x.shape[-1]
    require_frames(f"the {f} features of `x`", f, length, stride)
    if stride is None or stride == length:
        return fold(jnp.asarray(x).reshape(*x.shape[:-1], f // length, length), n)
    starts = np.arange(0, f - length + 1, stride)
    return fold(_windows_at(jnp.asarray(x), starts, length, x.ndim - 1), n)


def require_frames(whole: str, size: int, length: int, stride: int | None) -> None:
    """Refuses frames that do not end where the features do.

    **Arguments:** `whole`: what is cut, in words; `size`: its features; `length`, `stride`: as for `fold_frames`.
    **Raises:** `ValueError` for such frames, and for sizes below 1.
    """
    if stride is None and (length < 1 or size % length):
        raise ValueError(f"`length` (={length}) must divide {whole}: choose a divisor.")
    if not 1 <= length <= size:
        raise ValueError(f"`length` (={length}) must be from 1 to {size}, as a frame is of {whole}.")
    if stride is not None and (stride < 1 or (size - length) % stride):
        raise ValueError(
            f"`stride` (={stride}) must lead from the first frame of {length} to the end of {whole}: choose a divisor "
            f"of {size - length}."
        )


@contract
def patches(images: Float[AnyArray, "*batch h w c"], n: int) -> Float[Array, "*batch _ _ c {n} {n}"]:
    """Images cut into n×n patches that do not overlap, each channel of a patch one neuron.

    **Arguments:** `images`: `(*batch, h, w, c)`; `n`: matrix side, which must divide `h` and `w`.
    **Returns:** `(*batch, h / n, w / n, c, n, n)`.
    **Raises:** `ContractError` if `images` has fewer than three axes; `ValueError` for an `h` or `w` that `n` does not
    divide, or for `n` below 1.
    """
    _require_positive(n)
    *batch, h, w, c = images.shape
    for name, size in (("h", h), ("w", w)):
        if size % n:
            raise ValueError(
                f"`{name}` (={size}) must be divisible by `n` (={n}): crop or pad the images to a multiple of {n}."
            )
    cut = jnp.asarray(images).reshape(*batch, h // n, n, w // n, n, c)
    return jnp.moveaxis(cut, (-4, -2), (-2, -1))


@contract
def embed_pixels(
    x: Float[AnyArray, "..."],
    n: int,
    spatial_axes: int | tuple[int, ...] = (1, 2),
    interleave: bool | tuple[bool, ...] = False,
) -> Float[Array, "..."]:
    """Each pixel's n×n neighbourhood, zeros beyond the border: n // 2 before the pixel, (n − 1) // 2 after it.

    **Arguments:** `x`: any array with the spatial axes, such as `(batch, h, w, c)`; `n`: side of the neighbourhood;
    `spatial_axes`: the axes it spans, each adding one axis of length n at the end, so that two make a matrix (with
    other leading axes, count from the end: `(-3, -2)`); `interleave`: for all or for each spatial axis, order positions
    by `i mod n` and then by `i // n` (those beyond the last full block stay last), which brings neighbourhoods that do
    not overlap side by side.
    **Returns:** `x`'s axes, then one axis of length n for each spatial axis: `(batch, h, w, c, n, n)`.
    **Raises:** `ContractError` if `x` is not a float array or lacks a spatial axis, or for an entry that is no int (in
    `interleave`, no bool); `ValueError` for `n` below 1, for an axis named twice, or for `interleave` of another
    length.
    **Source:** MATNETS 3.2.5, `embed_pixels`.
    """
    _require_positive(n)
    axes = _from_front("spatial_axes", spatial_axes, x.ndim)
    flags = (interleave,) * len(axes) if isinstance(interleave, bool) else interleave
    _require_each("interleave", flags, bool)
    if len(flags) != len(axes):
        raise ValueError(
            f"`interleave` (={interleave}) must have one entry for each of the {len(axes)} spatial axes: "
            "give that many, or one bool for all."
        )
    pad = [(n // 2, (n - 1) // 2) if axis in axes else (0, 0) for axis in range(x.ndim)]
    windows = jnp.pad(x, pad)
    for axis, flag in zip(axes, flags, strict=True):
        order = _interleaved(x.shape[axis], n) if flag else np.arange(x.shape[axis])
        windows = _windows_at(windows, order, n, axis)
    return windows


@contract
def embed_sequence(x: Float[AnyArray, "..."], n: int, axis: int = -1) -> Float[Array, "..."]:
    """Each moment's past as a symmetric Toeplitz matrix: entry (i, j) is `x` |i − j| steps ago, 0 before the start.

    **Arguments:** `x`: any array with a time axis, such as `(batch, t, c)`; `n`: matrix side; `axis`: the time axis.
    **Returns:** `x`'s axes, then `(n, n)`: `(batch, t, c, n, n)`.
    **Raises:** `ContractError` if `x` is not a float array or lacks the axis; `ValueError` for `n` below 1.
    **Source:** MATNETS 3.2.5, `embed_sequence`.
    """
    _require_positive(n)
    (axis,) = _from_front("axis", axis, x.ndim)
    pad = [(n - 1, 0) if a == axis else (0, 0) for a in range(x.ndim)]
    newest_last = _windows_at(jnp.pad(x, pad), np.arange(x.shape[axis]), n, axis)
    delay = np.abs(np.arange(n)[:, None] - np.arange(n))
    return newest_last[..., n - 1 - delay]


@contract
def tile(x: Float[AnyArray, "*batch p"], n: int) -> Float[Array, "*batch p {n} {n}"]:
    """Each number repeated over a whole matrix.

    A layer acts on each column of a neuron by itself, with shared weights. So tiled neurons carry n equal columns
    through every layer without a bias: n times the work for one column's worth, and determinants that stay 0. Prefer
    `fold` or `patches`.

    **Arguments:** `x`: `(*batch, p)`; `n`: matrix side.
    **Returns:** `(*batch, p, n, n)`.
    **Raises:** `ContractError` if `x` has no axis; `ValueError` for `n` below 1.
    **Source:** the encoding of MATNETS' benchmarks.
    """
    _require_positive(n)
    return jnp.broadcast_to(x[..., None, None], (*x.shape, n, n))


def _require_positive(n: int) -> None:
    if n < 1:
        raise ValueError(f"`n` (={n}) must be at least 1: choose a positive matrix side.")


def _from_front(name: str, axes: int | Sequence[int], ndim: int) -> tuple[int, ...]:
    axes = (axes,) if isinstance(axes, int) else tuple(axes)
    _require_each(name, axes, int)
    for axis in axes:
        if not -ndim <= axis < ndim:
            raise ContractError(f"`{name}` names axis {axis}, x has {ndim} axes: name one from {-ndim} to {ndim - 1}.")
    front = tuple(axis % ndim for axis in axes)
    if len(set(front)) < len(front):
        raise ValueError(f"`{name}` (={axes}) must not name an axis twice: name each axis once.")
    return front


def _require_each(name: str, entries: tuple, kind: type) -> None:
    # Of a tuple of any length, beartype checks one entry, picked at random.
    if not all(isinstance(entry, kind) for entry in entries):
        raise ContractError(f"`{name}` (={entries}) must hold {kind.__name__}s: give one for each axis.")


def _windows_at(x: Array, starts: np.ndarray, n: int, axis: int) -> Array:
    """`x[..., starts + k, ...]` for k below n, with k as a new last axis."""
    positions = starts[:, None] + np.arange(n)
    return jnp.moveaxis(jnp.take(x, positions, axis=axis), axis + 1, -1)


def _interleaved(size: int, n: int) -> np.ndarray:
    blocks = size // n * n
    return np.concatenate([np.arange(blocks).reshape(-1, n).T.ravel(), np.arange(blocks, size)])
