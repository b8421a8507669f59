"""`bimap`: the map that keeps symmetric positive-definite neurons so."""

import math

import jax.numpy as jnp
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.bilinear import bilinear_dense
from matrinox.functional.constrain import symmetrize
from matrinox.functional.precision import Precision, widen


@contract
def bimap(
    weight: Float[AnyArray, "q p n n"],
    x: Float[AnyArray, "*batch p n n"],
    *,
    eps: float = 0.0,
    precision: Precision = "highest",
) -> Float[Array, "*batch q n n"]:
    """Congruences of symmetric neurons, summed: `Y_q = Σ_p W_qp @ X_p @ W_qpᵀ + eps · I`.

    Positive-definite neurons give such, where the n rows of `(W_q1, …, W_qp)` are independent, or `eps` is above 0.
    For `G X_p Gᵀ` and `W_qp G⁻¹` it gives the same: what G does to the input, weights can undo.

    **Arguments:** `weight`: `(q, p, n, n)`; `x`: `(*batch, p, n, n)`, of which the symmetric part `(X + Xᵀ)/2` is
    taken; `eps`: not negative; `precision`: as for `dense`.
    **Returns:** `(*batch, q, n, n)`, symmetric to the last bit, of the dtype that the inputs have in common; half
    precision is computed in float32.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(p, n, n)`; `ValueError` for an `eps` that is
    negative or infinite, and for an unknown `precision`.
    **Source:** Huang and Van Gool 2017, arXiv 1608.04233, BiMap, of one neuron.
    """
    require_not_negative("eps", eps)
    weight, x = jnp.asarray(weight), jnp.asarray(x)
    U = widen(weight)[:, :, None]
    y = symmetrize(bilinear_dense(U, jnp.swapaxes(U, -1, -2), widen(x), precision=precision))
    return (y + eps * jnp.eye(x.shape[-1], dtype=y.dtype)).astype(jnp.result_type(weight, x))


def require_not_negative(argument: str, value: float) -> None:
    """Refuses what would make a positive matrix smaller.

    **Raises:** `ValueError`, naming the argument.
    """
    if not 0 <= value < math.inf:
        raise ValueError(f"`{argument}` (={value}) must be finite and not negative: choose 0 or a small number.")
