"""From a free matrix to one that keeps a law: symmetric, triangular, orthogonal or of bounded spectral norm."""

import math
from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.contract.nearest import nearest
from matrinox.functional.decomposition import svd
from matrinox.functional.matrix_norm import spectral_norm
from matrinox.functional.precision import exact_product, widen

Diagonal = Literal["free", "unit", "positive"]
_DIAGONALS = ("free", "unit", "positive")
_LEAST_POSITIVE = 1e-6
# Above, a decomposition takes several times as long as a few products, and its gradient ten times.
_LARGEST_DECOMPOSED = 32
_SQUARINGS = 22


@contract
def symmetrize(x: Float[AnyArray, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """The nearest symmetric matrix, `(X + Xᵀ) / 2`: equal to its transpose bit for bit.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch, n, n)`; half precision is computed in float32.
    **Raises:** `ContractError` if the matrices are not square.
    """
    x = jnp.asarray(x)
    wide = widen(x)
    return ((wide + _transposed(wide)) / 2).astype(x.dtype)


@contract
def antisymmetrize(x: Float[AnyArray, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """The nearest antisymmetric matrix, `(X − Xᵀ) / 2`: the negative of its transpose bit for bit.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch, n, n)`, 0 for n = 1; half precision is computed in float32.
    **Raises:** `ContractError` if the matrices are not square.
    """
    x = jnp.asarray(x)
    wide = widen(x)
    return ((wide - _transposed(wide)) / 2).astype(x.dtype)


@contract
def triangularize(
    x: Float[AnyArray, "*batch n n"], *, lower: bool = True, diagonal: Diagonal = "free"
) -> Float[Array, "*batch n n"]:
    """The triangle of each matrix, with 0 beyond it.

    **Arguments:** `x`: `(*batch, n, n)`; `lower`: keep what is below the diagonal, rather than what is above;
    `diagonal`: `"free"`, as it is; `"unit"`, 1; or `"positive"`, `log(1 + exp X_ii)`.
    **Returns:** `(*batch, n, n)`; half precision is computed in float32.
    **Raises:** `ContractError` if the matrices are not square, and for an unknown `diagonal`.
    """
    x = jnp.asarray(x)
    return _with_diagonal(widen(x), lower, {"unit": jnp.ones_like, "positive": jax.nn.softplus}.get(diagonal)).astype(
        x.dtype
    )


@contract
def orthogonalize(x: Float[AnyArray, "*batch rows columns"]) -> Float[Array, "*batch rows columns"]:
    """The nearest orthogonal matrix U in the Frobenius norm, the polar factor of `X = U H`.

    Of a matrix with more rows than columns the columns come out orthonormal, otherwise the rows. A square U has the
    sign of the determinant of X, so that both signs can be had, and every orthogonal matrix: U itself gives U. Where X
    is singular U is one of several; where its smallest singular value passes 0 the sign changes at once, and no
    gradient tells of it.

    In closed form for 2 × 2, by singular value decomposition otherwise. The gradient divides by sums of two singular
    values, and leaves those out that vanish: it is finite whatever the rank, and so are further derivatives.

    **Arguments:** `x`: `(*batch, rows, columns)`, square or not.
    **Returns:** `(*batch, rows, columns)`; half precision is computed in float32.
    **Raises:** `ContractError` for fewer than two axes.
    **Source:** Fan and Hoffman 1955; Higham 1986.
    """
    x = jnp.asarray(x)
    wide = widen(x)
    if x.shape[-2] < x.shape[-1]:
        return _transposed(_polar(_transposed(wide))).astype(x.dtype)
    return (_polar_of_2(wide) if x.shape[-2:] == (2, 2) else _polar(wide)).astype(x.dtype)


@contract
def bound_spectral_norm(
    x: Float[AnyArray, "*batch rows columns"], bound: float = 1.0
) -> Float[Array, "*batch rows columns"]:
    """`X / max(1, σ / bound)`: X itself where no vector grows by more than `bound`, otherwise scaled down to that.

    σ is the largest singular value, with the gradient of `spectral_norm`. Of a matrix of more than 32 rows and columns
    it is computed by products alone, and exceeds that value by less than 1 in 10⁶.

    **Arguments:** `x`: `(*batch, rows, columns)`, square or not; `bound`: the largest σ to let pass.
    **Returns:** `(*batch, rows, columns)`; half precision is computed in float32.
    **Raises:** `ContractError` for fewer than two axes; `ValueError` if `bound` is not positive and finite.
    **Source:** Miyato et al. 2018, arXiv 1802.05957, for the norm; here what is within the bound stays.
    """
    require_bound(bound)
    x = jnp.asarray(x)
    wide = widen(x)
    return (wide / jnp.maximum(1, _spectral_norm(wide) / bound)[..., None, None]).astype(x.dtype)


def require_bound(bound: float) -> None:
    """Refuses what bounds no norm.

    **Raises:** `ValueError`.
    """
    if not 0 < bound < float("inf"):
        raise ValueError(
            f"`bound` (={bound}) must be positive and finite: choose 1 for maps under which nothing grows."
        )


def require_diagonal(diagonal: str) -> None:
    """Refuses what says nothing of a diagonal.

    **Raises:** `ValueError`, with the nearest name.
    """
    if diagonal not in _DIAGONALS:
        raise ValueError(
            f"`diagonal` (={diagonal!r}) must be one of {', '.join(map(repr, _DIAGONALS))}: did you mean "
            f"{nearest(diagonal, _DIAGONALS)!r}?"
        )


def free_triangle(x: Array, *, lower: bool, diagonal: Diagonal) -> Array:
    """Of what `triangularize` makes x, where x is such a matrix; else a near one, with the sizes of its diagonal."""

    def free(entries: Array) -> Array:
        size = jnp.maximum(jnp.abs(entries), _LEAST_POSITIVE)
        return size + jnp.log(-jnp.expm1(-size))

    wide = widen(x)
    return _with_diagonal(wide, lower, free if diagonal == "positive" else None).astype(x.dtype)


def map_of(weight: Array) -> Array:
    """The linear map that a weight is: `(q, p, *kernel, n, n)` to `(q·n, p·k·n)`."""
    q, n = weight.shape[0], weight.shape[-1]
    return jnp.moveaxis(weight, -2, 1).reshape(q * n, math.prod(weight.shape[1:-2]) * n)


def weight_of(flat: Array, shape: tuple[int, ...]) -> Array:
    """Undoes `map_of`: `(q·n, p·k·n)` to `(q, p, *kernel, n, n)`, the shape."""
    q, *middle, n, _ = shape
    return jnp.moveaxis(flat.reshape(q, n, *middle, n), 1, -2)


def _with_diagonal(x: Array, lower: bool, law: Callable[[Array], Array] | None) -> Array:
    """The triangle of x, its diagonal by a law."""
    triangle = (jnp.tril if lower else jnp.triu)(x, 0 if law is None else -1 if lower else 1)
    if law is None:
        return triangle
    # Among zeros, so that no rounding is in the sum.
    return triangle + law(jnp.diagonal(x, axis1=-2, axis2=-1))[..., None] * jnp.eye(x.shape[-1], dtype=x.dtype)


def _transposed(x: Array) -> Array:
    return jnp.swapaxes(x, -1, -2)


def _spectral_norm(x: Array) -> Array:
    rows, columns = x.shape[-2:]
    large = min(rows, columns) > _LARGEST_DECOMPOSED
    if rows == columns and not large:
        return spectral_norm(x[..., None, :, :])[..., 0]
    # X Xᵀ of the shorter side has the squares of the singular values; scaled, they stay within the range of floats.
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(x)), axis=(-2, -1), keepdims=True)
    scale = jnp.where(largest == 0, 1, largest)
    scaled = x / scale if rows < columns else _transposed(x / scale)
    if large:
        return _by_squaring(scaled) * scale[..., 0, 0]
    squares = spectral_norm(exact_product(scaled, _transposed(scaled))[..., None, :, :])[..., 0]
    # The root's slope at 0 is infinite; times the zero that flows on, it would be NaN.
    roots = jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))
    return roots * scale[..., 0, 0]


@jax.custom_jvp
def _by_squaring(x: Array) -> Array:
    """The largest singular value of a wide matrix from below 1 in 10⁶ above it, by products alone.

    With `G = X Xᵀ` it is `(tr G^N)^(1/2N)`, which exceeds it by a factor of `rows^(1/2N)` at most, for N = 2²².

    **Source:** Delattre et al. 2023, arXiv 2305.16173.
    """
    return _norm_and_projector(x)[0]


@_by_squaring.defjvp
def _by_squaring_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    norm, projector = _norm_and_projector(x)
    return norm, jnp.sum(exact_product(projector, x) * dx, axis=(-2, -1)) / jnp.where(norm > 0, norm, 1)


def _norm_and_projector(x: Array) -> tuple[Array, Array]:
    """The norm, and `G^N / tr G^N`, which projects on the left singular vectors of it, divided by their number."""
    gram = exact_product(x, _transposed(x))
    trace = jnp.trace(gram, axis1=-2, axis2=-1)
    # Not `> 0`, which would take NaN for nothing.
    some = trace != 0
    trace = jnp.where(some, trace, 1)

    def square(carry: tuple[Array, Array], share: Array) -> tuple[tuple[Array, Array], None]:
        power, logarithm = carry
        power = exact_product(power, power)
        trace = jnp.where(some, jnp.trace(power, axis1=-2, axis2=-1), 1)
        return (power / trace[..., None, None], logarithm + share * jnp.log(trace)), None

    shares = 0.5 ** jnp.arange(1, _SQUARINGS + 1, dtype=x.dtype)
    start = gram / trace[..., None, None], jnp.log(trace)
    (projector, logarithm), _ = jax.lax.scan(square, start, shares)
    return jnp.where(some, jnp.exp(logarithm / 2), 0), projector


def _polar_of_2(x: Array) -> Array:
    # A 2×2 matrix is the sum of a turn and a mirrored turn; the longer of them, at length 1, is the nearest.
    a, b, c, d = x[..., 0, 0], x[..., 0, 1], x[..., 1, 0], x[..., 1, 1]
    turned, mirrored = (a + d, c - b), (a - d, b + c)
    turns = jax.lax.stop_gradient(jnp.hypot(*turned) >= jnp.hypot(*mirrored))
    cos, sin = (jnp.where(turns, first, second) for first, second in zip(turned, mirrored, strict=True))
    # Scaled, so that squares stay within the range of floats.
    scale = jax.lax.stop_gradient(jnp.maximum(jnp.abs(cos), jnp.abs(sin)))
    some = scale != 0
    cos = jnp.where(some, cos, 1) / jnp.where(some, scale, 1)
    sin = jnp.where(some, sin, 0) / jnp.where(some, scale, 1)
    length = jnp.sqrt(cos * cos + sin * sin)
    cos, sin = cos / length, sin / length
    sign = jnp.where(turns, 1, -1).astype(x.dtype)
    return jnp.stack([jnp.stack([cos, -sign * sin], axis=-1), jnp.stack([sin, sign * cos], axis=-1)], axis=-2)


@jax.custom_jvp
def _polar(x: Array) -> Array:
    left, _, right = svd(x)
    u = exact_product(left, right)
    # One Newton–Schulz step takes an error of a few roundings to one: products of thousands keep their norm.
    rest = jnp.eye(x.shape[-1], dtype=x.dtype) - exact_product(_transposed(u), u)
    return u + exact_product(u, rest) / 2


@_polar.defjvp
def _polar_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    # From X = U H with UᵀU = I: dU = U Ω + (I − U Uᵀ) dX H⁻¹, where Ω is skew and H Ω + Ω H = Uᵀ dX − dXᵀ U.
    (x,), (dx,) = primals, tangents
    u = _polar(x)
    h = exact_product(_transposed(u), x)
    h = (h + _transposed(h)) / 2
    inner = exact_product(_transposed(u), dx)
    # Solved implicitly, derivatives of any order have no differences of singular values in their denominators.
    values, vectors = jnp.linalg.eigh(jax.lax.stop_gradient(h))
    turn = _solved(
        lambda w: exact_product(h, w) + exact_product(w, h),
        lambda w: exact_product(exact_product(_transposed(vectors), w), vectors),
        lambda w: exact_product(exact_product(vectors, w), _transposed(vectors)),
        values[..., :, None] + values[..., None, :],
        inner - _transposed(inner),
    )
    du = exact_product(u, turn)
    if x.shape[-2] > x.shape[-1]:
        outer = _solved(
            lambda w: exact_product(w, h),
            lambda w: exact_product(w, vectors),
            lambda w: exact_product(w, _transposed(vectors)),
            values[..., None, :],
            dx - exact_product(u, inner),
        )
        du = du + outer
    return u, du


_Map = Callable[[Array], Array]


def _solved(apply: _Map, to: _Map, back: _Map, values: Array, right: Array) -> Array:
    """The w of `apply(w) = right`, where `apply` is a multiplication by `values` between `to` and `back`."""
    tolerance = 4 * values.shape[-1] * float(jnp.finfo(values.dtype).eps)
    large = values > tolerance * jnp.max(jnp.abs(values), axis=(-2, -1), keepdims=True)

    def solve(_: _Map, right: Array) -> Array:
        return back(jnp.where(large, to(right) / jnp.where(large, values, 1), 0))

    return jax.lax.custom_linear_solve(apply, right, solve, symmetric=True)
