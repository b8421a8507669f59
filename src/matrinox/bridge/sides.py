"""Encoders and read-outs whose own matrices are of another side than those of the layers between them."""

from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float, PRNGKeyArray

from matrinox import nn
from matrinox.bridge.kronecker import block_means, with_ones
from matrinox.contract import AnyArray, contract

ENCODERS = (nn.Fold, nn.Frames, nn.Tile, nn.Patches, nn.EmbedPixels, nn.EmbedSequence)


@contract
class SpreadEncoder(eqx.Module):
    """An encoder and the step from X to `X ⊗ J`, with each entry in all of a k×k block.

    **Arguments:** `layer`: an encoder, to `(*batch, p, m, m)`; `k`: how often each entry comes in a row.

    >>> import jax.numpy as jnp
    >>> from matrinox.nn import Fold
    >>> SpreadEncoder(Fold(2), 3)(jnp.arange(4.0))[0, :, ::3].tolist()
    [[0.0, 1.0], [0.0, 1.0], [0.0, 1.0], [2.0, 3.0], [2.0, 3.0], [2.0, 3.0]]
    """

    layer: Any
    k: int = eqx.field(static=True)

    @property
    def n(self) -> int:
        """The side of the matrices that it gives, `m · k`."""
        return self.layer.n * self.k

    def __call__(
        self, x: Float[AnyArray, "..."], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "... _ {self.n} {self.n}"]:
        """Encodes numbers.

        **Arguments:** `x`: what the encoder takes; `key`: not used.
        **Returns:** `(*batch, p, m·k, m·k)`.
        """
        return with_ones(self.layer(x), self.k)


@contract
class EntriesEncoder(eqx.Module):
    """An encoder, with each entry that it gives as a neuron of its own.

    **Arguments:** `layer`: an encoder, to `(*batch, p, m, m)`.

    >>> import jax.numpy as jnp
    >>> from matrinox.nn import Patches
    >>> EntriesEncoder(Patches(2))(jnp.ones((4, 4, 1))).shape
    (2, 2, 4, 1, 1)
    """

    layer: Any

    @property
    def n(self) -> int:
        """The side of the matrices that it gives, 1."""
        return 1

    def __call__(self, x: Float[AnyArray, "..."], *, key: PRNGKeyArray | None = None) -> Float[Array, "... _ 1 1"]:
        """Encodes numbers.

        **Arguments:** `x`: what the encoder takes; `key`: not used.
        **Returns:** `(*batch, p·m·m, 1, 1)`.
        """
        y = self.layer(x)
        return y.reshape(*y.shape[:-3], -1, 1, 1)


@contract
class MeansReadOut(eqx.Module):
    """A read-out of the mean of each k×k block, so of X where it is given `X ⊗ J`.

    **Arguments:** `layer`: a read-out, of `(*batch, p, m, m)`; `k`: the side of the blocks.

    >>> import jax.numpy as jnp
    >>> from matrinox.nn import Flatten
    >>> MeansReadOut(Flatten(), 2)(jnp.arange(16.0).reshape(1, 4, 4)).tolist()
    [2.5, 4.5, 10.5, 12.5]
    """

    layer: Any
    k: int = eqx.field(static=True)

    def __call__(self, x: Float[AnyArray, "... _ n n"], *, key: PRNGKeyArray | None = None) -> Float[Array, "..."]:
        """Reads out numbers.

        **Arguments:** `x`: `(*batch, p, m·k, m·k)`; `key`: not used.
        **Returns:** what the read-out gives.
        """
        return self.layer(block_means(jnp.asarray(x), self.k))
