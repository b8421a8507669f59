"""`dense`: the map that mixes matrix neurons."""

from collections.abc import Callable

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.activation import identity
from matrinox.functional.precision import Precision, require_precision, sum_dtype_of
from matrinox.params import MatrixParams


@contract
def dense(
    params: MatrixParams,
    x: Float[AnyArray, "*batch {params.p} {params.n} {params.n}"],
    activation: Callable[[Array], Array] = identity,
    *,
    precision: Precision = None,
    accumulation_dtype: DTypeLike | None = None,
) -> Float[Array, "*batch {params.q} {params.n} {params.n}"]:
    """Dense layer of matrix neurons: `y_q = f(Σ_p W_qp @ x_p + B_q)`.

    One matrix product for all examples and columns: `(q n × p n)` by `(p n × n · batch)`.

    **Arguments:** `params`: `W` `(q, p, n, n)`, `B` `(q, n, n)` or `None`; `x`: `(*batch, p, n, n)`; `activation`: f,
    which keeps the shape; `precision`: as for `jax.lax.dot_general`; `accumulation_dtype`: the dtype in which the sums
    are taken, not narrower than the inputs; the compiler's choice where `None`.
    **Returns:** `(*batch, q, n, n)`, of the dtype that the inputs have in common.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(p, n, n)`, or if `W` has kernel axes; `ValueError`
    for an unknown `precision`, or an `accumulation_dtype` that is not of floats or narrower than the inputs.
    **Source:** MATNETS 1.1.0, `dense`; the last two options from mlax, `Linear`.
    """
    params.require_kernel(0)
    require_precision(precision)
    q, p, n, _ = params.W.shape
    weight = jnp.swapaxes(params.W, 1, 2).reshape(q * n, p * n)
    columns = jnp.asarray(x).reshape(*x.shape[:-3], p * n, n)
    wide = sum_dtype_of(accumulation_dtype, jnp.result_type(x, params.W))
    y = jnp.einsum("...kc,ak->...ac", columns, weight, precision=precision, preferred_element_type=wide)
    y = y.reshape(*x.shape[:-3], q, n, n)
    if params.B is None:
        return activation(y.astype(jnp.result_type(x, params.W)))
    return activation((y + params.B).astype(jnp.result_type(x, params.W, params.B)))


@contract
def adjoint(W: Float[AnyArray, "q p n n"]) -> Float[Array, "p q n n"]:
    """The weight of the adjoint map, `V_pq = W_qpᵀ`: as a matrix `(q n × p n)`, the transposed one.

    `dense(MatrixParams(adjoint(W)), y)` is that map: `x_p = Σ_q W_qpᵀ @ y_q`.

    **Arguments:** `W`: `(q, p, n, n)`.
    **Returns:** `(p, q, n, n)`.
    **Raises:** `ContractError` if `W` is not square in its last two axes, or has kernel axes.
    """
    return jnp.transpose(jnp.asarray(W), (1, 0, 3, 2))
