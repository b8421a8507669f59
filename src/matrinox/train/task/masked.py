"""Masked reconstruction: what stood where an example is hidden."""

import math
from dataclasses import dataclass, field

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from matrinox.contract import AnyArray, contract
from matrinox.data.ssl import Mask, RandomMask, masked_sample
from matrinox.train.task.autoencoding import Autoencoding
from matrinox.train.task.reconstruction import Reconstruction


@dataclass(frozen=True)
class MaskedReconstruction(Autoencoding):
    """Inputs are given with patches hidden, which are to be told from the rest; what is shown does not count.

    **Arguments:** `mask`: which patches are hidden, drawn anew for each example, such as `RandomMask(0.75)`,
    `BlockMask(0.25)`, `PrefixMask(0.5)` or `PeriodicMask(4)`; `patch`: entries of a patch along each axis that it
    spans, behind the batch axis: `(1,)` hides features of vectors, `(4, 4)` squares of images with all channels;
    `fill`: what stands in place of what is hidden; `error`: as of `Reconstruction`.
    **Raises:** `ValueError` for a value of another type, a side of `patch` below 1, or a `fill` that is not finite.
    **Source:** He et al. 2022, "Masked autoencoders are scalable vision learners"; TorchLean, `ssl`.
    """

    mask: Mask = field(default_factory=RandomMask)
    patch: tuple[int, ...] = (1,)
    fill: float = 0.0

    def __post_init__(self):
        if not isinstance(self.mask, Mask):
            raise ValueError(f"`mask` (={self.mask!r}) must be a mask's config: give such as RandomMask(0.75).")
        sides = self.patch if isinstance(self.patch, tuple) else ()
        if not sides or not all(type(side) is int and side >= 1 for side in sides):
            raise ValueError(f"`patch` (={self.patch!r}) must be a tuple of 1 or more for each axis: such as (4, 4).")
        if type(self.fill) not in (int, float) or not math.isfinite(self.fill):
            raise ValueError(f"`fill` (={self.fill!r}) must be a finite number: 0.0 is common.")
        Reconstruction(self.error)

    @contract
    def prepare(
        self, inputs: Float[AnyArray, "batch *shape"], targets: PyTree, *, key: PRNGKeyArray
    ) -> tuple[Float[Array, "batch *shape"], tuple[Float[Array, "batch *shape"], Bool[Array, "batch *shape"]]]:
        """The inputs with patches hidden; as targets, the inputs and where they are hidden.

        **Arguments:** `inputs`: `(batch, *shape)`; `targets`: not used; `key`: of the mask.
        **Returns:** what the model is given, and values with where they count.
        **Raises:** `ValueError` if patches do not fit the inputs, or none or all would be hidden; `ContractError` if
        the inputs are not of floats or have no batch axis.
        """
        shown, hidden = masked_sample(key, inputs, self.mask, patch=self.patch, fill=self.fill)
        return shown, (jnp.asarray(inputs), hidden)
