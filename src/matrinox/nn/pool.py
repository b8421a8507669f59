"""Max, average and sum pools over windows of one, two or three axes."""

from collections.abc import Callable
from typing import ClassVar

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
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
from matrinox.functional.window import Padding, Sizes, pad_pairs, per_axis


@contract
class _Pool(eqx.Module):
    window: Sizes = eqx.field(static=True)
    stride: Sizes | None = eqx.field(static=True, default=None)
    padding: Padding = eqx.field(static=True, default="VALID")
    _axes: ClassVar[int]
    _pool: ClassVar[Callable[..., Array]]

    def __check_init__(self):
        window = per_axis("window", self.window, self._axes)
        if self.stride is not None:
            per_axis("stride", self.stride, self._axes)
        pad_pairs(self.padding, window)

    def _apply(self, x: AnyArray) -> Array:
        return self._pool(x, window=self.window, stride=self.stride, padding=self.padding)


@contract
class _Pool1d(_Pool):
    _axes = 1

    def __call__(
        self, x: Float[AnyArray, "*batch t p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch _ p n n"]:
        """Pools entry by entry.

        **Arguments:** `x`: `(*batch, t, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, t', p, n, n)`.
        **Raises:** `ContractError` if the matrices are not square, or for a missing axis; `ValueError` for a window
        longer than a padded axis, and for padding as long as the window.
        """
        return self._apply(x)


@contract
class _Pool2d(_Pool):
    _axes = 2

    def __call__(
        self, x: Float[AnyArray, "*batch h w p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch _ _ p n n"]:
        """Pools entry by entry.

        **Arguments:** `x`: `(*batch, h, w, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, h', w', p, n, n)`.
        **Raises:** `ContractError` if the matrices are not square, or for a missing axis; `ValueError` for a window
        longer than a padded axis, and for padding as long as the window.
        """
        return self._apply(x)


@contract
class _Pool3d(_Pool):
    _axes = 3

    def __call__(
        self, x: Float[AnyArray, "*batch d h w p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch _ _ _ p n n"]:
        """Pools entry by entry.

        **Arguments:** `x`: `(*batch, d, h, w, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, d', h', w', p, n, n)`.
        **Raises:** `ContractError` if the matrices are not square, or for a missing axis; `ValueError` for a window
        longer than a padded axis, and for padding as long as the window.
        """
        return self._apply(x)


@contract
class MaxPool1d(_Pool1d):
    """The largest of each window's entries: `(*batch, t, p, n, n)` to `(*batch, t', p, n, n)`.

    **Arguments:** `window`, `stride`: an int, or one in a tuple, and a `None` stride is the window; `padding`:
    as for `functional.max_pool1d`.
    **Raises:** `ValueError` for a size below 1 or of another count of axes, and for padding that is negative or of a
    wrong name or count.
    **Source:** `functional.max_pool1d`.

    >>> import jax.numpy as jnp
    >>> MaxPool1d(2)(jnp.ones((32, 8, 3, 4, 4))).shape
    (32, 4, 3, 4, 4)
    """

    _pool = staticmethod(max_pool1d)


@contract
class MaxPool2d(_Pool2d):
    """The largest of each window's entries: `(*batch, h, w, p, n, n)` to `(*batch, h', w', p, n, n)`.

    **Arguments:** `window`, `stride`: an int, or one for each axis, and a `None` stride is the window; `padding`:
    as for `functional.max_pool2d`.
    **Raises:** `ValueError` for a size below 1 or of another count of axes, and for padding that is negative or of a
    wrong name or count.
    **Source:** `functional.max_pool2d`.

    >>> import jax.numpy as jnp
    >>> MaxPool2d(2)(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 4, 4, 3, 4, 4)
    """

    _pool = staticmethod(max_pool2d)


@contract
class MaxPool3d(_Pool3d):
    """The largest of each window's entries: `(*batch, d, h, w, p, n, n)` to `(*batch, d', h', w', p, n, n)`.

    **Arguments:** `window`, `stride`: an int, or one for each axis, and a `None` stride is the window; `padding`:
    as for `functional.max_pool3d`.
    **Raises:** `ValueError` for a size below 1 or of another count of axes, and for padding that is negative or of a
    wrong name or count.
    **Source:** `functional.max_pool3d`.

    >>> import jax.numpy as jnp
    >>> MaxPool3d(2)(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 2, 2, 2, 3, 4, 4)
    """

    _pool = staticmethod(max_pool3d)


@contract
class AvgPool1d(_Pool1d):
    """The mean of each window's entries: `(*batch, t, p, n, n)` to `(*batch, t', p, n, n)`.

    **Arguments:** `window`, `stride`: an int, or one in a tuple, and a `None` stride is the window; `padding`:
    as for `functional.avg_pool1d`.
    **Raises:** `ValueError` for a size below 1 or of another count of axes, and for padding that is negative or of a
    wrong name or count.
    **Source:** `functional.avg_pool1d`.

    >>> import jax.numpy as jnp
    >>> AvgPool1d(2)(jnp.ones((32, 8, 3, 4, 4))).shape
    (32, 4, 3, 4, 4)
    """

    _pool = staticmethod(avg_pool1d)


@contract
class AvgPool2d(_Pool2d):
    """The mean of each window's entries: `(*batch, h, w, p, n, n)` to `(*batch, h', w', p, n, n)`.

    **Arguments:** `window`, `stride`: an int, or one for each axis, and a `None` stride is the window; `padding`:
    as for `functional.avg_pool2d`.
    **Raises:** `ValueError` for a size below 1 or of another count of axes, and for padding that is negative or of a
    wrong name or count.
    **Source:** `functional.avg_pool2d`.

    >>> import jax.numpy as jnp
    >>> AvgPool2d(2)(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 4, 4, 3, 4, 4)
    """

    _pool = staticmethod(avg_pool2d)


@contract
class AvgPool3d(_Pool3d):
    """The mean of each window's entries: `(*batch, d, h, w, p, n, n)` to `(*batch, d', h', w', p, n, n)`.

    **Arguments:** `window`, `stride`: an int, or one for each axis, and a `None` stride is the window; `padding`:
    as for `functional.avg_pool3d`.
    **Raises:** `ValueError` for a size below 1 or of another count of axes, and for padding that is negative or of a
    wrong name or count.
    **Source:** `functional.avg_pool3d`.

    >>> import jax.numpy as jnp
    >>> AvgPool3d(2)(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 2, 2, 2, 3, 4, 4)
    """

    _pool = staticmethod(avg_pool3d)


@contract
class SumPool1d(_Pool1d):
    """The sum of each window's entries: `(*batch, t, p, n, n)` to `(*batch, t', p, n, n)`.

    **Arguments:** `window`, `stride`: an int, or one in a tuple, and a `None` stride is the window; `padding`:
    as for `functional.sum_pool1d`.
    **Raises:** `ValueError` for a size below 1 or of another count of axes, and for padding that is negative or of a
    wrong name or count.
    **Source:** `functional.sum_pool1d`.

    >>> import jax.numpy as jnp
    >>> SumPool1d(2)(jnp.ones((32, 8, 3, 4, 4))).shape
    (32, 4, 3, 4, 4)
    """

    _pool = staticmethod(sum_pool1d)


@contract
class SumPool2d(_Pool2d):
    """The sum of each window's entries: `(*batch, h, w, p, n, n)` to `(*batch, h', w', p, n, n)`.

    **Arguments:** `window`, `stride`: an int, or one for each axis, and a `None` stride is the window; `padding`:
    as for `functional.sum_pool2d`.
    **Raises:** `ValueError` for a size below 1 or of another count of axes, and for padding that is negative or of a
    wrong name or count.
    **Source:** `functional.sum_pool2d`.

    >>> import jax.numpy as jnp
    >>> SumPool2d(2)(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 4, 4, 3, 4, 4)
    """

    _pool = staticmethod(sum_pool2d)


@contract
class SumPool3d(_Pool3d):
    """The sum of each window's entries: `(*batch, d, h, w, p, n, n)` to `(*batch, d', h', w', p, n, n)`.

    **Arguments:** `window`, `stride`: an int, or one for each axis, and a `None` stride is the window; `padding`:
    as for `functional.sum_pool3d`.
    **Raises:** `ValueError` for a size below 1 or of another count of axes, and for padding that is negative or of a
    wrong name or count.
    **Source:** `functional.sum_pool3d`.

    >>> import jax.numpy as jnp
    >>> SumPool3d(2)(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 2, 2, 2, 3, 4, 4)
    """

    _pool = staticmethod(sum_pool3d)
