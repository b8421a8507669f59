"""Each neuron's matrix divided by a norm of it, and its spectral norm."""

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.decomposition import singular_values, svd
from matrinox.functional.norm import require_eps
from matrinox.functional.precision import widen
from matrinox.functional.readout import frobenius_norm


@contract
def spectral_norm(x: Float[AnyArray, "*batch p n n"]) -> Float[Array, "*batch p"]:
    """The largest singular value of each neuron, `max ‖X v‖ / ‖v‖`: the same for `U X V` with U and V orthogonal.

    In closed form for n ≤ 2, by singular value decomposition above. The gradient is `u vᵀ`, of the singular vectors;
    where k singular values are the largest, the mean of their k `u vᵀ`, which does not depend on how the vectors are
    chosen; at X = 0 it is 0.

    **Arguments:** `x`: `(*batch, p, n, n)`.
    **Returns:** `(*batch, p)`; half precision is computed in float32.
    **Raises:** `ContractError` if the matrices are not square, or for a missing axis.
    """
    x = jnp.asarray(x)
    return _spectral(widen(x)).astype(x.dtype)


@contract
def frobenius_normalize(
    x: Float[AnyArray, "*batch p n n"], gain: Float[AnyArray, "p"] | None = None, *, eps: float = 1e-5
) -> Float[Array, "*batch p n n"]:
    """Each neuron with the Frobenius norm of its gain: `Y_p = g_p · X_p / max(‖X_p‖_F, eps)`.

    The same for c·X with c > 0, and it commutes with `X -> U X V` for U and V orthogonal. A gain of n gives entries of
    mean square 1.

    **Arguments:** `x`: `(*batch, p, n, n)`; `gain`: `(p)`, 1 where `None`; `eps`: the least norm to divide by.
    **Returns:** `(*batch, p, n, n)`, in the dtype of `x`.
    **Raises:** `ContractError` if the shapes do not fit; `ValueError` if `eps` is not positive.
    """
    x = jnp.asarray(x)
    wide = widen(x)
    return _with_norm(wide, frobenius_norm(wide), gain, eps).astype(x.dtype)


@contract
def spectral_normalize(
    x: Float[AnyArray, "*batch p n n"], gain: Float[AnyArray, "p"] | None = None, *, eps: float = 1e-5
) -> Float[Array, "*batch p n n"]:
    """Each neuron with the spectral norm of its gain: `Y_p = g_p · X_p / max(σ(X_p), eps)`, σ as in `spectral_norm`.

    The same for c·X with c > 0, and it commutes with `X -> U X V` for U and V orthogonal. With a gain of 1 no vector
    grows when multiplied by it.

    **Arguments:** `x`: `(*batch, p, n, n)`; `gain`: `(p)`, 1 where `None`; `eps`: the least norm to divide by.
    **Returns:** `(*batch, p, n, n)`, in the dtype of `x`.
    **Raises:** `ContractError` if the shapes do not fit; `ValueError` if `eps` is not positive.
    """
    x = jnp.asarray(x)
    wide = widen(x)
    return _with_norm(wide, _spectral(wide), gain, eps).astype(x.dtype)


def _with_norm(x: Array, norm: Array, gain: AnyArray | None, eps: float) -> Array:
    require_eps("eps", eps)
    factor = 1 / jnp.maximum(norm, eps)
    if gain is not None:
        factor = factor * jnp.asarray(gain, x.dtype)
    return x * factor[..., None, None]


def _spectral(x: Array) -> Array:
    n = x.shape[-1]
    if n == 1:
        return frobenius_norm(x)
    if n == 2:
        # A 2×2 matrix is the sum of a turn and a mirrored turn, each with its own length.
        a, b, c, d = x[..., 0, 0], x[..., 0, 1], x[..., 1, 0], x[..., 1, 1]
        turned, mirrored = _length(a + d, c - b), _length(a - d, b + c)
        return (_unless_rounding(turned, mirrored) + _unless_rounding(mirrored, turned)) / 2
    return _largest_singular_value(x)


def _length(a: Array, b: Array) -> Array:
    squares = jnp.square(a) + jnp.square(b)
    # The root's slope at 0 is infinite; times the zero that flows on, it would be NaN.
    return jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))


def _unless_rounding(length: Array, other: Array) -> Array:
    """`length`, of which the slope is 0 where it is no more than a rounding error of `other`."""
    return jnp.where(length > _tolerance(2, length.dtype) * other, length, jax.lax.stop_gradient(length))


@jax.custom_jvp
def _largest_singular_value(x: Array) -> Array:
    return singular_values(x)[..., 0]


@_largest_singular_value.defjvp
def _largest_singular_value_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    return _largest_singular_value(x), jnp.sum(_slope(x) * dx, axis=(-2, -1))


@jax.custom_jvp
def _slope(x: Array) -> Array:
    """`u vᵀ` of the largest singular value, their mean where there are several: `(*batch, n, n)`, 0 for X = 0."""
    left, values, right = svd(x)
    share = _share_of_largest(values)
    return (left * share[..., None, :]) @ right


@_slope.defjvp
def _slope_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # With A = Uᵀ dX V, and s1 the largest: du = Σ_j u_j (s1 A_j1 + s_j A_1j) / (s1² − s_j²), and dv with A transposed.
    # The terms between equal singular values, where the slope jumps, are left out.
    (x,), (dx,) = primals, tangents
    left, values, right = svd(x)
    share = _share_of_largest(values)
    a = jnp.swapaxes(left, -1, -2) @ dx @ jnp.swapaxes(right, -1, -2)
    largest = jnp.where(share > 0, values, 0)[..., None, :]
    other = jnp.where(share > 0, 0, values)[..., :, None]
    between = (share > 0)[..., None, :] & (share == 0)[..., :, None]
    gap = jnp.where(between, (largest - other) * (largest + other), 1)
    part = jnp.where(between, share[..., None, :] / gap, 0)
    transposed = jnp.swapaxes(a, -1, -2)
    turn_left = part * (largest * a + other * transposed)
    turn_right = part * (largest * transposed + other * a)
    return (left * share[..., None, :]) @ right, left @ (turn_left + jnp.swapaxes(turn_right, -1, -2)) @ right


def _share_of_largest(values: Array) -> Array:
    """1 / k for each of the k singular values that are the largest up to rounding; 0 for the rest, and for X = 0."""
    largest = values[..., :1]
    ties = (values >= largest * (1 - _tolerance(values.shape[-1], values.dtype))) & (largest > 0)
    return ties / jnp.maximum(jnp.sum(ties, axis=-1, keepdims=True), 1).astype(values.dtype)


def _tolerance(n: int, dtype: DTypeLike) -> float:
    """How far apart, for their size, singular values may be that are equal but for rounding."""
    return 4 * n * float(jnp.finfo(dtype).eps)
