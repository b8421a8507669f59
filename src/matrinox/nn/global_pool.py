"""Global pools: one matrix for each neuron from all places of a sequence, an image or a volume."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import (
    global_avg_pool1d,
    global_avg_pool2d,
    global_avg_pool3d,
    global_max_pool1d,
    global_max_pool2d,
    global_max_pool3d,
    global_sum_pool1d,
    global_sum_pool2d,
    global_sum_pool3d,
)


@contract
class _GlobalPool(eqx.Module):
    _function: ClassVar[Callable[..., Array]]


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
        return self._function(x)


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
        return self._function(x)


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
        return self._function(x)


@contract
class GlobalAvgPool1d(_GlobalPool1d):
    """The mean over all places: `(*batch, t, p, n, n)` to `(*batch, p, n, n)`.

    **Source:** `functional.global_avg_pool1d`; Lin et al. 2014, arXiv 1312.4400.

    >>> import jax.numpy as jnp
    >>> GlobalAvgPool1d()(jnp.ones((32, 8, 3, 4, 4))).shape
    (32, 3, 4, 4)
    """

    _function = staticmethod(global_avg_pool1d)


@contract
class GlobalAvgPool2d(_GlobalPool2d):
    """The mean over all places: `(*batch, h, w, p, n, n)` to `(*batch, p, n, n)`.

    **Source:** `functional.global_avg_pool2d`; Lin et al. 2014, arXiv 1312.4400.

    >>> import jax.numpy as jnp
    >>> GlobalAvgPool2d()(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 3, 4, 4)
    """

    _function = staticmethod(global_avg_pool2d)


@contract
class GlobalAvgPool3d(_GlobalPool3d):
    """The mean over all places: `(*batch, d, h, w, p, n, n)` to `(*batch, p, n, n)`.

    **Source:** `functional.global_avg_pool3d`; Lin et al. 2014, arXiv 1312.4400.

    >>> import jax.numpy as jnp
    >>> GlobalAvgPool3d()(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    _function = staticmethod(global_avg_pool3d)


@contract
class GlobalMaxPool1d(_GlobalPool1d):
    """The largest entry over all places: `(*batch, t, p, n, n)` to `(*batch, p, n, n)`.

    **Source:** `functional.global_max_pool1d`.

    >>> import jax.numpy as jnp
    >>> GlobalMaxPool1d()(jnp.ones((32, 8, 3, 4, 4))).shape
    (32, 3, 4, 4)
    """

    _function = staticmethod(global_max_pool1d)


@contract
class GlobalMaxPool2d(_GlobalPool2d):
    """The largest entry over all places: `(*batch, h, w, p, n, n)` to `(*batch, p, n, n)`.

    **Source:** `functional.global_max_pool2d`.

    >>> import jax.numpy as jnp
    >>> GlobalMaxPool2d()(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 3, 4, 4)
    """

    _function = staticmethod(global_max_pool2d)


@contract
class GlobalMaxPool3d(_GlobalPool3d):
    """The largest entry over all places: `(*batch, d, h, w, p, n, n)` to `(*batch, p, n, n)`.

    **Source:** `functional.global_max_pool3d`.

    >>> import jax.numpy as jnp
    >>> GlobalMaxPool3d()(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    _function = staticmethod(global_max_pool3d)


@contract
class GlobalSumPool1d(_GlobalPool1d):
    """The sum over all places: `(*batch, t, p, n, n)` to `(*batch, p, n, n)`.

    **Source:** `functional.global_sum_pool1d`.

    >>> import jax.numpy as jnp
    >>> GlobalSumPool1d()(jnp.ones((32, 8, 3, 4, 4))).shape
    (32, 3, 4, 4)
    """

    _function = staticmethod(global_sum_pool1d)


@contract
class GlobalSumPool2d(_GlobalPool2d):
    """The sum over all places: `(*batch, h, w, p, n, n)` to `(*batch, p, n, n)`.

    **Source:** `functional.global_sum_pool2d`.

    >>> import jax.numpy as jnp
    >>> GlobalSumPool2d()(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 3, 4, 4)
    """

    _function = staticmethod(global_sum_pool2d)


@contract
class GlobalSumPool3d(_GlobalPool3d):
    """The sum over all places: `(*batch, d, h, w, p, n, n)` to `(*batch, p, n, n)`.

    **Source:** `functional.global_sum_pool3d`.

    >>> import jax.numpy as jnp
    >>> GlobalSumPool3d()(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 3, 4, 4)
    """

    _function = staticmethod(global_sum_pool3d)
