"""Max, average and sum pools over windows of one, two or three axes."""

from matrinox.contract import contract
from matrinox.functional import (
    avg_pool1d,
    avg_pool2d,
    avg_pool3d,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    sum_pool1d,
    sum_pool2d,
    sum_pool3d,
)
from matrinox.nn.base_pool import BasePool1d, BasePool2d, BasePool3d, WindowPool


@contract
class MaxPool1d(WindowPool, BasePool1d):
    """The largest of each window's entries: `(*batch, t, p, n, n)` to `(*batch, t', p, n, n)`.

    **Arguments:** `window`, `stride`, `padding`, `dilation`, `input_dilation`: as for `functional.max_pool1d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.max_pool1d`.

    >>> import jax.numpy as jnp
    >>> MaxPool1d(2)(jnp.ones((32, 8, 3, 4, 4))).shape
    (32, 4, 3, 4, 4)
    """

    _function = staticmethod(max_pool1d)


@contract
class MaxPool2d(WindowPool, BasePool2d):
    """The largest of each window's entries: `(*batch, h, w, p, n, n)` to `(*batch, h', w', p, n, n)`.

    **Arguments:** `window`, `stride`, `padding`, `dilation`, `input_dilation`: as for `functional.max_pool2d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.max_pool2d`.

    >>> import jax.numpy as jnp
    >>> MaxPool2d(2)(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 4, 4, 3, 4, 4)
    """

    _function = staticmethod(max_pool2d)


@contract
class MaxPool3d(WindowPool, BasePool3d):
    """The largest of each window's entries: `(*batch, d, h, w, p, n, n)` to `(*batch, d', h', w', p, n, n)`.

    **Arguments:** `window`, `stride`, `padding`, `dilation`, `input_dilation`: as for `functional.max_pool3d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.max_pool3d`.

    >>> import jax.numpy as jnp
    >>> MaxPool3d(2)(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 2, 2, 2, 3, 4, 4)
    """

    _function = staticmethod(max_pool3d)


@contract
class AvgPool1d(WindowPool, BasePool1d):
    """The mean of each window's entries: `(*batch, t, p, n, n)` to `(*batch, t', p, n, n)`.

    **Arguments:** `window`, `stride`, `padding`, `dilation`, `input_dilation`: as for `functional.avg_pool1d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.avg_pool1d`.

    >>> import jax.numpy as jnp
    >>> AvgPool1d(2)(jnp.ones((32, 8, 3, 4, 4))).shape
    (32, 4, 3, 4, 4)
    """

    _function = staticmethod(avg_pool1d)


@contract
class AvgPool2d(WindowPool, BasePool2d):
    """The mean of each window's entries: `(*batch, h, w, p, n, n)` to `(*batch, h', w', p, n, n)`.

    **Arguments:** `window`, `stride`, `padding`, `dilation`, `input_dilation`: as for `functional.avg_pool2d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.avg_pool2d`.

    >>> import jax.numpy as jnp
    >>> AvgPool2d(2)(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 4, 4, 3, 4, 4)
    """

    _function = staticmethod(avg_pool2d)


@contract
class AvgPool3d(WindowPool, BasePool3d):
    """The mean of each window's entries: `(*batch, d, h, w, p, n, n)` to `(*batch, d', h', w', p, n, n)`.

    **Arguments:** `window`, `stride`, `padding`, `dilation`, `input_dilation`: as for `functional.avg_pool3d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.avg_pool3d`.

    >>> import jax.numpy as jnp
    >>> AvgPool3d(2)(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 2, 2, 2, 3, 4, 4)
    """

    _function = staticmethod(avg_pool3d)


@contract
class SumPool1d(WindowPool, BasePool1d):
    """The sum of each window's entries: `(*batch, t, p, n, n)` to `(*batch, t', p, n, n)`.

    **Arguments:** `window`, `stride`, `padding`, `dilation`, `input_dilation`: as for `functional.sum_pool1d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.sum_pool1d`.

    >>> import jax.numpy as jnp
    >>> SumPool1d(2)(jnp.ones((32, 8, 3, 4, 4))).shape
    (32, 4, 3, 4, 4)
    """

    _function = staticmethod(sum_pool1d)


@contract
class SumPool2d(WindowPool, BasePool2d):
    """The sum of each window's entries: `(*batch, h, w, p, n, n)` to `(*batch, h', w', p, n, n)`.

    **Arguments:** `window`, `stride`, `padding`, `dilation`, `input_dilation`: as for `functional.sum_pool2d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.sum_pool2d`.

    >>> import jax.numpy as jnp
    >>> SumPool2d(2)(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 4, 4, 3, 4, 4)
    """

    _function = staticmethod(sum_pool2d)


@contract
class SumPool3d(WindowPool, BasePool3d):
    """The sum of each window's entries: `(*batch, d, h, w, p, n, n)` to `(*batch, d', h', w', p, n, n)`.

    **Arguments:** `window`, `stride`, `padding`, `dilation`, `input_dilation`: as for `functional.sum_pool3d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.sum_pool3d`.

    >>> import jax.numpy as jnp
    >>> SumPool3d(2)(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 2, 2, 2, 3, 4, 4)
    """

    _function = staticmethod(sum_pool3d)
