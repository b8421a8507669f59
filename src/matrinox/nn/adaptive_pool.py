"""Pools to a size that is given, whatever the size of what comes in."""

from typing import Any

import equinox as eqx

from matrinox.contract import contract
from matrinox.functional import (
    adaptive_avg_pool1d,
    adaptive_avg_pool2d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    adaptive_max_pool3d,
)
from matrinox.functional.window import Sizes, per_axis
from matrinox.nn.base_pool import BasePool, BasePool1d, BasePool2d, BasePool3d


@contract
class _AdaptivePool(BasePool):
    size: Sizes = eqx.field(static=True)

    def __check_init__(self):
        per_axis("size", self.size, self._axes)

    @property
    def _options(self) -> dict[str, Any]:
        return {"size": self.size}


@contract
class AdaptiveAvgPool1d(_AdaptivePool, BasePool1d):
    """The mean of the entries in each of `size` parts: `(*batch, t, p, n, n)` to `(*batch, t', p, n, n)`.

    **Arguments:** `size`: as for `functional.adaptive_avg_pool1d`.
    **Raises:** `ValueError` as that function; for a size without a meaning, when the layer is built.
    **Source:** `functional.adaptive_avg_pool1d`; Equinox, `nn.AdaptiveAvgPool1d`.

    >>> import jax.numpy as jnp
    >>> AdaptiveAvgPool1d(4)(jnp.ones((32, 8, 3, 4, 4))).shape
    (32, 4, 3, 4, 4)
    """

    _function = staticmethod(adaptive_avg_pool1d)


@contract
class AdaptiveAvgPool2d(_AdaptivePool, BasePool2d):
    """The mean of the entries in each of `size` parts: `(*batch, h, w, p, n, n)` to `(*batch, h', w', p, n, n)`.

    **Arguments:** `size`: as for `functional.adaptive_avg_pool2d`.
    **Raises:** `ValueError` as that function; for a size without a meaning, when the layer is built.
    **Source:** `functional.adaptive_avg_pool2d`; Equinox, `nn.AdaptiveAvgPool2d`.

    >>> import jax.numpy as jnp
    >>> AdaptiveAvgPool2d(4)(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 4, 4, 3, 4, 4)
    """

    _function = staticmethod(adaptive_avg_pool2d)


@contract
class AdaptiveAvgPool3d(_AdaptivePool, BasePool3d):
    """The mean of the entries in each of `size` parts: `(*batch, d, h, w, p, n, n)` to `(*batch, d', h', w', p, n, n)`.

    **Arguments:** `size`: as for `functional.adaptive_avg_pool3d`.
    **Raises:** `ValueError` as that function; for a size without a meaning, when the layer is built.
    **Source:** `functional.adaptive_avg_pool3d`; Equinox, `nn.AdaptiveAvgPool3d`.

    >>> import jax.numpy as jnp
    >>> AdaptiveAvgPool3d(2)(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 2, 2, 2, 3, 4, 4)
    """

    _function = staticmethod(adaptive_avg_pool3d)


@contract
class AdaptiveMaxPool1d(_AdaptivePool, BasePool1d):
    """The largest entries in each of `size` parts: `(*batch, t, p, n, n)` to `(*batch, t', p, n, n)`.

    **Arguments:** `size`: as for `functional.adaptive_max_pool1d`.
    **Raises:** `ValueError` as that function; for a size without a meaning, when the layer is built.
    **Source:** `functional.adaptive_max_pool1d`; Equinox, `nn.AdaptiveMaxPool1d`.

    >>> import jax.numpy as jnp
    >>> AdaptiveMaxPool1d(4)(jnp.ones((32, 8, 3, 4, 4))).shape
    (32, 4, 3, 4, 4)
    """

    _function = staticmethod(adaptive_max_pool1d)


@contract
class AdaptiveMaxPool2d(_AdaptivePool, BasePool2d):
    """The largest entries in each of `size` parts: `(*batch, h, w, p, n, n)` to `(*batch, h', w', p, n, n)`.

    **Arguments:** `size`: as for `functional.adaptive_max_pool2d`.
    **Raises:** `ValueError` as that function; for a size without a meaning, when the layer is built.
    **Source:** `functional.adaptive_max_pool2d`; Equinox, `nn.AdaptiveMaxPool2d`.

    >>> import jax.numpy as jnp
    >>> AdaptiveMaxPool2d(4)(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 4, 4, 3, 4, 4)
    """

    _function = staticmethod(adaptive_max_pool2d)


@contract
class AdaptiveMaxPool3d(_AdaptivePool, BasePool3d):
    """The largest entries in each of `size` parts: `(*batch, d, h, w, p, n, n)` to `(*batch, d', h', w', p, n, n)`.

    **Arguments:** `size`: as for `functional.adaptive_max_pool3d`.
    **Raises:** `ValueError` as that function; for a size without a meaning, when the layer is built.
    **Source:** `functional.adaptive_max_pool3d`; Equinox, `nn.AdaptiveMaxPool3d`.

    >>> import jax.numpy as jnp
    >>> AdaptiveMaxPool3d(2)(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 2, 2, 2, 3, 4, 4)
    """

    _function = staticmethod(adaptive_max_pool3d)
