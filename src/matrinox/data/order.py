"""The order of minibatches: which examples each holds, as a pure function of key and position."""

import functools
from collections.abc import Hashable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Integer, PRNGKeyArray

from matrinox.contract import contract


@contract
def minibatches(
    key: PRNGKeyArray, examples: int, batch: int, *, first: int = 0, count: int
) -> Integer[Array, "{count} {batch}"]:
    """Which examples the minibatches `first … first + count − 1` hold: each epoch is a new permutation, cut in batches.

    A pure function of key and position, so that training may stop and go on anywhere. What is left at the end of a
    permutation, less than one batch, waits for the next epoch.

    **Arguments:** `key`: one for the whole run; `examples`: how many there are; `batch`: examples in a minibatch;
    `first`: the step to begin at; `count`: how many minibatches.
    **Returns:** indices, `(count, batch)`.
    **Raises:** `ValueError` if `batch` is not between 1 and `examples`, or `first` or `count` is negative.
    """
    if not 1 <= batch <= examples:
        raise ValueError(f"`batch` (={batch}) must be between 1 and `examples` (={examples}): choose a smaller batch.")
    for name, value in (("first", first), ("count", count)):
        if value < 0:
            raise ValueError(f"`{name}` (={value}) must be 0 or more: count steps from 0.")
    in_epoch = examples // batch
    words = tuple(jax.random.key_data(key).tolist())
    rows = [np.zeros((0, batch), int)]
    for epoch in range(first // in_epoch, -(-(first + count) // in_epoch)):
        order = _permutation(jax.random.key_impl(key), words, epoch, examples)[: in_epoch * batch]
        start, end = first - epoch * in_epoch, first + count - epoch * in_epoch
        rows.append(order.reshape(in_epoch, batch)[max(0, start) : end])
    return jnp.asarray(np.concatenate(rows), int)


# Calls of a few steps each ask for one epoch many times, which sorts all examples.
@functools.lru_cache(maxsize=2)
def _permutation(impl: Hashable, words: tuple[int, ...], epoch: int, examples: int) -> np.ndarray:
    key = jax.random.wrap_key_data(jnp.asarray(words, jnp.uint32), impl=impl)
    order = np.asarray(jax.random.permutation(jax.random.fold_in(key, epoch), examples))
    order.setflags(write=False)
    return order
