"""`Bias` and `Scaler`: a number added to, or multiplied with, each entry of the neurons."""

import abc
from collections.abc import Callable
from typing import ClassVar, Literal

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.initializers import Initializer
from matrinox.nn.linear import check_sizes

Per = Literal["entry", "row", "column", "neuron", "matrix"]
"""What has a number of its own: each entry of each neuron, each row, each column, each neuron as a whole, or each entry
of the matrix, alike for all neurons."""

_HAS_AXES: dict[Per, tuple[bool, bool, bool]] = {
    "entry": (True, True, True),
    "row": (True, True, False),
    "column": (True, False, True),
    "neuron": (True, False, False),
    "matrix": (False, True, True),
}


@contract
class _PerEntry(eqx.Module):
    per: Per = eqx.field(static=True)
    _sizes: tuple[int, int] = eqx.field(static=True)
    _numbers: ClassVar[str]
    _start: ClassVar[Callable[..., Array]]

    def __init__(
        self,
        p: int,
        n: int,
        *,
        per: Per = "entry",
        initializer: Initializer | None = None,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray | None = None,
    ):
        check_sizes(p=p, n=n)
        self.per = per
        self._sizes = (p, n)
        shape = tuple(size if has else 1 for size, has in zip((p, n, n), _HAS_AXES[per], strict=True))
        if initializer is None:
            numbers = self._start(shape, dtype)
        elif key is None:
            raise ValueError("`key` (=None) is needed by `initializer`: pass a key.")
        else:
            numbers = initializer(key, shape, dtype)
        setattr(self, self._numbers, numbers)

    @property
    def p(self) -> int:
        """Neurons, in and out."""
        return self._size(-3, self._sizes[0])

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self._size(-1 if _HAS_AXES[self.per][-1] else -2, self._sizes[1])

    def _size(self, axis: int, without_axis: int) -> int:
        return getattr(self, self._numbers).shape[axis] if _HAS_AXES[self.per][axis] else without_axis

    def __call__(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.p} {self.n} {self.n}"]:
        """Applies the layer.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, p, n, n)`.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`.
        """
        return self._apply(jnp.asarray(x))

    @abc.abstractmethod
    def _apply(self, x: Array) -> Array: ...


@contract
class Bias(_PerEntry):
    """Adds a number to each entry: `y_pij = x_pij + b_pij`.

    **Arguments:** `p`, `n`: neurons and matrix side; `per`: what has a number of its own, `"entry"` for a bias
    `(p, n, n)`, `"row"` for `(p, n, 1)`, `"column"` for `(p, 1, n)`, `"neuron"` for `(p, 1, 1)`, `"matrix"` for
    `(1, n, n)`; `initializer`: `(key, shape, dtype) -> bias`, zero where `None`; `dtype`: the default float where
    `None`; `key`: one key, needed by an `initializer` only.
    **Raises:** `ValueError` for a size below 1, and for an `initializer` without a key.
    **Source:** mlax, `Bias`.

    >>> import jax.numpy as jnp
    >>> layer = Bias(p=2, n=4, per="neuron")
    >>> layer.bias.shape, layer(jnp.ones((32, 2, 4, 4))).shape
    ((2, 1, 1), (32, 2, 4, 4))
    """

    bias: Float[Array, "#{self.p} #{self.n} #{self.n}"]
    _numbers = "bias"
    _start = staticmethod(jnp.zeros)
    __init__ = _PerEntry.__init__

    def _apply(self, x: Array) -> Array:
        return x + self.bias


@contract
class Scaler(_PerEntry):
    """Multiplies each entry by a number: `y_pij = w_pij · x_pij`.

    **Arguments:** `p`, `n`, `per`, `dtype`, `key`: as for `Bias`; `initializer`: `(key, shape, dtype) -> weight`, one
    where `None`.
    **Raises:** `ValueError` for a size below 1, and for an `initializer` without a key.
    **Source:** mlax, `Scaler`.

    >>> import jax.numpy as jnp
    >>> layer = Scaler(p=2, n=4)
    >>> layer.weight.shape, layer(jnp.ones((32, 2, 4, 4))).shape
    ((2, 4, 4), (32, 2, 4, 4))
    """

    weight: Float[Array, "#{self.p} #{self.n} #{self.n}"]
    _numbers = "weight"
    _start = staticmethod(jnp.ones)
    __init__ = _PerEntry.__init__

    def _apply(self, x: Array) -> Array:
        return x * self.weight
