"""Constraints of weights: maps from a free array to one that keeps a law, as `Constrained` takes them."""

import abc
from dataclasses import dataclass, field
from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, ContractError, contract
from matrinox.functional import antisymmetrize, bound_spectral_norm, orthogonalize, symmetrize, triangularize
from matrinox.functional.constrain import Diagonal, free_triangle, map_of, require_bound, require_diagonal, weight_of

Per = Literal["map", "matrix"]
"""What a law is one of: the map `(q·n × p·k·n)` that a weight is, or each matrix in its last two axes."""


@dataclass(frozen=True)
class Constraint(abc.ABC):
    """A law that a weight is to keep, and the map that makes any array keep it."""

    @contract
    def __call__(self, weight: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
        """The weight that keeps the law, from one that is free.

        **Arguments:** `weight`: `(*shape)`, such that `misfit(shape)` is `None`.
        **Returns:** `(*shape)`.
        **Raises:** `ContractError` for a shape that cannot keep the law.
        """
        return self._constrained(self._fitting(weight))

    @contract
    def right_inverse(self, weight: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
        """What to store so that a weight which keeps the law comes out as it is; of any other, one that is near.

        **Arguments:** `weight`: `(*shape)`, such that `misfit(shape)` is `None`.
        **Returns:** `(*shape)`.
        **Raises:** `ContractError` for a shape that cannot keep the law.
        """
        return self._free(self._fitting(weight))

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why an array of this shape cannot keep the law, and what to do; `None` if it can."""
        if len(shape) < 2 or shape[-1] != shape[-2]:
            return "it takes arrays whose last two axes are equal: choose another leaf."
        return None

    def _fitting(self, weight: AnyArray) -> Array:
        why = self.misfit(weight.shape)
        if why is not None:
            raise ContractError(f"{self} got {weight.dtype}[{', '.join(map(str, weight.shape))}]; {why}")
        return jnp.asarray(weight)

    @abc.abstractmethod
    def _constrained(self, weight: Array) -> Array: ...

    def _free(self, weight: Array) -> Array:
        # Right where the law's map leaves as it is what keeps the law.
        return self._constrained(weight)


@dataclass(frozen=True)
class Symmetric(Constraint):
    """Each matrix in the last two axes symmetric, `(W + Wᵀ) / 2`: equal to its transpose bit for bit.

    >>> import jax.numpy as jnp
    >>> Symmetric()(jnp.array([[1.0, 2.0], [4.0, 3.0]]))
    Array([[1., 3.],
           [3., 3.]], dtype=float32)
    """

    def _constrained(self, weight: Array) -> Array:
        return symmetrize(weight)


@dataclass(frozen=True)
class Antisymmetric(Constraint):
    """Each matrix in the last two axes antisymmetric, `(W − Wᵀ) / 2`: the negative of its transpose bit for bit.

    >>> import jax.numpy as jnp
    >>> Antisymmetric()(jnp.array([[1.0, 2.0], [4.0, 3.0]]))
    Array([[ 0., -1.],
           [ 1.,  0.]], dtype=float32)
    """

    def _constrained(self, weight: Array) -> Array:
        return antisymmetrize(weight)


@dataclass(frozen=True)
class Triangular(Constraint):
    """Each matrix in the last two axes triangular: zeros that are exact.

    **Arguments:** `lower`: zeros above the diagonal, rather than below it; `diagonal`: `"free"`; `"unit"`, 1; or
    `"positive"`, `log(1 + exp W_ii)` of what is stored, which starts with the size of the weight's diagonal, at least
    1e-6.
    **Raises:** `ValueError` for an unknown `diagonal`, with the nearest.

    >>> import jax.numpy as jnp
    >>> Triangular(diagonal="unit")(jnp.array([[5.0, 2.0], [4.0, 3.0]]))
    Array([[1., 0.],
           [4., 1.]], dtype=float32)
    """

    lower: bool = True
    diagonal: Diagonal = "free"

    def __post_init__(self) -> None:
        require_diagonal(self.diagonal)

    def _constrained(self, weight: Array) -> Array:
        return triangularize(weight, lower=self.lower, diagonal=self.diagonal)

    def _free(self, weight: Array) -> Array:
        return free_triangle(weight, lower=self.lower, diagonal=self.diagonal)


@dataclass(frozen=True)
class _OfSingularValues(Constraint):
    """A law of the singular values of the map that a weight is, or of each of its matrices."""

    per: Per = field(default="map", kw_only=True)

    def __post_init__(self) -> None:
        if self.per not in ("map", "matrix"):
            raise ValueError(
                f"`per` (={self.per!r}) must be 'map' or 'matrix': use 'matrix' for each of the matrices in a weight."
            )

    def misfit(self, shape: tuple[int, ...]) -> str | None:
        """Why an array of this shape cannot keep the law, and what to do; `None` if it can."""
        if self.per == "matrix":
            return None if len(shape) >= 2 else "it takes arrays of matrices: choose another leaf."
        if len(shape) == 2 or (len(shape) >= 4 and shape[-1] == shape[-2]):
            return None
        return "it takes maps, (q, p, *kernel, n, n) or (rows, columns): give it per='matrix', or choose another leaf."

    def _constrained(self, weight: Array) -> Array:
        # A matrix is the map that it is.
        if self.per == "matrix" or weight.ndim == 2:
            return self._of_matrices(weight)
        return weight_of(self._of_matrices(map_of(weight)), weight.shape)

    @abc.abstractmethod
    def _of_matrices(self, matrices: Array) -> Array: ...


@dataclass(frozen=True)
class Orthogonal(_OfSingularValues):
    """Orthonormal rows, or columns where these are fewer: the nearest to what is stored, `functional.orthogonalize`.

    The determinant of a square one keeps the sign it starts with: no step of an optimiser leads across, unless by
    leaping. Weights that are drawn at random have either.

    **Arguments:** `per`: `"map"`, the linear map `(q·n × p·k·n)` that a weight is, which keeps the norm of a column
    where there are no more columns than rows, and lets no column grow in any case; or `"matrix"`, each matrix in the
    last two axes, so that each `W_qp` is a rotation or a reflection. With groups, a convolution's map is that of all of
    them, one above the other.
    **Raises:** `ValueError` for an unknown `per`.
    **Source:** Lezcano-Casado 2019, arXiv 1909.09501, for constraints by parametrisation.

    >>> import jax.numpy as jnp
    >>> Orthogonal()(jnp.array([[0.0, 2.0], [-3.0, 0.0]]))
    Array([[ 0.,  1.],
           [-1.,  0.]], dtype=float32)
    """

    def _of_matrices(self, matrices: Array) -> Array:
        return orthogonalize(matrices)


@dataclass(frozen=True)
class SpectralNorm(_OfSingularValues):
    """No singular value σ above a bound: `W · min(1, bound / σ_max)`, so that what is within stays as it is.

    The bound of the map of a `Dense` layer is one of its Lipschitz constant, of how much farther apart two outputs can
    be than their inputs. That of a convolution's is one of the map of a window: with k windows over a place, the
    layer's may be √k times as large. σ is exact, and there is no state.

    **Arguments:** `bound`: positive; `per`: `"map"`, of the linear map `(q·n × p·k·n)` that a weight is; or
    `"matrix"`, of each matrix in the last two axes.
    **Raises:** `ValueError` for a `bound` that is not positive and finite, and for an unknown `per`.
    **Source:** Miyato et al. 2018, arXiv 1802.05957, which divides by an estimate of σ, also where it is small.

    >>> import jax.numpy as jnp
    >>> SpectralNorm(bound=2.0)(jnp.array([[4.0, 0.0], [0.0, 3.0]]))
    Array([[2. , 0. ],
           [0. , 1.5]], dtype=float32)
    """

    bound: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require_bound(self.bound)

    def _of_matrices(self, matrices: Array) -> Array:
        return bound_spectral_norm(matrices, self.bound)

    def _free(self, weight: Array) -> Array:
        # Scaled down to the bound it would start where the map has a kink.
        return weight
