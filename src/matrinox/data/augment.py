"""Augmentation: changes of an input that leave its target as it was."""

import jax
import jax.numpy as jnp
from jax import Array, lax
from jaxtyping import Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract


@contract
def shift_images(
    key: PRNGKeyArray, images: Float[AnyArray, "*batch h w c"], *, pixels: int = 1
) -> Float[Array, "*batch h w c"]:
    """Moves each image by a whole number of pixels, from −`pixels` to `pixels` down and across, filling with zeros.

    **Arguments:** `key`; `images`: `(*batch, h, w, c)`, each moved by a draw of its own; `pixels`: 0 or more.
    **Returns:** `(*batch, h, w, c)`.
    **Raises:** `ContractError` if `images` has fewer than three axes; `ValueError` if `pixels` is negative.
    """
    if pixels < 0:
        raise ValueError(f"`pixels` (={pixels}) must be 0 or more: use 0 for no shift.")
    *batch, h, w, c = images.shape
    flat = jnp.reshape(images, (-1, h, w, c))
    corners = jax.random.randint(key, (flat.shape[0], 2), 0, 2 * pixels + 1)
    padded = jnp.pad(flat, ((0, 0), (pixels, pixels), (pixels, pixels), (0, 0)))
    moved = jax.vmap(lambda image, corner: lax.dynamic_slice(image, (*corner, 0), (h, w, c)))(padded, corners)
    return moved.reshape(*batch, h, w, c)
