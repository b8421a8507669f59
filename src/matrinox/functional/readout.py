"""Read-outs: matrix neurons into numbers."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.precision import widen


@contract
def matrix_mean(x: Float[AnyArray, "*batch p n n"]) -> Float[Array, "*batch p"]:
    """The mean of each neuron's entries, `Σ_ij X_ij / n²`.

    **Arguments:** `x`: `(*batch, p, n, n)`.
    **Returns:** `(*batch, p)`.
    **Raises:** `ContractError` if the matrices are not square, or for a missing axis.
    """
    x = jnp.asarray(x)
    return jnp.mean(widen(x), axis=(-2, -1)).astype(x.dtype)


@contract
def matrix_trace(x: Float[AnyArray, "*batch p n n"]) -> Float[Array, "*batch p"]:
    """The trace of each neuron, `Σ_i X_ii`: the same for `G X G⁻¹`.

    **Arguments:** `x`: `(*batch, p, n, n)`.
    **Returns:** `(*batch, p)`.
    **Raises:** `ContractError` if the matrices are not square, or for a missing axis.
    """
    x = jnp.asarray(x)
    return jnp.trace(widen(x), axis1=-2, axis2=-1).astype(x.dtype)


@contract
def frobenius_norm(x: Float[AnyArray, "*batch p n n"]) -> Float[Array, "*batch p"]:
    """The Frobenius norm of each neuron, `√(Σ_ij X_ij²)`: the same for `U X V` with U and V orthogonal.

    **Arguments:** `x`: `(*batch, p, n, n)`.
    **Returns:** `(*batch, p)`; at X = 0 the gradient is 0.
    **Raises:** `ContractError` if the matrices are not square, or for a missing axis.
    """
    x = jnp.asarray(x)
    squares = jnp.sum(jnp.square(widen(x)), axis=(-2, -1))
    # The root's slope at 0 is infinite; times the zero that flows on, it would be NaN.
    norm = jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1)), 0)
    return norm.astype(x.dtype)


@contract
def flatten(x: Float[AnyArray, "*batch p n n"]) -> Float[Array, "*batch {x.shape[-3]*x.shape[-2]*x.shape[-1]}"]:
    """Each example's entries in one row, neuron by neuron and row by row.

    **Arguments:** `x`: `(*batch, p, n, n)`.
    **Returns:** `(*batch, p · n · n)`.
    **Raises:** `ContractError` if the matrices are not square, or for a missing axis.
    """
    return jnp.asarray(x).reshape(*x.shape[:-3], x.shape[-3] * x.shape[-2] * x.shape[-1])
