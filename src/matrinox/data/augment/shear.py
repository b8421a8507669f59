"""Shears of images: rows move along, and then columns, each further the further it is from the middle."""

import math
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional.precision import widen
from matrinox.io.config import check_config


@contract
def shear_images(
    key: PRNGKeyArray, images: Float[AnyArray, "*batch h w c"], *, slope: float = 0.2, pixels: float = 1.0
) -> Float[Array, "*batch h w c"]:
    """Moves each row along by `a · (its distance from the middle) + s`, then each column likewise, filling with zeros.

    Each image has two draws of a, from −`slope` to `slope`, and of s, from −`pixels` to `pixels`. Slopes that are
    opposite turn it, by about as many radians, and slopes that are equal stretch it along a diagonal. Between pixels it
    is interpolated linearly.

    **Arguments:** `key`; `images`: `(*batch, h, w, c)`, each sheared by draws of its own; `slope`, `pixels`: 0 or more.
    **Returns:** `(*batch, h, w, c)`, of the dtype of `images`.
    **Raises:** `ContractError` if `images` has fewer than three axes; `ValueError` if `slope` or `pixels` is negative
    or not finite.
    """
    _check_moves(slope, pixels)
    images = jnp.asarray(images)
    x = widen(images)
    for along, pass_key in zip((-2, -3), jax.random.split(key), strict=True):
        x = _moved(pass_key, x, along, slope, pixels)
    return x.astype(images.dtype)


def _moved(key: PRNGKeyArray, x: Array, along: int, slope: float, pixels: float) -> Array:
    # A sum of shifted images, each weighted by how near its shift is: far quicker than to gather pixels.
    across = -5 - along
    draws = jax.random.uniform(key, (2, *x.shape[:-3], 1, 1, 1), x.dtype, minval=-1.0, maxval=1.0)
    places = (jnp.arange(x.shape[across], dtype=x.dtype) - (x.shape[across] - 1) / 2)[:, None]
    places = places[..., None] if across == -3 else places
    moves = slope * draws[0] * places + pixels * draws[1]
    # Behind its own length nothing is left of a row.
    furthest = math.ceil(min(slope * (x.shape[across] - 1) / 2 + pixels, x.shape[along]))
    sides = [(0, 0)] * x.ndim
    sides[along] = (furthest, furthest)
    padded, size = jnp.pad(x, sides), x.shape[along]
    total = jnp.zeros_like(x)
    for shift in range(-furthest, furthest + 1):
        near = jnp.maximum(0, 1 - jnp.abs(moves - shift))
        total += near * jax.lax.slice_in_dim(padded, furthest - shift, furthest - shift + size, axis=along)
    return total


@dataclass(frozen=True)
class Shear:
    """Images sheared and moved by parts of pixels, as `shear_images` does.

    **Arguments:** `slope`, `pixels`: 0 or more.
    **Raises:** `ValueError` if one is no number, negative or not finite.
    """

    slope: float = 0.2
    pixels: float = 1.0

    def __post_init__(self):
        check_config(self)
        _check_moves(self.slope, self.pixels)

    @contract
    def __call__(self, key: PRNGKeyArray, images: Float[AnyArray, "*batch h w c"]) -> Float[Array, "*batch h w c"]:
        """Shears each image.

        **Arguments:** `key`; `images`: `(*batch, h, w, c)`.
        **Returns:** `(*batch, h, w, c)`, of the dtype of `images`.
        **Raises:** `ContractError` if `images` has fewer than three axes.
        """
        return shear_images(key, images, slope=self.slope, pixels=self.pixels)


def _check_moves(slope: float, pixels: float) -> None:
    for name, value in (("slope", slope), ("pixels", pixels)):
        if not 0 <= value < math.inf:
            raise ValueError(f"`{name}` (={value}) must be 0 or more, and finite: choose 0 for none.")
