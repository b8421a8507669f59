"""Denoising: what an example held before noise was added."""

from dataclasses import dataclass

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, PRNGKeyArray, PyTree

from matrinox.contract import AnyArray, contract
from matrinox.data.augment import Noise
from matrinox.io.config import check_config
from matrinox.train.task.autoencoding import Autoencoding


@dataclass(frozen=True)
class Denoising(Autoencoding):
    """Inputs are given with noise, and told without: a model that does so has learnt what its inputs are like.

    **Arguments:** `scale`: the standard deviation of the noise, drawn anew for each entry; `error`: as of
    `Reconstruction`.
    **Raises:** `ValueError` if `scale` is no number, or not above 0.
    **Source:** Vincent et al. 2008, "Extracting and composing robust features with denoising autoencoders".
    """

    scale: float = 0.5

    def __post_init__(self):
        check_config(self)
        if not self.scale > 0:
            raise ValueError(f"`scale` (={self.scale}) must be above 0: without noise there is nothing to take away.")
        Noise(self.scale)

    @contract
    def prepare(
        self, inputs: Float[AnyArray, "batch *shape"], targets: PyTree, *, key: PRNGKeyArray
    ) -> tuple[Float[Array, "batch *shape"], tuple[Float[Array, "batch *shape"], Bool[Array, "batch *shape"]]]:
        """The inputs with noise; as targets, the inputs, of which every entry counts.

        **Arguments:** `inputs`: `(batch, *shape)`; `targets`: not used; `key`: of the noise.
        **Returns:** noisy inputs, and clean ones with where they count.
        **Raises:** `ContractError` if the inputs are not of floats or have no batch axis.
        """
        clean = jnp.asarray(inputs)
        return Noise(self.scale)(key, clean), (clean, jnp.ones(clean.shape, bool))
