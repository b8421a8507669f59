"""`dense`: the map that mixes matrix neurons."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.activation import identity
from matrinox.params import MatrixParams


@contract
def dense(
    params: MatrixParams,
    x: Float[AnyArray, "*batch {params.p} {params.n} {params.n}"],
    activation: Callable[[Array], Array] = identity,
) -> Float[Array, "*batch {params.q} {params.n} {params.n}"]:
    """Dense layer of matrix neurons: `y_q = f(Σ_p W_qp @ x_p + B_q)`.

    One matrix product for all examples and columns: `(q n × p n)` by `(p n × n · batch)`.

    **Arguments:** `params`: `W` `(q, p, n, n)`, `B` `(q, n, n)` or `None`; `x`: `(*batch, p, n, n)`; `activation`: f,
    which keeps the shape.
    **Returns:** `(*batch, q, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(p, n, n)`, or if `W` has kernel axes.
    **Source:** MATNETS 1.1.0, `dense`.
    """
    params.require_kernel(0)
    q, p, n, _ = params.W.shape
    weight = jnp.swapaxes(params.W, 1, 2).reshape(q * n, p * n)
    columns = jnp.asarray(x).reshape(*x.shape[:-3], p * n, n)
    y = jnp.einsum("...kc,ak->...ac", columns, weight).reshape(*x.shape[:-3], q, n, n)
    return activation(y if params.B is None else y + params.B)
