"""What can be said of a matrix by a number: measures of every matrix of an array `(*batch, n, n)`, in float64.

They are computed by NumPy on the host, so nothing is compiled. All are finite for every finite matrix, the zero matrix
too, but the condition number, which is infinite for a singular one. A matrix with an entry that is not finite is NaN by
every measure.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Bool, Complex128, Float, Float64

from matrinox.contract import AnyArray, contract


@contract
def eigenvalues(x: Float[AnyArray, "*batch n n"]) -> Complex128[np.ndarray, "*batch n"]:
    """The spectrum: the n roots of `det(λI − X)`, as LAPACK orders them.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch, n)`, complex.
    **Raises:** `ContractError` if the matrices are not square.

    >>> eigenvalues(np.array([[0.0, -2.0], [2.0, 0.0]]))
    array([0.+2.j, 0.-2.j])
    """
    return _of_finite(lambda x: np.linalg.eigvals(x).astype(np.complex128), x)


@contract
def singular_values(x: Float[AnyArray, "*batch n n"]) -> Float64[np.ndarray, "*batch n"]:
    """The singular values σ, the largest first.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch, n)`.
    **Raises:** `ContractError` if the matrices are not square.
    """
    return _of_finite(lambda x: np.linalg.svd(x, compute_uv=False), x)


@contract
def spectral_norm(x: Float[AnyArray, "*batch n n"]) -> Float64[np.ndarray, "*batch"]:
    """The largest singular value: by how much a vector can grow.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch)`.
    **Raises:** `ContractError` if the matrices are not square.

    >>> round(float(spectral_norm(np.array([[3.0, 0.0], [4.0, 0.0]]))), 12)
    5.0
    """
    return np.asarray(singular_values(x)[..., 0])


@contract
def determinant(x: Float[AnyArray, "*batch n n"]) -> Float64[np.ndarray, "*batch"]:
    """The determinant, by LU decomposition; of a singular matrix it is zero up to rounding.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch)`.
    **Raises:** `ContractError` if the matrices are not square.

    >>> float(determinant(np.diag([2.0, -3.0])))
    -6.0
    """
    return _of_finite(np.linalg.det, x)


@contract
def condition_number(x: Float[AnyArray, "*batch n n"]) -> Float64[np.ndarray, "*batch"]:
    """`σ_max / σ_min`, infinite where X is singular to float64: `σ_min ≤ n·ε·σ_max`, as in `np.linalg.matrix_rank`.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch)`, from 1 to infinity; infinite for the zero matrix.
    **Raises:** `ContractError` if the matrices are not square.

    >>> condition_number(np.array([[[2.0, 0.0], [0.0, -8.0]], [[1.0, 1.0], [1.0, 1.0]]]))
    array([ 4., inf])
    """
    return np.asarray(condition_of(singular_values(x)))


@contract
def symmetry(x: Float[AnyArray, "*batch n n"]) -> Float64[np.ndarray, "*batch"]:
    """`⟨X, Xᵀ⟩ / ‖X‖²`: 1 for a symmetric matrix, −1 for an antisymmetric one.

    With S and A the symmetric and the antisymmetric part of X, it is `(‖S‖² − ‖A‖²) / (‖S‖² + ‖A‖²)`. Of independent
    entries it is 1/n on average; of the zero matrix, which is both, 0.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch)`, in [−1, 1].
    **Raises:** `ContractError` if the matrices are not square.

    >>> symmetry(np.array([[[1.0, 2.0], [2.0, 0.0]], [[0.0, -1.0], [1.0, 0.0]]]))
    array([ 1., -1.])
    """

    def measure(x: np.ndarray) -> np.ndarray:
        x = _scaled(x)
        return _ratio((x * np.swapaxes(x, -1, -2)).sum((-2, -1)), (x * x).sum((-2, -1)))

    return _of_finite(measure, x)


@contract
def distance_from_orthogonal(x: Float[AnyArray, "*batch n n"]) -> Float64[np.ndarray, "*batch"]:
    """`min ‖X − s·Q‖ / ‖X‖` over all numbers s and orthogonal Q, in the Frobenius norm: `‖σ − mean σ‖ / ‖σ‖`.

    It does not depend on the scale of X: 0 where X is a multiple of an orthogonal matrix, as the zero matrix is, and
    at most `√(1 − 1/n)`, which matrices of rank one have.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch)`, in [0, 1).
    **Raises:** `ContractError` if the matrices are not square.

    >>> distance_from_orthogonal(np.array([[[0.0, -5.0], [5.0, 0.0]], [[1.0, 0.0], [0.0, 7.0]]]))
    array([0. , 0.6])
    """
    return np.asarray(orthogonal_distance_of(singular_values(x)))


@contract
def column_correlation(x: Float[AnyArray, "*batch n n"]) -> Float64[np.ndarray, "*batch"]:
    """The mean of `|cos|` of the angles between two columns: 0 where all are orthogonal, 1 where all are parallel.

    A column of zeros counts as orthogonal to all, and one column alone (n = 1) as 0.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch)`, in [0, 1].
    **Raises:** `ContractError` if the matrices are not square.

    >>> column_correlation(np.array([[[1.0, 1.0], [2.0, 2.0]], [[0.0, -1.0], [1.0, 0.0]]])).round(12)
    array([1., 0.])
    """

    def measure(x: np.ndarray) -> np.ndarray:
        x, n = _scaled(x), x.shape[-1]
        if n == 1:
            return np.zeros(x.shape[:-2])
        unit = _ratio(x, np.linalg.norm(x, axis=-2, keepdims=True))
        cosines = np.abs(np.swapaxes(unit, -1, -2) @ unit)
        pairs = cosines.sum((-2, -1)) - np.trace(cosines, axis1=-2, axis2=-1)
        return np.clip(pairs / (n * (n - 1)), 0.0, 1.0)

    return _of_finite(measure, x)


@contract
def has_equal_columns(x: Float[AnyArray, "*batch n n"], *, rtol: float = 1e-12) -> Bool[np.ndarray, "*batch"]:
    """Whether all columns are the same, and not all zero: as of a number that is written over n × n.

    **Arguments:** `x`: `(*batch, n, n)`; `rtol`: how far an entry may be from the mean of its row, relative to the
    largest entry of the matrix.
    **Returns:** `(*batch)`; `False` for n = 1.
    **Raises:** `ContractError` if the matrices are not square.
    """
    x, finite = _split(x)
    x = _scaled(x)
    spread = np.abs(x - x.mean(-1, keepdims=True)).max((-2, -1))
    return np.asarray(finite & (spread <= rtol) & np.abs(x).max((-2, -1)).astype(bool) & (x.shape[-1] > 1))


@contract
def is_singular(x: Float[AnyArray, "*batch n n"], *, rtol: float = 1e-12) -> Bool[np.ndarray, "*batch"]:
    """Whether `σ_min ≤ rtol·σ_max`.

    **Arguments:** `x`: `(*batch, n, n)`; `rtol`: relative to the largest singular value.
    **Returns:** `(*batch)`; `True` for the zero matrix.
    **Raises:** `ContractError` if the matrices are not square.
    """
    return np.asarray(is_singular_of(singular_values(x), rtol))


def condition_of(sigma: np.ndarray) -> np.ndarray:
    """`condition_number`, of singular values `(*batch, n)`."""
    singular = is_singular_of(sigma, sigma.shape[-1] * np.finfo(np.float64).eps)
    return np.where(singular, np.inf, sigma[..., 0] / np.where(singular, 1.0, sigma[..., -1]))


def is_singular_of(sigma: np.ndarray, rtol: float) -> np.ndarray:
    """`is_singular`, of singular values `(*batch, n)`."""
    return sigma[..., -1] <= rtol * sigma[..., 0]


def orthogonal_distance_of(sigma: np.ndarray) -> np.ndarray:
    """`distance_from_orthogonal`, of singular values `(*batch, n)`."""
    sigma = _ratio(sigma, sigma[..., :1])
    return _ratio(np.linalg.norm(sigma - sigma.mean(-1, keepdims=True), axis=-1), np.linalg.norm(sigma, axis=-1))


def _of_finite(measure: Callable[[np.ndarray], np.ndarray], x: AnyArray) -> Any:
    wide, finite = _split(x)
    value = np.asarray(measure(wide))
    return (
        value
        if finite.all()
        else np.where(finite.reshape(finite.shape + (1,) * (value.ndim - finite.ndim)), value, np.nan)
    )


def _split(x: AnyArray) -> tuple[np.ndarray, np.ndarray]:
    """The matrices in float64, zero in the place of each that is not finite, and which are."""
    wide = np.asarray(x).astype(np.float64)
    finite = np.asarray(np.isfinite(wide).all((-2, -1)))
    return wide if finite.all() else np.where(finite[..., None, None], wide, 0.0), finite


def _scaled(x: np.ndarray) -> np.ndarray:
    # Squares of very large or small entries would leave the range of float64.
    return _ratio(x, np.abs(x).max((-2, -1), keepdims=True))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """`above / below`, 0 where both are."""
    return above / np.where(below == 0, 1.0, below)
