"""Activations: each entry of a matrix neuron by itself, whatever the shape; and `softmax`, along axes."""

from typing import TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.axis import AxesFromEnd, from_the_end
from matrinox.functional.precision import widen

Scalar: TypeAlias = float | Float[AnyArray, ""]


@contract
def identity(x: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """`x`, as it came.

    **Arguments:** `x`: `(*shape)`.
    **Returns:** `(*shape)`.
    **Raises:** `ContractError` if `x` is not a float array.
    """
    return jnp.asarray(x)


@contract
def relu(x: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """`max(x, 0)`; the gradient at 0 is 0.

    **Arguments:** `x`: `(*shape)`.
    **Returns:** `(*shape)`.
    **Raises:** `ContractError` if `x` is not a float array.
    **Source:** `jax.nn.relu`, as in MATNETS 1.1.0.
    """
    return jax.nn.relu(x)


@contract
def leaky_relu(x: Float[AnyArray, "*shape"], negative_slope: Scalar = 0.01) -> Float[Array, "*shape"]:
    """`x` where x ≥ 0, else `negative_slope · x`.

    **Arguments:** `x`: `(*shape)`; `negative_slope`: a number.
    **Returns:** `(*shape)`.
    **Raises:** `ContractError` if `x` is not a float array.
    **Source:** `jax.nn.leaky_relu`, as in MATNETS 1.1.0.
    """
    return jax.nn.leaky_relu(x, negative_slope)


@contract
def elu(x: Float[AnyArray, "*shape"], alpha: Scalar = 1.0) -> Float[Array, "*shape"]:
    """`x` where x > 0, else `alpha · (exp(x) − 1)`.

    **Arguments:** `x`: `(*shape)`; `alpha`: a number.
    **Returns:** `(*shape)`.
    **Raises:** `ContractError` if `x` is not a float array.
    **Source:** `jax.nn.elu`, as in MATNETS 1.1.0.
    """
    return jax.nn.elu(x, alpha)


@contract
def sigmoid(x: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """`1 / (1 + exp(−x))`.

    **Arguments:** `x`: `(*shape)`.
    **Returns:** `(*shape)`, within (0, 1).
    **Raises:** `ContractError` if `x` is not a float array.
    **Source:** `jax.nn.sigmoid`, as in MATNETS 1.1.0.
    """
    return jax.nn.sigmoid(x)


@contract
def tanh(x: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """`tanh(x)`.

    **Arguments:** `x`: `(*shape)`.
    **Returns:** `(*shape)`, within (−1, 1).
    **Raises:** `ContractError` if `x` is not a float array.
    **Source:** `jax.numpy.tanh`, as in MATNETS 1.1.0.
    """
    return jnp.tanh(x)


@contract
def softplus(x: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """`log(1 + exp(x))`, without overflow.

    **Arguments:** `x`: `(*shape)`.
    **Returns:** `(*shape)`, above 0.
    **Raises:** `ContractError` if `x` is not a float array.
    **Source:** `jax.nn.softplus`, as in MATNETS 1.1.0.
    """
    return jax.nn.softplus(x)


@contract
def gelu(x: Float[AnyArray, "*shape"], approximate: bool = True) -> Float[Array, "*shape"]:
    """`x · Φ(x)`, with Φ the distribution function of the standard normal.

    **Arguments:** `x`: `(*shape)`; `approximate`: take Φ by its tanh formula rather than by erf.
    **Returns:** `(*shape)`.
    **Raises:** `ContractError` if `x` is not a float array.
    **Source:** Hendrycks and Gimpel 2016; `jax.nn.gelu`.
    """
    return jax.nn.gelu(x, approximate=approximate)


@contract
def silu(x: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
    """`x · sigmoid(x)`.

    **Arguments:** `x`: `(*shape)`.
    **Returns:** `(*shape)`.
    **Raises:** `ContractError` if `x` is not a float array.
    **Source:** Elfwing et al. 2017; `jax.nn.silu`.
    """
    return jax.nn.silu(x)


@contract
def softmax(x: Float[AnyArray, "*batch classes"], axis: AxesFromEnd = -1) -> Float[Array, "*batch classes"]:
    """`exp(x) / Σ exp(x)`, the sum along `axis`: positive numbers whose sum is 1.

    **Arguments:** `x`: class scores `(*batch, classes)`, or matrix neurons `(*batch, p, n, n)`; `axis`: counted from
    the end, one or several that share a sum: -1 for classes, or for each row of a matrix; -3 for the neurons, entry by
    entry; `(-2, -1)` for the entries of each matrix.
    **Returns:** the shape and the dtype of `x`; half precision is computed in float32.
    **Raises:** `ContractError` if `x` is not a float array or has no axes; `ValueError` for an `axis` that is not below
    0, is beyond the axes of `x`, or is named twice.
    **Source:** `jax.nn.softmax`.
    """
    x = jnp.asarray(x)
    return jax.nn.softmax(widen(x), axis=from_the_end(axis, x.ndim)).astype(x.dtype)
