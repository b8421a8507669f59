"""Patches: places of several entries each, hidden and shown as one, in vectors, images, volumes or matrix neurons."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.data.ssl.masks import Grid, Mask


@contract
def patch_grid(shape: tuple[int, ...], patch: tuple[int, ...]) -> Grid:
    """How many patches fit along each axis that they span.

    **Arguments:** `shape`: of an example, its axes that patches span in front; `patch`: entries along each of these.
    **Returns:** one number for each axis of `patch`.
    **Raises:** `ValueError` if there is no axis, one is missing, or `patch` does not divide one.
    """
    if not patch or len(patch) > len(shape):
        raise ValueError(
            f"`patch` (={patch}) must have from 1 to {len(shape)} axes, as an example of shape {shape} has: "
            "give (1,) for the places of a vector, or (4, 4) for squares of an image."
        )
    for axis, (size, side) in enumerate(zip(shape, patch, strict=False)):
        if side < 1 or size % side:
            raise ValueError(
                f"axis {axis} of an example (={size}) must be divisible by its side of `patch` (={side}): "
                f"choose a divisor of {size}, or crop or pad the examples."
            )
    return tuple(size // side for size, side in zip(shape, patch, strict=False))


@contract
def spread_mask(
    mask: Bool[AnyArray, "batch ..."], patch: tuple[int, ...], shape: tuple[int, ...]
) -> Bool[Array, "batch *shape"]:
    """A mask of patches as one of entries: each entry is hidden where its patch is.

    **Arguments:** `mask`: `(batch, *grid)`; `patch`: entries along each axis of the grid; `shape`: of an example.
    **Returns:** `(batch, *shape)`.
    **Raises:** `ValueError` if the grid is not that of such patches.
    """
    grid = patch_grid(shape, patch)
    if mask.shape[1:] != grid:
        raise ValueError(f"`mask` (={list(mask.shape)}) must be (batch, {', '.join(map(str, grid))}): one per patch.")
    spread = jnp.asarray(mask)
    for axis, side in enumerate(patch):
        spread = jnp.repeat(spread, side, axis=axis + 1)
    spread = spread.reshape(spread.shape + (1,) * (len(shape) - len(patch)))
    return jnp.broadcast_to(spread, (mask.shape[0], *shape))


@contract
def masked_sample(
    key: PRNGKeyArray,
    inputs: Float[AnyArray, "batch *shape"],
    mask: Mask,
    *,
    patch: tuple[int, ...] = (1,),
    fill: float = 0.0,
) -> tuple[Float[Array, "batch *shape"], Bool[Array, "batch *shape"]]:
    """What a masked autoencoder is given, and where it is to tell what the inputs held.

    **Arguments:** `key`; `inputs`: `(batch, *shape)`, the axes that patches span in front: vectors `(batch, features)`,
    images `(batch, h, w, c)`, matrix neurons `(batch, p, n, n)`; `mask`: which patches are hidden, such as
    `RandomMask(0.75)`; `patch`: entries of a patch along each axis that it spans, `(4, 4)` for images, all channels
    together; `fill`: what stands in place of what is hidden.
    **Returns:** the inputs with what is hidden filled, and the mask, both `(batch, *shape)`.
    **Raises:** `ValueError` if patches do not fit the shape, or the mask hides none or all of them; `ContractError` if
    `inputs` has no batch axis.
    **Source:** TorchLean, `ssl.vectorMaeSample` and `ssl.imagePatchMask`; He et al. 2022, "Masked autoencoders are
    scalable vision learners".
    """
    batch, *rest = inputs.shape
    shape = tuple(rest)
    hidden = spread_mask(mask(key, batch, patch_grid(shape, patch)), patch, shape)
    values = jnp.asarray(inputs)
    return jnp.where(hidden, jnp.asarray(fill, values.dtype), values), hidden


@contract
def vector_prefix(inputs: Float[AnyArray, "batch *shape"], length: int) -> Float[Array, "batch {length}"]:
    """The first entries of each example, all its axes in one row: any data as short vectors.

    **Arguments:** `inputs`: `(batch, *shape)`; `length`: how many entries, at most all of an example.
    **Returns:** `(batch, length)`.
    **Raises:** `ValueError` if `length` is not between 1 and the entries of an example; `ContractError` if `inputs` has
    no batch axis.
    **Source:** TorchLean, `ssl.tensorPrefixMaeSample`.
    """
    entries = math.prod(inputs.shape[1:])
    if not 1 <= length <= entries:
        raise ValueError(f"`length` (={length}) must be from 1 to the {entries} entries of an example: choose less.")
    return jax.lax.slice_in_dim(jnp.reshape(inputs, (inputs.shape[0], entries)), 0, length, axis=1)
