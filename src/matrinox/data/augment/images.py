"""Augmentation of images: each is moved, cropped, mirrored or partly hidden by a draw of its own."""

from dataclasses import dataclass
from typing import Literal

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.data.ssl.masks import block_mask
from matrinox.functional.precision import widen
from matrinox.io.config import check_config

Axis = Literal["across", "down"]


@contract
def shift_images(
    key: PRNGKeyArray, images: Float[AnyArray, "*batch h w c"], *, pixels: int = 1
) -> Float[Array, "*batch h w c"]:
    """Moves each image by a whole number of pixels, from −`pixels` to `pixels` down and across, filling with zeros.

    **Arguments:** `key`; `images`: `(*batch, h, w, c)`, each moved by a draw of its own; `pixels`: 0 or more.
    **Returns:** `(*batch, h, w, c)`.
    **Raises:** `ContractError` if `images` has fewer than three axes; `ValueError` if `pixels` is negative.
    """
    _check_pixels(pixels)
    *_, h, w, _ = images.shape
    padding = ((0, 0),) * (images.ndim - 3) + ((pixels, pixels), (pixels, pixels), (0, 0))
    return _cut(key, jnp.pad(images, padding), (h, w))


@contract
def crop_images(
    key: PRNGKeyArray, images: Float[AnyArray, "*batch h w c"], *, size: int | tuple[int, int], resize: bool = False
) -> Float[Array, "*batch _ _ c"]:
    """Cuts a window out of each image, at a random place inside it.

    **Arguments:** `key`; `images`: `(*batch, h, w, c)`, each cut by a draw of its own; `size`: of the window, one
    number for a square or `(height, width)`, at most that of the images; `resize`: bring the window back to the size of
    the image, by linear interpolation.
    **Returns:** `(*batch, height, width, c)`, or `(*batch, h, w, c)` with `resize`; the dtype of `images`.
    **Raises:** `ContractError` if `images` has fewer than three axes; `ValueError` if the window is not between 1 and
    the size of the images.
    """
    images = jnp.asarray(images)
    *batch, h, w, c = images.shape
    window = _fitting(size, (h, w))
    cut = _cut(key, images, window)
    if not resize:
        return cut
    return jax.image.resize(widen(cut), (*batch, h, w, c), "linear").astype(images.dtype)


@contract
def flip_images(
    key: PRNGKeyArray, images: Float[AnyArray, "*batch h w c"], *, axis: Axis = "across", probability: float = 0.5
) -> Float[Array, "*batch h w c"]:
    """Mirrors each image, or leaves it.

    **Arguments:** `key`; `images`: `(*batch, h, w, c)`, for each of which a draw decides; `axis`: `"across"` changes
    left and right, `"down"` top and bottom; `probability`: of being mirrored, from 0 to 1.
    **Returns:** `(*batch, h, w, c)`.
    **Raises:** `ContractError` if `images` has fewer than three axes, and for another `axis`; `ValueError` if
    `probability` is outside.
    """
    _check_probability(probability)
    images = jnp.asarray(images)
    mirrored = jax.random.bernoulli(key, probability, images.shape[:-3])
    return jnp.where(mirrored[..., None, None, None], jnp.flip(images, -2 if axis == "across" else -3), images)


@contract
def cutout_images(
    key: PRNGKeyArray, images: Float[AnyArray, "*batch h w c"], *, size: int | tuple[int, int], fill: float = 0.0
) -> Float[Array, "*batch h w c"]:
    """Hides a window of each image, at a random place inside it.

    **Arguments:** `key`; `images`: `(*batch, h, w, c)`, each hidden by a draw of its own; `size`: of the window, one
    number for a square or `(height, width)`, at most that of the images; `fill`: what stands there instead.
    **Returns:** `(*batch, h, w, c)`.
    **Raises:** `ContractError` if `images` has fewer than three axes; `ValueError` if the window is not between 1 and
    the size of the images.
    **Source:** DeVries and Taylor 2017, "Improved regularization of convolutional neural networks with cutout".
    """
    images = jnp.asarray(images)
    *batch, h, w, _ = images.shape
    flat = images.reshape(-1, *images.shape[-3:])
    hidden = block_mask(key, len(flat), (h, w), block=_fitting(size, (h, w)))
    return jnp.where(hidden.reshape(*batch, h, w, 1), jnp.asarray(fill, images.dtype), images)


@dataclass(frozen=True)
class Shift:
    """Images moved by whole pixels, as `shift_images` moves them.

    **Arguments:** `pixels`: 0 or more.
    **Raises:** `ValueError` if `pixels` is no integer or negative.
    """

    pixels: int = 1

    def __post_init__(self):
        check_config(self)
        _check_pixels(self.pixels)

    @contract
    def __call__(self, key: PRNGKeyArray, images: Float[AnyArray, "*batch h w c"]) -> Float[Array, "*batch h w c"]:
        """Moves each image.

        **Arguments:** `key`; `images`: `(*batch, h, w, c)`.
        **Returns:** `(*batch, h, w, c)`.
        **Raises:** `ContractError` if `images` has fewer than three axes.
        """
        return shift_images(key, images, pixels=self.pixels)


@dataclass(frozen=True)
class Crop:
    """A window of each image, as `crop_images` cuts it.

    **Arguments:** `size`: of the window, one number for a square or `(height, width)`; `resize`: bring the window back
    to the size of the image, which a model of images of one size needs.
    **Raises:** `ValueError` for a value of another type, or a size below 1.
    """

    size: int | tuple[int, int]
    resize: bool = True

    def __post_init__(self):
        check_config(self)
        _window(self.size)

    @contract
    def __call__(self, key: PRNGKeyArray, images: Float[AnyArray, "*batch h w c"]) -> Float[Array, "*batch _ _ c"]:
        """Cuts each image.

        **Arguments:** `key`; `images`: `(*batch, h, w, c)`.
        **Returns:** `(*batch, h, w, c)`, or `(*batch, height, width, c)` without `resize`.
        **Raises:** `ContractError` if `images` has fewer than three axes; `ValueError` if they are smaller than the
        window.
        """
        return crop_images(key, images, size=self.size, resize=self.resize)


@dataclass(frozen=True)
class Flip:
    """Images mirrored or left, as `flip_images` mirrors them.

    **Arguments:** `axis`: `"across"` changes left and right, `"down"` top and bottom; `probability`: from 0 to 1.
    **Raises:** `ValueError` for another `axis`, or if `probability` is no number or outside.
    """

    axis: Axis = "across"
    probability: float = 0.5

    def __post_init__(self):
        check_config(self)
        _check_probability(self.probability)

    @contract
    def __call__(self, key: PRNGKeyArray, images: Float[AnyArray, "*batch h w c"]) -> Float[Array, "*batch h w c"]:
        """Mirrors some of the images.

        **Arguments:** `key`; `images`: `(*batch, h, w, c)`.
        **Returns:** `(*batch, h, w, c)`.
        **Raises:** `ContractError` if `images` has fewer than three axes.
        """
        return flip_images(key, images, axis=self.axis, probability=self.probability)


@dataclass(frozen=True)
class Cutout:
    """Images of which a window is hidden, as `cutout_images` hides it.

    **Arguments:** `size`: of the window, one number for a square or `(height, width)`; `fill`: what stands there.
    **Raises:** `ValueError` for a value of another type, or a size below 1.
    """

    size: int | tuple[int, int]
    fill: float = 0.0

    def __post_init__(self):
        check_config(self)
        _window(self.size)

    @contract
    def __call__(self, key: PRNGKeyArray, images: Float[AnyArray, "*batch h w c"]) -> Float[Array, "*batch h w c"]:
        """Hides a window of each image.

        **Arguments:** `key`; `images`: `(*batch, h, w, c)`.
        **Returns:** `(*batch, h, w, c)`.
        **Raises:** `ContractError` if `images` has fewer than three axes; `ValueError` if they are smaller than the
        window.
        """
        return cutout_images(key, images, size=self.size, fill=self.fill)


def _cut(key: PRNGKeyArray, images: Array, window: tuple[int, int]) -> Array:
    """A window of each image `(*batch, h, w, c)`, its corner drawn anew for each."""
    *batch, h, w, c = images.shape
    flat = jnp.reshape(images, (-1, h, w, c))
    free = jnp.asarray((h - window[0] + 1, w - window[1] + 1))
    corners = jax.random.randint(key, (flat.shape[0], 2), 0, free)
    cut = jax.vmap(lambda image, corner: lax.dynamic_slice(image, (*corner, 0), (*window, c)))(flat, corners)
    return cut.reshape(*batch, *window, c)


def _window(size: int | tuple[int, int]) -> tuple[int, int]:
    window = (size, size) if isinstance(size, int) else size
    if min(window) < 1:
        raise ValueError(f"`size` (={size}) must be at least 1: give one number for a square, or (height, width).")
    return window


def _fitting(size: int | tuple[int, int], images: tuple[int, int]) -> tuple[int, int]:
    window = _window(size)
    if window[0] > images[0] or window[1] > images[1]:
        raise ValueError(
            f"`size` (={size}) must be at most that of the images, {images[0]} × {images[1]}: choose a smaller window."
        )
    return window


def _check_pixels(pixels: int) -> None:
    if pixels < 0:
        raise ValueError(f"`pixels` (={pixels}) must be 0 or more: use 0 for no shift.")


def _check_probability(probability: float) -> None:
    if not 0 <= probability <= 1:
        raise ValueError(f"`probability` (={probability}) must be from 0 to 1: 0.5 mirrors one half.")
