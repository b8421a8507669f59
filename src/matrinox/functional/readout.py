"""Read-outs: matrix neurons into numbers."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.axis import AxesFromEnd, from_the_end
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
    norm = jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))
    return norm.astype(x.dtype)


@contract
def flatten(x: Float[AnyArray, "*batch p n n"]) -> Float[Array, "*batch {x.shape[-3]*x.shape[-2]*x.shape[-1]}"]:
    """Each example's entries in one row, neuron by neuron and row by row.

    **Arguments:** `x`: `(*batch, p, n, n)`.
    **Returns:** `(*batch, p · n · n)`.
    **Raises:** `ContractError` if the matrices are not square, or for a missing axis.
    """
    return jnp.asarray(x).reshape(*x.shape[:-3], x.shape[-3] * x.shape[-2] * x.shape[-1])


@contract
def flatten_batch(x: Float[AnyArray, "examples *rest p n n"]) -> Float[Array, "examples features"]:
    """All axes of an example in one row: only the first axis is batch.

    **Arguments:** `x`: `(examples, *rest, p, n, n)`, `rest` being time or space axes.
    **Returns:** `(examples, features)`, features being the product of all axes but the first.
    **Raises:** `ContractError` if the matrices are not square, or for a missing axis.
    **Source:** TorchLean, `flattenBatch`; `torch.flatten(x, start_dim=1)`.
    """
    return jnp.asarray(x).reshape(x.shape[0], math.prod(x.shape[1:]))


@contract
def flatten_space(x: Float[AnyArray, "*batch h w p n n"]) -> Float[Array, "*batch h*w p n n"]:
    """The places of an image in a row, each a token: row by row.

    **Arguments:** `x`: `(*batch, h, w, p, n, n)`.
    **Returns:** `(*batch, h · w, p, n, n)`.
    **Raises:** `ContractError` if the matrices are not square, or for a missing axis.
    """
    *batch, h, w, p, n, _ = x.shape
    return jnp.asarray(x).reshape(*batch, h * w, p, n, n)


@contract
def reduce_sum(
    x: Float[AnyArray, "*batch p n n"], axis: AxesFromEnd = (-3, -2, -1), *, keepdims: bool = False
) -> Float[Array, "..."]:
    """The sum along axes, by default over all entries of all neurons of an example.

    **Arguments:** `x`: `(*batch, p, n, n)`; `axis`: counted from the end, one or several: -3 for the neurons, entry by
    entry; `(-2, -1)` for the entries of each; -4 for time; `keepdims`: keep these axes, with length 1.
    **Returns:** `(*batch)`, or the axes of `x` without `axis`; sums of half precision are taken in float32.
    **Raises:** `ContractError` if the matrices are not square, or for a missing axis; `ValueError` for an `axis` that
    is not below 0, is beyond the axes of `x`, or is named twice.
    **Source:** TorchLean, `sum`; `torch.sum`.
    """
    x = jnp.asarray(x)
    return jnp.sum(widen(x), axis=from_the_end(axis, x.ndim), keepdims=keepdims).astype(x.dtype)


@contract
def flatten_linear(
    weight: Float[AnyArray, "features p n n"],
    x: Float[AnyArray, "*batch p n n"],
    bias: Float[AnyArray, "features"] | None = None,
) -> Float[Array, "*batch features"]:
    """One scalar linear map of all entries: `y_f = Σ_pij W_fpij x_pij + b_f`.

    **Arguments:** `weight`: `(features, p, n, n)`; `x`: `(*batch, p, n, n)`; `bias`: `(features)`.
    **Returns:** `(*batch, features)`; sums of half precision are taken in float32.
    **Raises:** `ContractError` if the trailing axes of `x` are not those of the weight, or the bias not its features.
    **Source:** TorchLean, `flattenLinear`.
    """
    features, *neurons = weight.shape
    flat = jnp.asarray(weight).reshape(features, math.prod(neurons))
    dtype = jnp.result_type(flat, jnp.asarray(x))
    wide = jnp.promote_types(dtype, jnp.float32)
    y = jnp.einsum("...e,fe->...f", flatten(x), flat, preferred_element_type=wide)
    return (y if bias is None else y + bias).astype(dtype)
