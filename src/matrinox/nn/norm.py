"""Normalisation by the statistics of the input alone: `LayerNorm`, `RMSNorm`, `GroupNorm`, `InstanceNorm`."""

import abc

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import group_norm, instance_norm, layer_norm, rms_norm
from matrinox.functional.conv import require_groups
from matrinox.functional.norm import require_eps, require_space
from matrinox.functional.window import LETTERS
from matrinox.nn.linear import check_sizes


@contract
class Affine(eqx.Module):
    """What normalising layers share: a weight and a bias per entry, `(p, n, n)`, that start at 1 and 0.

    **Arguments:** `p`, `n`: neurons and matrix side; `eps`: added to the variance; `use_weight`, `use_bias`: whether
    there are such; `dtype`: of both, the default float where `None`.
    **Raises:** `ValueError` for a size below 1, and if `eps` is not positive.
    """

    weight: Float[Array, "p n n"] | None
    bias: Float[Array, "p n n"] | None
    eps: float = eqx.field(static=True)
    _sizes: tuple[int, int] = eqx.field(static=True)

    def __init__(
        self,
        p: int,
        n: int,
        *,
        eps: float = 1e-5,
        use_weight: bool = True,
        use_bias: bool = True,
        dtype: DTypeLike | None = None,
    ):
        check_sizes(p=p, n=n)
        require_eps("eps", eps)
        self.weight = jnp.ones((p, n, n), dtype) if use_weight else None
        self.bias = jnp.zeros((p, n, n), dtype) if use_bias else None
        self.eps = eps
        self._sizes = (p, n)

    @property
    def p(self) -> int:
        """Neurons, in and out."""
        return self._size(-3, self._sizes[0])

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self._size(-1, self._sizes[1])

    def _size(self, axis: int, without_arrays: int) -> int:
        array = self.bias if self.weight is None else self.weight
        return without_arrays if array is None else array.shape[axis]


@contract
class _OfPlaces(Affine):
    __init__ = Affine.__init__

    def __call__(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.p} {self.n} {self.n}"]:
        """Normalises each place by itself.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, p, n, n)`.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`.
        """
        return self._normalise(x)

    @abc.abstractmethod
    def _normalise(self, x: AnyArray) -> Array: ...


@contract
class LayerNorm(_OfPlaces):
    """`(x − mean) / √(variance + eps) · weight + bias`, mean and variance over the p·n·n entries of each place.

    The statistics run over the axes `(p, n, n)`; every index of the leading axes has its own.

    **Arguments:** `p`, `n`: neurons and matrix side; `eps`: added to the variance; `use_weight`, `use_bias`: whether
    there is a `weight`, `(p, n, n)` from 1, and a `bias`, `(p, n, n)` from 0; `dtype`: of both, the default float where
    `None`.
    **Raises:** `ValueError` for a size below 1, and if `eps` is not positive.
    **Source:** `functional.layer_norm`; Ba et al. 2016, arXiv 1607.06450.

    >>> import jax.numpy as jnp
    >>> LayerNorm(p=1, n=2)(jnp.array([[[-3.0, 3.0], [3.0, -3.0]]])).round(3)
    Array([[[-1.,  1.],
            [ 1., -1.]]], dtype=float32)
    """

    __init__ = Affine.__init__

    def _normalise(self, x: AnyArray) -> Array:
        return layer_norm(x, self.weight, self.bias, eps=self.eps)


@contract
class RMSNorm(_OfPlaces):
    """`x / √(mean(x²) + eps) · weight + bias`, the mean over the p·n·n entries of each place.

    The statistics run over the axes `(p, n, n)`; every index of the leading axes has its own.

    **Arguments:** `p`, `n`: neurons and matrix side; `eps`: added to the mean square; `use_weight`, `use_bias`: whether
    there is a `weight`, `(p, n, n)` from 1, and a `bias`, `(p, n, n)` from 0; `dtype`: of both, the default float where
    `None`.
    **Raises:** `ValueError` for a size below 1, and if `eps` is not positive.
    **Source:** `functional.rms_norm`; Zhang and Sennrich 2019, arXiv 1910.07467.

    >>> import jax.numpy as jnp
    >>> RMSNorm(p=1, n=2)(jnp.array([[[2.0, 2.0], [2.0, -2.0]]])).round(3)
    Array([[[ 1.,  1.],
            [ 1., -1.]]], dtype=float32)
    """

    __init__ = Affine.__init__

    def _normalise(self, x: AnyArray) -> Array:
        return rms_norm(x, self.weight, self.bias, eps=self.eps)


@contract
class _OverSpace(Affine):
    axes: int = eqx.field(static=True)

    @property
    def taken(self) -> str:
        """The axes of an example, with the sizes that are fixed: `"h w p=2 n=3 n=3"`."""
        return " ".join((*LETTERS.get(self.axes, ()), f"p={self.p}", f"n={self.n}", f"n={self.n}"))

    def __call__(
        self, x: Float[AnyArray, "*batch {self.taken}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self.taken}"]:
        """Normalises each example by itself.

        **Arguments:** `x`: `(*batch, p, n, n)`, with the space axes, as many as `axes`, before p; `key`: not used.
        **Returns:** the shape of `x`.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`, or for a missing space axis.
        """
        return self._normalise(x)

    @abc.abstractmethod
    def _normalise(self, x: AnyArray) -> Array: ...


@contract
class GroupNorm(_OverSpace):
    """`(x − mean) / √(variance + eps) · weight + bias`, mean and variance over a group of p / groups neurons.

    The statistics run over the neurons of a group, their entries `(n, n)`, and as many space axes before p as `axes`
    says; every group, and every index of the axes before those, has its own.

    **Arguments:** `groups`: of neurons that follow one another; `p`, `n`: neurons and matrix side; `axes`: 0 to 3, the
    space axes that the statistics run over; `eps`: added to the variance; `use_weight`, `use_bias`: whether there is a
    `weight`, `(p, n, n)` from 1, and a `bias`, `(p, n, n)` from 0; `dtype`: of both, the default float where `None`.
    **Raises:** `ValueError` for a size below 1, if `p` is not divisible by `groups`, for `axes` out of range, and if
    `eps` is not positive.
    **Source:** `functional.group_norm`; Wu and He 2018, arXiv 1803.08494.

    >>> import jax.numpy as jnp
    >>> GroupNorm(groups=2, p=6, n=4, axes=2)(jnp.ones((32, 8, 8, 6, 4, 4))).shape
    (32, 8, 8, 6, 4, 4)
    """

    groups: int = eqx.field(static=True)

    def __init__(
        self,
        groups: int,
        p: int,
        n: int,
        *,
        axes: int = 0,
        eps: float = 1e-5,
        use_weight: bool = True,
        use_bias: bool = True,
        dtype: DTypeLike | None = None,
    ):
        Affine.__init__(self, p, n, eps=eps, use_weight=use_weight, use_bias=use_bias, dtype=dtype)
        require_groups(groups, p=p)
        require_space(axes)
        self.groups = groups
        self.axes = axes

    def _normalise(self, x: AnyArray) -> Array:
        return group_norm(x, self.weight, self.bias, groups=self.groups, axes=self.axes, eps=self.eps)


@contract
class InstanceNorm(_OverSpace):
    """`(x − mean) / √(variance + eps) · weight + bias`, mean and variance over each neuron of an example.

    The statistics run over a neuron's entries `(n, n)` and as many space axes before p as `axes` says; every neuron,
    and every index of the axes before those, has its own. It is `GroupNorm` with p groups.

    **Arguments:** `p`, `n`: neurons and matrix side; `axes`: 0 to 3, the space axes that the statistics run over;
    `eps`: added to the variance; `use_weight`, `use_bias`: whether there is a `weight`, `(p, n, n)` from 1, and a
    `bias`, `(p, n, n)` from 0; `dtype`: of both, the default float where `None`.
    **Raises:** `ValueError` for a size below 1, for `axes` out of range, and if `eps` is not positive.
    **Source:** `functional.instance_norm`; Ulyanov et al. 2016, arXiv 1607.08022.

    >>> import jax.numpy as jnp
    >>> InstanceNorm(p=6, n=4, axes=2)(jnp.ones((32, 8, 8, 6, 4, 4))).shape
    (32, 8, 8, 6, 4, 4)
    """

    def __init__(
        self,
        p: int,
        n: int,
        *,
        axes: int,
        eps: float = 1e-5,
        use_weight: bool = True,
        use_bias: bool = True,
        dtype: DTypeLike | None = None,
    ):
        Affine.__init__(self, p, n, eps=eps, use_weight=use_weight, use_bias=use_bias, dtype=dtype)
        require_space(axes)
        self.axes = axes

    def _normalise(self, x: AnyArray) -> Array:
        return instance_norm(x, self.weight, self.bias, axes=self.axes, eps=self.eps)
