"""The determinant of each matrix and its n-th root, differentiable at singular matrices too."""

from itertools import combinations

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.decomposition import svd
from matrinox.functional.precision import widen

_LARGEST_CLOSED = 4
_LEAST_DETERMINANT = 1e-7


@contract
def det(x: Float[AnyArray, "*batch n n"]) -> Float[Array, "*batch"]:
    """The determinant of each matrix: in closed form for n ≤ 4, by LU factors above.

    The gradient is the cofactor matrix, a polynomial in the entries: finite whatever the rank, and 0 at rank n − 2 and
    below. So are all further derivatives for n ≤ 4; for n > 4 the second ones, and those of a higher order where x is
    invertible.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch)`; half precision is computed in float32.
    **Raises:** `ContractError` if the matrices are not square.
    **Source:** `jnp.linalg.det`, as in MATNETS 3.2.5; Laplace's expansion for n ≤ 4.
    """
    x = jnp.asarray(x)
    return _det(widen(x)).astype(x.dtype)


@contract
def det_root(x: Float[AnyArray, "*batch n n"]) -> Float[Array, "*batch"]:
    """`sign(det x) · max(|det x|, 1e-7)^(1/n)`: the factor by which each matrix scales a side, never 0.

    A determinant of exactly 0 counts as positive. Matrices are scaled to entries of about 1 first, so that a
    determinant beyond the range of floats has its root all the same. The gradient is finite whatever the rank; it is 0
    where |det x| ≤ 1e-7.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch)`, at least `1e-7^(1/n)` in size; half precision is computed in float32.
    **Raises:** `ContractError` if the matrices are not square.
    **Source:** MATNETS 3.2.5, whose root of a determinant of exactly 0 is 0.
    """
    x, n = jnp.asarray(x), x.shape[-1]
    scaled, exponent = _scaled(widen(x))
    value = _det(scaled)
    size = jnp.abs(value)
    # In units of the scaled matrix; below the smallest normal float the root's slope could overflow.
    least = jnp.ldexp(jnp.asarray(_LEAST_DETERMINANT, value.dtype), -n * exponent)
    above = ~(size <= jnp.maximum(least, jnp.finfo(value.dtype).tiny))
    # The root's slope at 0 is infinite; times the zero that flows on, it would be NaN.
    root = jnp.where(above, size, 1) ** (1 / n) * jnp.ldexp(jnp.ones((), value.dtype), exponent)
    root = jnp.where(above, root, _LEAST_DETERMINANT ** (1 / n))
    return jnp.where(value < 0, -root, root).astype(x.dtype)


def has_positive_det(x: Array) -> Array:
    """Whether `det x > 0`, also beyond the range of floats: `(*batch, n, n)` to `(*batch)`."""
    value = _det(_scaled(widen(jax.lax.stop_gradient(x)))[0])
    # So put, NaN passes a gate that this opens, rather than disappear.
    return ~(value <= 0)


def _scaled(x: Array) -> tuple[Array, Array]:
    """`x / 2^e` with entries of at most 4, and e: exact, but for entries that are far smaller than the largest."""
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(x)), axis=(-2, -1))
    limits = jnp.finfo(x.dtype)
    ordinary = (largest >= limits.tiny) & (largest <= limits.max)
    exponent = jnp.where(ordinary, jnp.frexp(jnp.where(ordinary, largest, 1))[1] - 1, 0)
    # Beyond that, 2^-e would be below the smallest normal float, which processors take for 0.
    exponent = jnp.minimum(exponent, -limits.minexp)
    return x * jnp.ldexp(jnp.ones((), x.dtype), -exponent)[..., None, None], exponent


@jax.custom_jvp
def _det(x: Array) -> Array:
    n = x.shape[-1]
    if n > _LARGEST_CLOSED:
        return jnp.linalg.det(x)
    if n == 1:
        return x[..., 0, 0]
    if n == 2:
        return _minor(x, (0, 1), (0, 1))
    if n == 3:
        return _laplace([x[..., 0, j] for j in range(3)], _cross(x, 1, 2))
    upper, lower = _minors(x, (0, 1)), _minors(x, (2, 3))
    return _laplace(upper, _complements(lower))


@_det.defjvp
def _det_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    (x,), (dx,) = primals, tangents
    return _det(x), jnp.sum(_cofactors(x) * dx, axis=(-2, -1))


def _cofactors(x: Array) -> Array:
    n = x.shape[-1]
    if n > _LARGEST_CLOSED:
        return _cofactors_by_svd(x)
    if n == 1:
        return jnp.ones_like(x)
    if n == 2:
        rows = [[x[..., 1, 1], -x[..., 1, 0]], [-x[..., 0, 1], x[..., 0, 0]]]
    elif n == 3:
        rows = [_cross(x, 1, 2), _cross(x, 2, 0), _cross(x, 0, 1)]
    else:
        upper, lower = _complements(_minors(x, (0, 1))), _complements(_minors(x, (2, 3)))
        rows = [_row_of_4(x, 1, lower), _row_of_4(x, 0, lower, -1), _row_of_4(x, 3, upper), _row_of_4(x, 2, upper, -1)]
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


@jax.custom_jvp
def _difference(a: Array, b: Array, c: Array, d: Array) -> Array:
    """`a d − b c`, and 0 where the two products are equal, which a fused multiplication and addition would miss."""
    first, second = a * d, b * c
    return jnp.where(first == second, 0, first - second)


@_difference.defjvp
def _difference_jvp(primals: tuple[Array, ...], tangents: tuple[Array, ...]) -> tuple[Array, Array]:
    (a, b, c, d), (da, db, dc, dd) = primals, tangents
    return _difference(a, b, c, d), da * d + a * dd - db * c - b * dc


def _minor(x: Array, rows: tuple[int, int], columns: tuple[int, int]) -> Array:
    (i, k), (j, m) = rows, columns
    return _difference(x[..., i, j], x[..., i, m], x[..., k, j], x[..., k, m])


def _cross(x: Array, i: int, k: int) -> list[Array]:
    """The cross product of two rows of a 3×3 matrix."""
    return [_minor(x, (i, k), columns) for columns in ((1, 2), (2, 0), (0, 1))]


_PAIRS = tuple(combinations(range(4), 2))
_SIGNS = (1, -1, 1, 1, -1, 1)


def _minors(x: Array, rows: tuple[int, int]) -> list[Array]:
    """Of two rows of a 4×4 matrix, for each pair of columns."""
    return [_minor(x, rows, columns) for columns in _PAIRS]


def _complements(minors: list[Array]) -> list[Array]:
    """For each pair of columns, the signed minor of the other two rows in the other two columns."""
    return [sign * minor for sign, minor in zip(_SIGNS, reversed(minors), strict=True)]


def _row_of_4(x: Array, other: int, complements: list[Array], sign: int = 1) -> list[Array]:
    """Cofactors of one row, from the other row of its pair and the complements of the pair."""
    row = []
    for j in range(4):
        terms = [
            (sign if j == pair[0] else -sign) * x[..., other, sum(pair) - j] * complement
            for pair, complement in zip(_PAIRS, complements, strict=True)
            if j in pair
        ]
        row.append(terms[0] + terms[1] + terms[2])
    return row


def _laplace(entries: list[Array], cofactors: list[Array]) -> Array:
    terms = [entry * cofactor for entry, cofactor in zip(entries, cofactors, strict=True)]
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


@jax.custom_jvp
def _cofactors_by_svd(x: Array) -> Array:
    """With x = U S Vᵀ: `det U · det V · U diag(Π_{l≠i} s_l) Vᵀ`, in which nothing is divided by a singular value."""
    left, values, right, sign = _svd(x)
    return sign[..., None, None] * (left * _products_without(values)) @ right


@_cofactors_by_svd.defjvp
def _cofactors_by_svd_jvp(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
    return _cofactors_by_svd(*primals), _change_of_cofactors(*primals, *tangents)


@jax.custom_jvp
def _change_of_cofactors(x: Array, dx: Array) -> Array:
    """The derivative of the cofactor matrix in the direction dx, at any rank.

    In the bases of the singular vectors, where x is diagonal and dx is A, it is `Σ_k P_ik A_kk` on the diagonal and
    `−P_ij A_ji` off it, with `P_ij = Π_{l≠i,j} s_l`.
    """
    left, values, right, sign = _svd(x)
    a = jnp.swapaxes(left, -1, -2) @ dx @ jnp.swapaxes(right, -1, -2)
    products = _products_without_two(values)
    diagonal = jnp.einsum("...ik,...kk->...i", products, a)[..., None] * jnp.eye(x.shape[-1], dtype=x.dtype)
    return sign[..., None, None] * left @ (diagonal - products * jnp.swapaxes(a, -1, -2)) @ right


@_change_of_cofactors.defjvp
def _change_of_cofactors_jvp(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
    # Singular vectors have no derivative at repeated values, such as the identity's; the inverse has.
    return _change_of_cofactors(*primals), jax.jvp(_change_of_cofactors_by_inverse, primals, tangents)[1]


def _change_of_cofactors_by_inverse(x: Array, dx: Array) -> Array:
    inverse = jnp.linalg.inv(x)
    relative = inverse @ dx
    transposed = jnp.trace(relative, axis1=-2, axis2=-1)[..., None, None] * inverse - relative @ inverse
    return _det(x)[..., None, None] * jnp.swapaxes(transposed, -1, -2)


def _svd(x: Array) -> tuple[Array, Array, Array, Array]:
    left, values, right = svd(x)
    return left, values, right, jnp.linalg.slogdet(left @ right)[0]


def _products_without(values: Array) -> Array:
    """`Π_{l≠i} s_l`, as a row: `(*batch, n)` to `(*batch, 1, n)`."""
    kept = ~jnp.eye(values.shape[-1], dtype=bool)
    return jnp.prod(jnp.where(kept, values[..., None, :], 1), axis=-1)[..., None, :]


def _products_without_two(values: Array) -> Array:
    """`Π_{l≠i,j} s_l`, and 0 for i = j: `(*batch, n)` to `(*batch, n, n)`."""
    same = jnp.eye(values.shape[-1], dtype=bool)
    products = jnp.prod(jnp.where(same[:, None] | same, 1, values[..., None, None, :]), axis=-1)
    return jnp.where(same, 0, products)
