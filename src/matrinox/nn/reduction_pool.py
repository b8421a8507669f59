"""Pools by any reduction of an axis, over windows of one, two or three axes."""

from collections.abc import Callable
from typing import Any

import equinox as eqx

from matrinox.contract import contract
from matrinox.functional import pool1d, pool2d, pool3d
from matrinox.functional.window import Padding, Sizes
from matrinox.nn.base_pool import BasePool1d, BasePool2d, BasePool3d, WindowPool


@contract
class _ReductionPool(WindowPool):
    reduce_fn: Callable[..., Any] = eqx.field(kw_only=True)
    fill: float | None = eqx.field(static=True, kw_only=True)

    def __init__(
        self,
        reduce_fn: Callable[..., Any],
        window: Sizes,
        stride: Sizes | None = None,
        padding: Padding = "VALID",
        *,
        dilation: Sizes = 1,
        input_dilation: Sizes = 1,
        fill: float | None = None,
    ):
        self.reduce_fn = reduce_fn
        self.window = window
        self.stride = stride
        self.padding = padding
        self.dilation = dilation
        self.input_dilation = input_dilation
        self.fill = fill

    @property
    def _options(self) -> dict[str, Any]:
        return super()._options | {"reduce_fn": self.reduce_fn, "fill": self.fill}


@contract
class Pool1d(_ReductionPool, BasePool1d):
    """What `reduce_fn` makes of each window's entries: `(*batch, t, p, n, n)` to `(*batch, t', p, n, n)`.

    **Arguments:** `reduce_fn`: called as `reduce_fn(windows, axis=0)`; where it is a module, it trains like any other;
    `window`, `stride`, `padding`, `dilation`, `input_dilation`, `fill`: as for `functional.pool1d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.pool1d`; mlax, `functional.pool`.

    >>> import jax.numpy as jnp
    >>> x = jnp.array([5.0, 2.0, 3.0, -1.0]).reshape(4, 1, 1, 1)
    >>> Pool1d(jnp.min, 2)(x).ravel()
    Array([ 2., -1.], dtype=float32)
    >>> Pool1d(jnp.multiply.reduce, 2)(x).ravel()
    Array([10., -3.], dtype=float32)
    """

    _function = staticmethod(pool1d)


@contract
class Pool2d(_ReductionPool, BasePool2d):
    """What `reduce_fn` makes of each window's entries: `(*batch, h, w, p, n, n)` to `(*batch, h', w', p, n, n)`.

    **Arguments:** `reduce_fn`: called as `reduce_fn(windows, axis=0)`; where it is a module, it trains like any other;
    `window`, `stride`, `padding`, `dilation`, `input_dilation`, `fill`: as for `functional.pool2d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.pool2d`; mlax, `functional.pool`.

    >>> import jax.numpy as jnp
    >>> Pool2d(jnp.min, 2)(jnp.ones((32, 8, 8, 3, 4, 4))).shape
    (32, 4, 4, 3, 4, 4)
    """

    _function = staticmethod(pool2d)


@contract
class Pool3d(_ReductionPool, BasePool3d):
    """What `reduce_fn` makes of each window's entries: `(*batch, d, h, w, p, n, n)` to `(*batch, d', h', w', p, n, n)`.

    **Arguments:** `reduce_fn`: called as `reduce_fn(windows, axis=0)`; where it is a module, it trains like any other;
    `window`, `stride`, `padding`, `dilation`, `input_dilation`, `fill`: as for `functional.pool3d`.
    **Raises:** `ValueError` as that function; for options without a meaning, when the layer is built.
    **Source:** `functional.pool3d`; mlax, `functional.pool`.

    >>> import jax.numpy as jnp
    >>> Pool3d(jnp.min, 2)(jnp.ones((2, 4, 4, 4, 3, 4, 4))).shape
    (2, 2, 2, 2, 3, 4, 4)
    """

    _function = staticmethod(pool3d)
