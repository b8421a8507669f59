"""`LastStep`, what a sequence ends with."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract


@contract
class LastStep(eqx.Module):
    """The last step of a sequence: `(*batch, t, p, n, n)` to `(*batch, p, n, n)`.

    >>> import jax.numpy as jnp
    >>> LastStep()(jnp.ones((32, 10, 3, 4, 4))).shape
    (32, 3, 4, 4)
    """

    def __call__(
        self, x: Float[AnyArray, "*batch t p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch p n n"]:
        """Takes the last step.

        **Arguments:** `x`: `(*batch, t, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, p, n, n)`.
        **Raises:** `ContractError` if the matrices are not square, or for a missing axis; `ValueError` for a sequence
        of no steps.
        """
        if x.shape[-4] < 1:
            raise ValueError(f"`x` has {x.shape[-4]} steps, and must have at least 1: there is no last one.")
        return jnp.asarray(x)[..., -1, :, :, :]
