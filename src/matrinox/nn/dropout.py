"""`Dropout`, of single entries or of whole neurons."""

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.core import Tracer
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract


@contract
class Dropout(eqx.Module):
    """Sets entries, or whole neurons, to zero with probability `rate`, and divides the rest by `1 - rate`.

    Every example on the leading axes has draws of its own. In inference, which `eqx.nn.inference_mode` switches, it
    does nothing.

    **Arguments:** `rate`: from 0 up to, but not including, 1; `neurons`: drop whole n×n matrices; `inference`: start
    in inference.
    **Raises:** `ValueError` for a rate out of range.
    **Source:** Srivastava et al. 2014.

    >>> import jax, jax.numpy as jnp
    >>> layer = Dropout(0.5, neurons=True)
    >>> layer(jnp.ones((4, 1, 1)), key=jax.random.key(1)).ravel()
    Array([2., 0., 2., 2.], dtype=float32)
    """

    # Not static, so that `eqx.tree_at` and `eqx.nn.inference_mode` can change them.
    rate: float
    inference: bool
    neurons: bool = eqx.field(static=True)

    def __init__(self, rate: float, *, neurons: bool = False, inference: bool = False):
        if not 0 <= rate < 1:
            raise ValueError(f"`rate` (={rate}) must be from 0 up to, but not including, 1: choose the share to drop.")
        self.rate = rate
        self.inference = inference
        self.neurons = neurons

    def __call__(
        self, x: Float[AnyArray, "*batch p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch p n n"]:
        """Drops, in training.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: needed in training unless the rate is 0.
        **Returns:** `(*batch, p, n, n)`.
        **Raises:** `ValueError` if the key is missing; `ContractError` if the matrices are not square.
        """
        x = jnp.asarray(x)
        if self.inference or (not isinstance(self.rate, Tracer) and self.rate == 0):
            return x
        if key is None:
            raise ValueError(
                f"`key` (=None) is needed by Dropout(rate={self.rate}) in training: pass a key, or switch the model to "
                "inference with eqx.nn.inference_mode(model)."
            )
        kept = 1 - self.rate
        mask = jax.random.bernoulli(key, kept, (*x.shape[:-2], 1, 1) if self.neurons else x.shape)
        # A rate that was edited to an array has a dtype, which the neurons do not take over.
        return jnp.where(mask, (x / kept).astype(x.dtype), 0)
