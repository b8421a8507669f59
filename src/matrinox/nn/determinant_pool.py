"""Pools of whole matrices by their determinants, over windows of one, two or three axes."""

from matrinox.contract import contract
from matrinox.functional import avgd_pool1d, avgd_pool2d, avgd_pool3d, maxd_pool1d, maxd_pool2d, maxd_pool3d
from matrinox.nn.base_pool import BasePool1d, BasePool2d, BasePool3d, WindowPool


@contract
class MaxdPool1d(WindowPool, BasePool1d):
    """Each window's matrix of the highest determinant: `(*batch, t, p, n, n)` to `(*batch, t', p, n, n)`.

    **Arguments:** `window`, `stride`, `padding`, `dilation`, `input_dilation`: as for `functional.maxd_pool1d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.maxd_pool1d`.

    >>> import jax.numpy as jnp
    >>> MaxdPool1d(2)(jnp.ones((32, 8, 3, 4, 4))).shape
    (32, 4, 3, 4, 4)
    """

    _function = staticmethod(maxd_pool1d)


@contract
class MaxdPool2d(WindowPool, BasePool2d):
    """Each window's matrix of the highest determinant: `(*batch, h, w, p, n, n)` to `(*batch, h', w', p, n, n)`.

    **Arguments:** `window`, `stride`, `padding`, `dilation`, `input_dilation`: as for `functional.maxd_pool2d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.maxd_pool2d`.

    >>> import jax.numpy as jnp
    >>> MaxdPool2d(2)(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 4, 4, 3, 4, 4)
    """

    _function = staticmethod(maxd_pool2d)


@contract
class MaxdPool3d(WindowPool, BasePool3d):
    """Each window's matrix of the highest determinant: `(*batch, d, h, w, p, n, n)` to `(*batch, d', h', w', p, n, n)`.

    **Arguments:** `window`, `stride`, `padding`, `dilation`, `input_dilation`: as for `functional.maxd_pool3d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.maxd_pool3d`.

    >>> import jax.numpy as jnp
    >>> MaxdPool3d(2)(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 2, 2, 2, 3, 4, 4)
    """

    _function = staticmethod(maxd_pool3d)


@contract
class AvgdPool1d(WindowPool, BasePool1d):
    """Each window's sum of `X / det_root(X)`: `(*batch, t, p, n, n)` to `(*batch, t', p, n, n)`.

    **Arguments:** `window`, `stride`, `padding`, `dilation`, `input_dilation`: as for `functional.avgd_pool1d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.avgd_pool1d`.

    >>> import jax.numpy as jnp
    >>> AvgdPool1d(2)(jnp.ones((32, 8, 3, 4, 4))).shape
    (32, 4, 3, 4, 4)
    """

    _function = staticmethod(avgd_pool1d)


@contract
class AvgdPool2d(WindowPool, BasePool2d):
    """Each window's sum of `X / det_root(X)`: `(*batch, h, w, p, n, n)` to `(*batch, h', w', p, n, n)`.

    **Arguments:** `window`, `stride`, `padding`, `dilation`, `input_dilation`: as for `functional.avgd_pool2d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.avgd_pool2d`.

    >>> import jax.numpy as jnp
    >>> AvgdPool2d(2)(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 4, 4, 3, 4, 4)
    """

    _function = staticmethod(avgd_pool2d)


@contract
class AvgdPool3d(WindowPool, BasePool3d):
    """Each window's sum of `X / det_root(X)`: `(*batch, d, h, w, p, n, n)` to `(*batch, d', h', w', p, n, n)`.

    **Arguments:** `window`, `stride`, `padding`, `dilation`, `input_dilation`: as for `functional.avgd_pool3d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.avgd_pool3d`.

    >>> import jax.numpy as jnp
    >>> AvgdPool3d(2)(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 2, 2, 2, 3, 4, 4)
    """

    _function = staticmethod(avgd_pool3d)
