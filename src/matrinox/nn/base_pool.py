"""What the layers share that pool over space axes: how they are called, and the windows that most of them hold."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional.pool_window import windows_of
from matrinox.functional.window import Padding, Sizes


@contract
class BasePool(eqx.Module):
    """A pool over so many axes, by a function of arrays and the options that the layer holds for it."""

    _axes: ClassVar[int]
    _function: ClassVar[Callable[..., Array]]

    @property
    @abc.abstractmethod
    def _options(self) -> dict[str, Any]: ...


@contract
class BasePool1d(BasePool):
    """A pool over a sequence."""

    _axes = 1

    def __call__(
        self, x: Float[AnyArray, "*batch t p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch _ p n n"]:
        """Applies the pool.

        **Arguments:** `x`: `(*batch, t, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, t', p, n, n)`.
        **Raises:** `ContractError` if the matrices are not square, or for a missing axis; `ValueError` as the function
        of the same name.
        """
        return self._function(x, **self._options)


@contract
class BasePool2d(BasePool):
    """A pool over an image."""

    _axes = 2

    def __call__(
        self, x: Float[AnyArray, "*batch h w p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch _ _ p n n"]:
        """Applies the pool.

        **Arguments:** `x`: `(*batch, h, w, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, h', w', p, n, n)`.
        **Raises:** `ContractError` if the matrices are not square, or for a missing axis; `ValueError` as the function
        of the same name.
        """
        return self._function(x, **self._options)


@contract
class BasePool3d(BasePool):
    """A pool over a volume."""

    _axes = 3

    def __call__(
        self, x: Float[AnyArray, "*batch d h w p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch _ _ _ p n n"]:
        """Applies the pool.

        **Arguments:** `x`: `(*batch, d, h, w, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, d', h', w', p, n, n)`.
        **Raises:** `ContractError` if the matrices are not square, or for a missing axis; `ValueError` as the function
        of the same name.
        """
        return self._function(x, **self._options)


@contract
class WindowPool(BasePool):
    """A pool over windows: what they are and how they slide."""

    window: Sizes = eqx.field(static=True)
    stride: Sizes | None = eqx.field(static=True, default=None)
    padding: Padding = eqx.field(static=True, default="VALID")
    dilation: Sizes = eqx.field(static=True, default=1, kw_only=True)
    input_dilation: Sizes = eqx.field(static=True, default=1, kw_only=True)

    def __check_init__(self):
        windows_of(self._axes, self.window, self.stride, self.padding, self.dilation, self.input_dilation)

    @property
    def _options(self) -> dict[str, Any]:
        names = ("window", "stride", "padding", "dilation", "input_dilation")
        return {name: getattr(self, name) for name in names}
