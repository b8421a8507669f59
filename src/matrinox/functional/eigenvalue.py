"""Functions of the eigenvalues of symmetric matrices, differentiable where eigenvalues repeat."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.constrain import symmetrize
from matrinox.functional.norm import require_eps
from matrinox.functional.precision import exact_product, widen


@contract
def reeig(x: Float[AnyArray, "*batch n n"], eps: float = 1e-4) -> Float[Array, "*batch n n"]:
    """Symmetric matrices with eigenvalues of at least eps: `U max(Λ, eps) Uᵀ` of `X = U Λ Uᵀ`.

    It commutes with `X -> V X Vᵀ` for V orthogonal. First and second derivatives are right also where eigenvalues
    repeat, as those of the identity do; a third is refused. An eigenvalue of eps counts as one below it.

    **Arguments:** `x`: `(*batch, n, n)`, of which the symmetric part `(X + Xᵀ)/2` is taken; `eps`: positive.
    **Returns:** `(*batch, n, n)`, symmetric to the last bit; half precision is computed in float32.
    **Raises:** `ContractError` if the matrices are not square; `ValueError` if `eps` is not positive, and for a third
    derivative.
    **Source:** Huang and Van Gool 2017, arXiv 1608.04233, ReEig.
    """
    return _of_symmetric_part(_IDENTITY, x, eps)


@contract
def logeig(x: Float[AnyArray, "*batch n n"], eps: float = 1e-6) -> Float[Array, "*batch n n"]:
    """The logarithm of symmetric positive-definite matrices: `U log(max(Λ, eps)) Uᵀ` of `X = U Λ Uᵀ`.

    It commutes with `X -> V X Vᵀ` for V orthogonal, and turns the curved space of positive-definite matrices into the
    flat one of all symmetric ones. Eigenvalues below eps, which rounding can make negative, count as eps. Derivatives
    as for `reeig`.

    **Arguments:** `x`: `(*batch, n, n)`, of which the symmetric part `(X + Xᵀ)/2` is taken; `eps`: positive.
    **Returns:** `(*batch, n, n)`, symmetric to the last bit; half precision is computed in float32.
    **Raises:** `ContractError` if the matrices are not square; `ValueError` if `eps` is not positive, and for a third
    derivative.
    **Source:** Huang and Van Gool 2017, arXiv 1608.04233, LogEig; Arsigny et al. 2007.
    """
    return _of_symmetric_part(_LOGARITHM, x, eps)


class _Scalar(NamedTuple):
    """A function f of positive numbers.

    `slope`: `(f(a) − f(b)) / (a − b)`, f' where the two are equal; `curvature`: `f''/2`.
    """

    value: Callable[[Array], Array]
    slope: Callable[[Array, Array], Array]
    curvature: Callable[[Array], Array]


def _slope_of_log(a: Array, b: Array) -> Array:
    # Of numbers close to each other, the difference of logarithms is rounding; log(a/b) = 2 artanh((a − b)/(a + b)).
    share = (a - b) / (a + b)
    close = jnp.abs(share) < 0.5
    small = jnp.where(close & (share != 0), share, 0.5)
    near = jnp.where(share == 0, 1, jnp.arctanh(small) / small) * 2 / (a + b)
    far = (jnp.log(a) - jnp.log(b)) / jnp.where(close, 1, a - b)
    return jnp.where(close, near, far)


_IDENTITY = _Scalar(lambda a: a, lambda a, b: jnp.ones_like(a + b), jnp.zeros_like)
_LOGARITHM = _Scalar(jnp.log, _slope_of_log, lambda a: -1 / (2 * jnp.square(a)))


def _of_symmetric_part(function: _Scalar, x: AnyArray, eps: float) -> Array:
    require_eps("eps", eps)
    x = jnp.asarray(x)
    return _apply(function, eps, symmetrize(widen(x))).astype(x.dtype)


@partial(jax.custom_jvp, nondiff_argnums=(0, 1))
def _apply(function: _Scalar, eps: float, x: Array) -> Array:
    """`U f(max(Λ, eps)) Uᵀ`."""
    values, vectors = _eigh(x)
    return _in_basis(vectors, function.value(jnp.maximum(values, eps))[..., None] * jnp.eye(x.shape[-1], dtype=x.dtype))


@_apply.defjvp
def _apply_jvp(function: _Scalar, eps: float, primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # By Daleckii and Krein it is F ∘ E in the basis of the eigenvectors, where dX is E and `F_ij = f[λ_i, λ_j]`. The
    # basis is held; what a change of X adds to it, the divided differences of second order, comes by D, which is 0.
    (x,), (dx,) = primals, tangents
    values, vectors = _held_eigh(x)
    inverse = _transposed(vectors)
    e, d = _in_basis(inverse, dx), _in_basis(inverse, x - jax.lax.stop_gradient(x))
    first = _first(function, eps, values[..., :, None], values[..., None, :])
    a, b, c = values[..., :, None, None], values[..., None, :, None], values[..., None, None, :]
    second = _second(function, eps, *jnp.broadcast_arrays(a, b, c))
    paths = e[..., :, :, None] * d[..., None, :, :] + d[..., :, :, None] * e[..., None, :, :]
    return _apply(function, eps, x), _in_basis(vectors, first * e + jnp.sum(second * paths, axis=-2))


@jax.custom_jvp
def _held_eigh(x: Array) -> tuple[Array, Array]:
    """Eigenvalues and eigenvectors, without a first derivative: eigenvectors have none where eigenvalues repeat."""
    return _eigh(x)


@_held_eigh.defjvp
def _held_eigh_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    values, vectors = _last_eigh(*primals)
    return (values, vectors), (jnp.zeros_like(values), jnp.zeros_like(vectors))


@jax.custom_jvp
def _last_eigh(x: Array) -> tuple[Array, Array]:
    return _eigh(x)


@_last_eigh.defjvp
def _last_eigh_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    # What is held would be missing from it.
    raise ValueError("a function of eigenvalues has first and second derivatives, not a third: differentiate it twice.")


def _first(function: _Scalar, eps: float, a: Array, b: Array) -> Array:
    """The divided difference of `f(max(λ, eps))`, that of f times that of the maximum."""
    equal = a == b
    kink = jnp.where(equal, a > eps, (jnp.maximum(a, eps) - jnp.maximum(b, eps)) / jnp.where(equal, 1, a - b))
    return kink * function.slope(jnp.maximum(a, eps), jnp.maximum(b, eps))


def _second(function: _Scalar, eps: float, a: Array, b: Array, c: Array) -> Array:
    """The divided difference of second order, in which rounding counts least between the outermost two."""
    low, middle, high = jnp.moveaxis(jnp.sort(jnp.stack([a, b, c]), axis=0), 0, 0)
    mean = (low + middle + high) / 3
    # From the difference of two slopes the error is of the size eps / gap, from the curvature of the size gap².
    close = (high - low <= float(jnp.finfo(mean.dtype).eps) ** (1 / 3) * mean) & (low > eps)
    close = close | (high <= eps)
    gap = jnp.where(close, 1, high - low)
    apart = (_first(function, eps, high, middle) - _first(function, eps, middle, low)) / gap
    curvature = jnp.where(low > eps, function.curvature(jnp.where(low > eps, mean, 1)), 0)
    # Of tiny eigenvalues it may be beyond the range of floats, and times the D that is 0 would be NaN.
    largest = jnp.finfo(mean.dtype).max
    return jnp.clip(jnp.where(close, curvature, apart), -largest, largest)


def _eigh(x: Array) -> tuple[Array, Array]:
    values, vectors = jnp.linalg.eigh(x, symmetrize_input=False)
    return values, vectors


def _in_basis(vectors: Array, x: Array) -> Array:
    """`U X Uᵀ`, symmetric to the last bit."""
    return symmetrize(exact_product(exact_product(vectors, x), _transposed(vectors)))


def _transposed(x: Array) -> Array:
    return jnp.swapaxes(x, -1, -2)
