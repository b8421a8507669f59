"""Read-outs that do not depend on the basis: traces of powers, characteristic polynomial, ratios of determinants."""

import math

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.determinant import det
from matrinox.functional.precision import exact_product, widen


@contract
def trace_powers(
    x: Float[AnyArray, "*batch p n n"], powers: int | None = None, *, scaled: bool = False
) -> Float[Array, "*batch p powers"]:
    """The traces of each neuron's powers, `tr X, tr X², …, tr X^powers`: the same for `G X G⁻¹`.

    The sums of the eigenvalues' powers; n of them determine all eigenvalues. It takes half as many products as powers:
    `tr X^(i+j)` is the inner product of X^i and (X^j)ᵀ.

    **Arguments:** `x`: `(*batch, p, n, n)`; `powers`: how many, n where `None`; `scaled`: divide `tr X^k` by
    `√k · n^(k/2)`, which gives a mean square between 1 and 3 for k ≤ n where entries are independent, of variance 1.
    **Returns:** `(*batch, p, powers)`; half precision is computed in float32.
    **Raises:** `ContractError` if the matrices are not square, or for a missing axis; `ValueError` for `powers` below
    1.
    """
    x = jnp.asarray(x)
    n = x.shape[-1]
    count = n if powers is None else powers
    if count < 1:
        raise ValueError(f"`powers` (={count}) must be at least 1: choose a positive number.")
    power = wide = widen(x)
    products = [power]
    while 2 * len(products) < count:
        power = exact_product(power, wide)
        products.append(power)
    traces = [jnp.trace(product, axis1=-2, axis2=-1) for product in products]
    for k in range(len(products) + 1, count + 1):
        traces.append(_trace_of_product(products[-1], products[k - len(products) - 1]))
    if scaled:
        traces = [trace / (math.sqrt(k) * n ** (k / 2)) for k, trace in enumerate(traces, start=1)]
    return jnp.stack(traces[:count], axis=-1).astype(x.dtype)


@contract
def characteristic_polynomial(x: Float[AnyArray, "*batch p n n"]) -> Float[Array, "*batch p n"]:
    """The coefficients c of `det(λ I − X) = λⁿ + c₁ λⁿ⁻¹ + … + cₙ` of each neuron: the same for `G X G⁻¹`.

    The first is `−tr X`, the last `(−1)ⁿ det X`; the 1 before λⁿ is left out. By the recursion of Faddeev and
    LeVerrier, n − 2 products and no division by an entry: all derivatives are finite, whatever the rank.

    **Arguments:** `x`: `(*batch, p, n, n)`.
    **Returns:** `(*batch, p, n)`: c₁, …, cₙ; half precision is computed in float32.
    **Raises:** `ContractError` if the matrices are not square, or for a missing axis.
    **Source:** `numpy.poly`, without its leading 1.
    """
    x = jnp.asarray(x)
    wide, n = widen(x), x.shape[-1]
    identity = jnp.eye(n, dtype=wide.dtype)
    auxiliary, coefficients = identity, [-jnp.trace(wide, axis1=-2, axis2=-1)]
    for k in range(2, n + 1):
        product = wide if k == 2 else exact_product(wide, auxiliary)
        auxiliary = product + coefficients[-1][..., None, None] * identity
        coefficients.append(-_trace_of_product(wide, auxiliary) / k)
    return jnp.stack(coefficients, axis=-1).astype(x.dtype)


@contract
def determinant_ratios(x: Float[AnyArray, "*batch p n n"]) -> Float[Array, "*batch p"]:
    """Each neuron's determinant over the root of the sum of squares of all, `d_p = det X_p / √(Σ_r det X_r²)`.

    All ratios of determinants are ratios of these, and the same for `G X_p H` with any invertible G and H; so are the d
    themselves up to a sign in common, that of det G · det H. A single neuron has the sign of its determinant alone.

    **Arguments:** `x`: `(*batch, p, n, n)`.
    **Returns:** `(*batch, p)`, within ±1: 0, with a gradient of 0, where all neurons are singular; half precision is
    computed in float32.
    **Raises:** `ContractError` if the matrices are not square, or for a missing axis.
    """
    x = jnp.asarray(x)
    # A factor that all neurons have in common changes no ratio; so scaled, no determinant leaves the range of floats.
    values = det(_over_the_largest(widen(x), (-3, -2, -1)))
    values = _over_the_largest(values, (-1,))
    squares = jnp.sum(jnp.square(values), axis=-1, keepdims=True)
    # The root's slope at 0 is infinite; times the zero that flows on, it would be NaN.
    ratios = jnp.where(squares == 0, 0, values / jnp.sqrt(jnp.where(squares == 0, 1, squares)))
    return ratios.astype(x.dtype)


def _over_the_largest(values: Array, axes: tuple[int, ...]) -> Array:
    """`values` over the largest in size along `axes`; 0 where that is no normal number."""
    largest = jnp.max(jnp.abs(jax.lax.stop_gradient(values)), axis=axes, keepdims=True)
    none = largest < jnp.finfo(values.dtype).tiny
    return jnp.where(none, 0, values / jnp.where(none, 1, largest))


def _trace_of_product(a: Array, b: Array) -> Array:
    return jnp.sum(a * jnp.swapaxes(b, -1, -2), axis=(-2, -1))
