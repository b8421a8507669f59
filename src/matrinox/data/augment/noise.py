"""Noise: every entry is moved by a draw of its own."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.io.config import check_config


@contract
def add_noise(key: PRNGKeyArray, x: Float[AnyArray, "*shape"], *, scale: float = 0.1) -> Float[Array, "*shape"]:
    """`x + scale · ε`, with ε from a standard normal distribution, drawn anew for each entry.

    **Arguments:** `key`; `x`: `(*shape)`; `scale`: the standard deviation, 0 or more.
    **Returns:** `(*shape)`, of the dtype of `x`.
    **Raises:** `ContractError` if `x` is not of floats; `ValueError` if `scale` is negative or not finite.
    """
    _check_scale(scale)
    x = jnp.asarray(x)
    return x + jnp.asarray(scale, x.dtype) * jax.random.normal(key, x.shape, x.dtype)


@dataclass(frozen=True)
class Noise:
    """Gaussian noise on every entry, as `add_noise` adds it.

    **Arguments:** `scale`: the standard deviation, 0 or more.
    **Raises:** `ValueError` if `scale` is no number, negative or not finite.
    """

    scale: float = 0.1

    def __post_init__(self):
        check_config(self)
        _check_scale(self.scale)

    @contract
    def __call__(self, key: PRNGKeyArray, x: Float[AnyArray, "*shape"]) -> Float[Array, "*shape"]:
        """Adds noise.

        **Arguments:** `key`; `x`: `(*shape)`.
        **Returns:** `(*shape)`.
        **Raises:** `ContractError` if `x` is not of floats.
        """
        return add_noise(key, x, scale=self.scale)


def _check_scale(scale: float) -> None:
    if not 0 <= scale < float("inf"):
        raise ValueError(f"`scale` (={scale}) must be 0 or more, and finite: 0.1 is common for inputs of about 1.")
