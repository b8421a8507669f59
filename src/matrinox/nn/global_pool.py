"""Global pools: one matrix for each neuron from all places of a sequence, an image or a volume."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional.window import LETTERS


@contract
class _GlobalPool(eqx.Module):
    _reduce: ClassVar[Callable[..., Array]]

    def _over(self, x: Array, axes: int) -> Array:
        for letter, size in zip(LETTERS[axes], x.shape[-3 - axes : -3], strict=True):
            if size < 1:
                raise ValueError(f"`{letter}` (={size}) must be at least 1: a global pool needs a place to pool over.")
        return self._reduce(x, axis=tuple(range(-3 - axes, -3)))


@contract
class _GlobalPool1d(_GlobalPool):
    def __call__(
        self, x: Float[AnyArray, "*batch t p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch p n n"]:
        """Pools over every place, entry by entry.

        **Arguments:** `x`: `(*batch, t, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, p, n, n)`.
        **Raises:** `ContractError` if the matrices are not square, or for a missing axis; `ValueError` for an axis of
        no places.
        """
        return self._over(jnp.asarray(x), 1)


@contract
class _GlobalPool2d(_GlobalPool):
    def __call__(
        self, x: Float[AnyArray, "*batch h w p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch p n n"]:
        """Pools over every place, entry by entry.

        **Arguments:** `x`: `(*batch, h, w, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, p, n, n)`.
        **Raises:** `ContractError` if the matrices are not square, or for a missing axis; `ValueError` for an axis of
        no places.
        """
        return self._over(jnp.asarray(x), 2)


@contract
class _GlobalPool3d(_GlobalPool):
    def __call__(
        self, x: Float[AnyArray, "*batch d h w p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch p n n"]:
        """Pools over every place, entry by entry.

        **Arguments:** `x`: `(*batch, d, h, w, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, p, n, n)`.
        **Raises:** `ContractError` if the matrices are not square, or for a missing axis; `ValueError` for an axis of
        no places.
        """
        return self._over(jnp.asarray(x), 3)


@contract
class GlobalAvgPool1d(_GlobalPool1d):
    """The mean over all places: `(*batch, t, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** when called, `ContractError` if the matrices are not square, or for a missing axis; `ValueError` for an
    axis of no places.
    **Source:** Lin et al. 2014, arXiv 1312.4400.

    >>> import jax.numpy as jnp
    >>> GlobalAvgPool1d()(jnp.ones((32, 8, 3, 4, 4))).shape
    (32, 3, 4, 4)
    """

    _reduce = staticmethod(jnp.mean)


@contract
class GlobalAvgPool2d(_GlobalPool2d):
    """The mean over all places: `(*batch, h, w, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** when called, `ContractError` if the matrices are not square, or for a missing axis; `ValueError` for an
    axis of no places.
    **Source:** Lin et al. 2014, arXiv 1312.4400.

    >>> import jax.numpy as jnp
    >>> GlobalAvgPool2d()(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 3, 4, 4)
    """

    _reduce = staticmethod(jnp.mean)


@contract
class GlobalAvgPool3d(_GlobalPool3d):
    """The mean over all places: `(*batch, d, h, w, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** when called, `ContractError` if the matrices are not square, or for a missing axis; `ValueError` for an
    axis of no places.
    **Source:** Lin et al. 2014, arXiv 1312.4400.

    >>> import jax.numpy as jnp
    >>> GlobalAvgPool3d()(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    _reduce = staticmethod(jnp.mean)


@contract
class GlobalMaxPool1d(_GlobalPool1d):
    """The largest entry over all places: `(*batch, t, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** when called, `ContractError` if the matrices are not square, or for a missing axis; `ValueError` for an
    axis of no places.
    **Source:** Lin et al. 2014, arXiv 1312.4400.

    >>> import jax.numpy as jnp
    >>> GlobalMaxPool1d()(jnp.ones((32, 8, 3, 4, 4))).shape
    (32, 3, 4, 4)
    """

    _reduce = staticmethod(jnp.max)


@contract
class GlobalMaxPool2d(_GlobalPool2d):
    """The largest entry over all places: `(*batch, h, w, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** when called, `ContractError` if the matrices are not square, or for a missing axis; `ValueError` for an
    axis of no places.
    **Source:** Lin et al. 2014, arXiv 1312.4400.

    >>> import jax.numpy as jnp
    >>> GlobalMaxPool2d()(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 3, 4, 4)
    """

    _reduce = staticmethod(jnp.max)


@contract
class GlobalMaxPool3d(_GlobalPool3d):
    """The largest entry over all places: `(*batch, d, h, w, p, n, n)` to `(*batch, p, n, n)`.

    **Raises:** when called, `ContractError` if the matrices are not square, or for a missing axis; `ValueError` for an
    axis of no places.
    **Source:** Lin et al. 2014, arXiv 1312.4400.

    >>> import jax.numpy as jnp
    >>> GlobalMaxPool3d()(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    _reduce = staticmethod(jnp.max)
