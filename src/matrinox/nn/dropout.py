"""`Dropout`, of single entries, of whole neurons or of what any axes share."""

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional.axis import AxesFromEnd, from_the_end
from matrinox.functional.dropout import drop, may_drop, require_rate

_WITHIN_A_NEURON = (-2, -1)


@contract
class Dropout(eqx.Module):
    """Sets entries to zero with probability `rate`, and divides the rest by `1 - rate`.

    Every example on the leading axes has draws of its own. In inference, which `eqx.nn.inference_mode` switches, it
    does nothing.

    **Arguments:** `rate`: from 0 up to, but not including, 1; `neurons`: drop whole n×n matrices, as
    `shared=(-2, -1)` does; `shared`: the axes, counted from the end, all of whose entries share a draw, such as
    `(-5, -4, -2, -1)` for whole maps of an image, or `(-4,)` for the same entries at all times of a sequence;
    `inference`: start in inference.
    **Raises:** `ValueError` for a rate out of range, for shared axes that are not below 0 or named twice, and for these
    beside `neurons`.
    **Source:** Srivastava et al. 2014; mlax, `functional.dropout`, whose `axis` are the axes of an example that are not
    shared.

    >>> import jax, jax.numpy as jnp
    >>> layer = Dropout(0.5, neurons=True)
    >>> layer(jnp.ones((4, 1, 1)), key=jax.random.key(1)).ravel()
    Array([2., 0., 2., 2.], dtype=float32)
    """

    # Not static, so that `eqx.tree_at` and `eqx.nn.inference_mode` can change them.
    rate: float
    inference: bool
    shared: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self, rate: float, *, neurons: bool = False, shared: AxesFromEnd | tuple[()] = (), inference: bool = False
    ):
        require_rate(rate)
        if neurons and shared:
            raise ValueError(
                f"`shared` (={shared}) must not be given beside `neurons`, which stands for {_WITHIN_A_NEURON}: choose "
                "one of them."
            )
        self.rate = rate
        self.inference = inference
        self.shared = _WITHIN_A_NEURON if neurons else from_the_end(shared, name="shared")

    def __call__(
        self, x: Float[AnyArray, "*batch p n n"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch p n n"]:
        """Drops, in training.

        **Arguments:** `x`: `(*batch, p, n, n)`; `key`: needed in training unless the rate is 0.
        **Returns:** `(*batch, p, n, n)`.
        **Raises:** `ValueError` if the key is missing, and for a shared axis that `x` lacks; `ContractError` if the
        matrices are not square.
        """
        x = jnp.asarray(x)
        if self.inference or not may_drop(self.rate):
            return x
        if key is None:
            raise ValueError(
                f"`key` (=None) is needed by Dropout(rate={self.rate}) in training: pass a key, or switch the model to "
                "inference with eqx.nn.inference_mode(model)."
            )
        from_the_end(self.shared, x.ndim, name="shared")
        return drop(x, key, self.rate, self.shared)
