"""`Transpose`, by which columns meet."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract


@contract
class Transpose(eqx.Module):
    """Each matrix transposed, `y_p = x_pᵀ`: `(*batch, p, n, n)` to the same.

    A dense layer, a recurrent cell or a convolution maps every column by itself. Between two of them, columns become
    rows, which the next layer mixes: it costs no parameters.

    >>> import jax.numpy as jnp
    >>> Transpose()(jnp.array([[[1.0, 2.0], [3.0, 4.0]]]))
    Array([[[1., 3.],
            [2., 4.]]], dtype=float32)
    """

    def __call__(
        self, x: Float[AnyArray, "*batch p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch p n n"]:
        """Transposes.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, p, n, n)`.
        **Raises:** `ContractError` if the matrices are not square.
        """
        return jnp.matrix_transpose(x)
