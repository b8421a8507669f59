"""Activations of whole matrices: gated or scaled by the determinant, and squares of entrywise activations."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jax.scipy.linalg import expm
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.activation import Scalar
from matrinox.functional.determinant import det_root, has_positive_det
from matrinox.functional.precision import widen


@contract
def relud(x: Float[AnyArray, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """`X` where det X > 0, else 0.

    It halves the second moment, as relu does, and jumps where det X = 0: the gradient is that of the branch, and none
    comes from the boundary. A single neuron after a single neuron gains nothing from it: det(W X) = det W · det X.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch, n, n)`.
    **Raises:** `ContractError` if the matrices are not square.
    **Source:** MATNETS 3.2.5, `relud`.
    """
    x = jnp.asarray(x)
    return jnp.where(_gate(x), x, 0)


@contract
def leaky_relud(x: Float[AnyArray, "*batch n n"], negative_slope: Scalar = 0.01) -> Float[Array, "*batch n n"]:
    """`X` where det X > 0, else `negative_slope · X`; the gradient is that of the branch, as for `relud`.

    **Arguments:** `x`: `(*batch, n, n)`; `negative_slope`: a number.
    **Returns:** `(*batch, n, n)`.
    **Raises:** `ContractError` if the matrices are not square.
    **Source:** MATNETS 3.2.5, `leaky_relud`.
    """
    x = jnp.asarray(x)
    return jnp.where(_gate(x), x, jnp.asarray(negative_slope, x.dtype) * x)


@contract
def elu_powered(x: Float[AnyArray, "*batch n n"], alpha: Scalar = 1.0) -> Float[Array, "*batch n n"]:
    """`X` where det X > 0, else `alpha · (exp X − I)` with the exponential of the matrix.

    The gradient is that of the branch, as for `relud`. A matrix of negative determinant may still have large positive
    eigenvalues, of which this takes the exponential; and the exponential takes far longer than all else here.

    **Arguments:** `x`: `(*batch, n, n)`; `alpha`: a number.
    **Returns:** `(*batch, n, n)`; the exponential of half precision is computed in float32.
    **Raises:** `ContractError` if the matrices are not square.
    **Source:** MATNETS 3.2.5, `elu_powered`.
    """
    x = jnp.asarray(x)
    gate, wide = _gate(x), widen(x)
    # Where the gate is open the exponential may overflow, and its infinite slope times zero would be NaN.
    power = expm(jnp.where(gate, 0, wide)) - jnp.eye(x.shape[-1], dtype=wide.dtype)
    return jnp.where(gate, x, (alpha * power).astype(x.dtype))


@contract
def elud(x: Float[AnyArray, "*batch n n"], alpha: Scalar = 1.0) -> Float[Array, "*batch n n"]:
    """`X · elu(r) / r`, with r the root of the determinant: `X` where det X > 0, else `X · alpha · (eʳ − 1) / r`.

    **Arguments:** `x`: `(*batch, n, n)`; `alpha`: a number.
    **Returns:** `(*batch, n, n)`, of determinant `elu(r)ⁿ`; r is that of `det_root`, computed in float32 for half
    precision.
    **Raises:** `ContractError` if the matrices are not square.
    **Source:** MATNETS 3.2.5, `elud`.
    """
    return _rescale(x, lambda root: jax.nn.elu(root, alpha))


@contract
def sigmoidd(x: Float[AnyArray, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """`X · sigmoid(r) / r`, with r the root of the determinant.

    The factor is `1/(2r)` for small r: it makes large what is nearly singular, and has the determinant's sign.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch, n, n)`, of determinant `sigmoid(r)ⁿ`, hence never negative; r is that of `det_root`, computed
    in float32 for half precision.
    **Raises:** `ContractError` if the matrices are not square.
    **Source:** MATNETS 3.2.5, `sigmoidd`.
    """
    return _rescale(x, jax.nn.sigmoid)


@contract
def tanhd(x: Float[AnyArray, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """`X · tanh(r) / r`, with r the root of the determinant: a determinant within ±1, its sign kept.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch, n, n)`, of determinant `tanh(r)ⁿ` up to its sign; r is that of `det_root`, computed in
    float32 for half precision.
    **Raises:** `ContractError` if the matrices are not square.
    **Source:** MATNETS 3.2.5, `tanhd`.
    """
    return _rescale(x, jnp.tanh)


@contract
def softplusd(x: Float[AnyArray, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """`X · softplus(r) / r`, with r the root of the determinant.

    The factor is `log 2 / r` for small r: it makes large what is nearly singular, and has the determinant's sign.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch, n, n)`, of determinant `softplus(r)ⁿ`, hence never negative; r is that of `det_root`,
    computed in float32 for half precision.
    **Raises:** `ContractError` if the matrices are not square.
    **Source:** MATNETS 3.2.5, `softplusd`.
    """
    return _rescale(x, jax.nn.softplus)


@contract
def sst(x: Float[AnyArray, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """`T @ T / n`, with T the tanh of each entry: the scaled square of tanh, with entries within ±1.

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch, n, n)`; half precision is computed in float32.
    **Raises:** `ContractError` if the matrices are not square.
    **Source:** MATNETS 3.2.5, `sst`.
    """
    return _scaled_square(x, jnp.tanh)


@contract
def sss(x: Float[AnyArray, "*batch n n"]) -> Float[Array, "*batch n n"]:
    """`S @ S / n`, with S the sigmoid of each entry: the scaled square of sigmoid, with entries within (0, 1).

    **Arguments:** `x`: `(*batch, n, n)`.
    **Returns:** `(*batch, n, n)`; half precision is computed in float32.
    **Raises:** `ContractError` if the matrices are not square.
    **Source:** MATNETS 3.2.5, `sss`.
    """
    return _scaled_square(x, jax.nn.sigmoid)


def _gate(x: Array) -> Array:
    return has_positive_det(x)[..., None, None]


def _rescale(x: AnyArray, activation: Callable[[Array], Array]) -> Array:
    x = jnp.asarray(x)
    root = det_root(widen(x))
    return (x * (activation(root) / root)[..., None, None]).astype(x.dtype)


def _scaled_square(x: AnyArray, activation: Callable[[Array], Array]) -> Array:
    x = jnp.asarray(x)
    y = activation(widen(x))
    return (y @ y / x.shape[-1]).astype(x.dtype)
