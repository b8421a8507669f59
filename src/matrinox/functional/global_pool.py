"""Pools over all places of a sequence, an image or a volume: one matrix for each neuron."""

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.window import LETTERS


@contract
def global_avg_pool1d(x: Float[AnyArray, "*batch t p n n"]) -> Float[Array, "*batch p n n"]:
    """The mean of each entry over all places of a sequence.

    **Arguments:** `x`: `(*batch, t, p, n, n)`.
    **Returns:** `(*batch, p, n, n)`; half precision is summed in float32.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(t, p, n, n)` with square matrices;
    `ValueError` for an axis of no places.
    **Source:** Lin et al. 2014, arXiv 1312.4400.
    """
    return _pool(jnp.mean, x, 1)


@contract
def global_avg_pool2d(x: Float[AnyArray, "*batch h w p n n"]) -> Float[Array, "*batch p n n"]:
    """The mean of each entry over all places of an image.

    **Arguments:** `x`: `(*batch, h, w, p, n, n)`.
    **Returns:** `(*batch, p, n, n)`; half precision is summed in float32.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(h, w, p, n, n)` with square matrices;
    `ValueError` for an axis of no places.
    **Source:** Lin et al. 2014, arXiv 1312.4400.
    """
    return _pool(jnp.mean, x, 2)


@contract
def global_avg_pool3d(x: Float[AnyArray, "*batch d h w p n n"]) -> Float[Array, "*batch p n n"]:
    """The mean of each entry over all places of a volume.

    **Arguments:** `x`: `(*batch, d, h, w, p, n, n)`.
    **Returns:** `(*batch, p, n, n)`; half precision is summed in float32.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(d, h, w, p, n, n)` with square matrices;
    `ValueError` for an axis of no places.
    **Source:** Lin et al. 2014, arXiv 1312.4400.
    """
    return _pool(jnp.mean, x, 3)


@contract
def global_max_pool1d(x: Float[AnyArray, "*batch t p n n"]) -> Float[Array, "*batch p n n"]:
    """The largest of each entry over all places of a sequence.

    Equals share the gradient.

    **Arguments:** `x`: `(*batch, t, p, n, n)`.
    **Returns:** `(*batch, p, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(t, p, n, n)` with square matrices;
    `ValueError` for an axis of no places.
    **Source:** `max_pool1d` with one window.
    """
    return _pool(jnp.max, x, 1)


@contract
def global_max_pool2d(x: Float[AnyArray, "*batch h w p n n"]) -> Float[Array, "*batch p n n"]:
    """The largest of each entry over all places of an image.

    Equals share the gradient.

    **Arguments:** `x`: `(*batch, h, w, p, n, n)`.
    **Returns:** `(*batch, p, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(h, w, p, n, n)` with square matrices;
    `ValueError` for an axis of no places.
    **Source:** `max_pool2d` with one window.
    """
    return _pool(jnp.max, x, 2)


@contract
def global_max_pool3d(x: Float[AnyArray, "*batch d h w p n n"]) -> Float[Array, "*batch p n n"]:
    """The largest of each entry over all places of a volume.

    Equals share the gradient.

    **Arguments:** `x`: `(*batch, d, h, w, p, n, n)`.
    **Returns:** `(*batch, p, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(d, h, w, p, n, n)` with square matrices;
    `ValueError` for an axis of no places.
    **Source:** `max_pool3d` with one window.
    """
    return _pool(jnp.max, x, 3)


@contract
def global_sum_pool1d(x: Float[AnyArray, "*batch t p n n"]) -> Float[Array, "*batch p n n"]:
    """The sum of each entry over all places of a sequence.

    **Arguments:** `x`: `(*batch, t, p, n, n)`.
    **Returns:** `(*batch, p, n, n)`; half precision is summed in float32.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(t, p, n, n)` with square matrices;
    `ValueError` for an axis of no places.
    **Source:** `sum_pool1d` with one window.
    """
    return _pool(jnp.sum, x, 1)


@contract
def global_sum_pool2d(x: Float[AnyArray, "*batch h w p n n"]) -> Float[Array, "*batch p n n"]:
    """The sum of each entry over all places of an image.

    **Arguments:** `x`: `(*batch, h, w, p, n, n)`.
    **Returns:** `(*batch, p, n, n)`; half precision is summed in float32.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(h, w, p, n, n)` with square matrices;
    `ValueError` for an axis of no places.
    **Source:** `sum_pool2d` with one window.
    """
    return _pool(jnp.sum, x, 2)


@contract
def global_sum_pool3d(x: Float[AnyArray, "*batch d h w p n n"]) -> Float[Array, "*batch p n n"]:
    """The sum of each entry over all places of a volume.

    **Arguments:** `x`: `(*batch, d, h, w, p, n, n)`.
    **Returns:** `(*batch, p, n, n)`; half precision is summed in float32.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(d, h, w, p, n, n)` with square matrices;
    `ValueError` for an axis of no places.
    **Source:** `sum_pool3d` with one window.
    """
    return _pool(jnp.sum, x, 3)


def _pool(reduce_fn: Callable[..., Array], x: AnyArray, axes: int) -> Array:
    for letter, size in zip(LETTERS[axes], x.shape[-3 - axes : -3], strict=True):
        if size < 1:
            raise ValueError(f"`{letter}` (={size}) must be at least 1: a global pool needs a place to pool over.")
    return reduce_fn(jnp.asarray(x), axis=tuple(range(-3 - axes, -3)))
