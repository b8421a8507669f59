"""Views: each example twice, changed by draws of their own, for a model that is to tell which two belong together."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, PRNGKeyArray, Shaped

from matrinox.contract import AnyArray, contract
from matrinox.data.augment.turns import Augmentation, augmented


@contract
def two_views(
    key: PRNGKeyArray,
    first: Shaped[AnyArray, "batch *shape"],
    second: Shaped[AnyArray, "batch *shape"] | None = None,
    *,
    augment: tuple[Augmentation, ...] = (),
) -> Shaped[Array, "2*batch ..."]:
    """Both views of every example in one batch: all first ones, then all second ones, in the same order.

    **Arguments:** `key`; `first`: `(batch, *shape)`; `second`: the partners `(batch, *shape)` where the data hold
    pairs, by default the examples themselves; `augment`: changes of a view, drawn anew for each.
    **Returns:** `(2 · batch, …)`: example `i` is in rows `i` and `batch + i`.
    **Raises:** `ContractError` if the two are not of one shape; `ValueError` if nothing tells the views apart.
    """
    if second is None and not augment:
        raise ValueError(
            "`augment` (=()) must change something where a view is the example itself: give such as (Noise(),)."
        )
    keys = jax.random.split(key)
    views = (first, first if second is None else second)
    return jnp.concatenate([augmented(each, view, augment) for each, view in zip(keys, views, strict=True)])
