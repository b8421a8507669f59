"""Augmentations one behind the other."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, Shaped

from matrinox.contract import AnyArray, contract

Augmentation = Callable[[PRNGKeyArray, Array], Array]
"""A change of the inputs of a minibatch that leaves its targets as they are: `augmentation(key, inputs)`."""


@contract
def augmented(
    key: PRNGKeyArray, inputs: Shaped[AnyArray, "batch ..."], augment: tuple[Augmentation, ...]
) -> Shaped[Array, "batch ..."]:
    """The inputs behind each augmentation in turn, each with a key of its own.

    **Arguments:** `key`; `inputs`: `(batch, …)`; `augment`: what is done to them; nothing for `()`.
    **Returns:** `(batch, …)`, of the shape that the last one gives.
    **Raises:** `ContractError` if `inputs` has no axis.
    """
    x = jnp.asarray(inputs)
    for step, change in enumerate(augment):
        x = change(jax.random.fold_in(key, step), x)
    return x
