"""`bilinear_dense`: matrix neurons multiplied from both sides, so that their columns mix as well."""

import math

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.precision import Precision, require_precision, sum_dtype_of


@contract
def bilinear_dense(
    U: Float[AnyArray, "q p rank n n"],
    V: Float[AnyArray, "q p rank n n"],
    x: Float[AnyArray, "*batch p n n"],
    B: Float[AnyArray, "q n n"] | None = None,
    *,
    precision: Precision = None,
    accumulation_dtype: DTypeLike | None = None,
) -> Float[Array, "*batch q n n"]:
    """Dense layer with weights on both sides: `Y_q = Σ_p,k U_qpk @ X_p @ V_qpk + B_q`.

    The rank is a dial: at 1 each pair of neurons has one product, at n² every linear map of p·n² numbers to q·n² can
    be written so. It takes whichever costs less: `4 q p n³ · rank · batch` operations in a scan over p, which
    keeps `q n² · rank` numbers for each example; or the map written out, `2 q p n⁴ · (batch + rank)` in one product,
    twice as fast an operation, which keeps `q p n⁴` numbers, at most 2 n times those of U and V. What stands between
    two products is rounded to the dtype of the inputs, whatever that of the sums.

    **Arguments:** `U`, `V`: `(q, p, rank, n, n)`; `x`: `(*batch, p, n, n)`; `B`: `(q, n, n)` or `None`; `precision`,
    `accumulation_dtype`: as for `dense`.
    **Returns:** `(*batch, q, n, n)`, of the dtype that the inputs have in common.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(p, n, n)`, or if `V` or `B` does not fit `U`;
    `ValueError` for `precision` and `accumulation_dtype` as `dense`.
    **Source:** Gao et al. 2016, arXiv 1601.03805, which has rank 1.
    """
    require_precision(precision)
    U, V, x = jnp.asarray(U), jnp.asarray(V), jnp.asarray(x)
    dtype = jnp.result_type(U, V, x)
    wide = sum_dtype_of(accumulation_dtype, dtype) or jnp.promote_types(dtype, jnp.float32)
    *batch, p, n, _ = x.shape
    examples, q, rank = math.prod(batch), U.shape[0], U.shape[2]
    X = x.reshape(examples, p, n, n)
    multiply = _written_out if n * (examples + rank) <= 4 * rank * examples else _scanned
    y = multiply(U, V, X, precision, wide).reshape(*batch, q, n, n)
    if B is None:
        return y.astype(dtype)
    return (y + B).astype(jnp.result_type(dtype, B))


def _written_out(U: Array, V: Array, X: Array, precision: Precision, wide: DTypeLike) -> Array:
    K = _product("qpkai,qpkjc->qacpij", U, V, precision, wide).astype(jnp.result_type(U, V, X))
    return _product("bpij,qacpij->bqac", X, K, precision, wide)


def _scanned(U: Array, V: Array, X: Array, precision: Precision, wide: DTypeLike) -> Array:
    # Of each step the backward pass would keep all products U X, p times what the forward pass holds.
    @jax.checkpoint
    def add(y: Array, neuron: tuple[Array, Array, Array]) -> tuple[Array, None]:
        u, v, x = neuron
        left = _product("qkai,bij->bqkaj", u, x, precision, wide).astype(jnp.result_type(U, V, X))
        return y + _product("bqkaj,qkjc->bqac", left, v, precision, wide), None

    start = jnp.zeros((X.shape[0], U.shape[0], *X.shape[2:]), wide)
    return jax.lax.scan(add, start, (jnp.moveaxis(U, 1, 0), jnp.moveaxis(V, 1, 0), jnp.moveaxis(X, 1, 0)))[0]


def _product(subscripts: str, a: Array, b: Array, precision: Precision, wide: DTypeLike) -> Array:
    return jnp.einsum(subscripts, a, b, precision=precision, preferred_element_type=wide)
