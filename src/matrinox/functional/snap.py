"""States and a table of known ones: how far each is, the nearest, and a scan that goes back to it every few steps."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from matrinox.contract import AnyArray, contract
from matrinox.functional.precision import widen
from matrinox.functional.scan import matrix_scan, require_method


@contract
def squared_distances(
    h: Float[AnyArray, "*batch q n n"], table: Float[AnyArray, "q entries n n"]
) -> Float[Array, "*batch q entries"]:
    """How far each state is from each entry of its neuron: `‖H_q − E_qe‖²`, Frobenius.

    Negated and summed over the neurons they are logits of the entries, for a read-out that shares the table.

    **Arguments:** `h`: `(*batch, q, n, n)`; `table`: `(q, entries, n, n)`.
    **Returns:** `(*batch, q, entries)`; half precision is computed in float32.
    **Raises:** `ContractError` if the shapes do not fit.
    """
    dtype = jnp.result_type(h, table)
    difference = widen(h)[..., None, :, :] - widen(table)
    return jnp.sum(difference * difference, axis=(-2, -1)).astype(dtype)


@contract
def snap(h: Float[AnyArray, "*batch q n n"], table: Float[AnyArray, "q entries n n"]) -> Float[Array, "*batch q n n"]:
    """The entry nearest to each state, `E_qe` for the e of the least `‖H_q − E_qe‖`, neuron by neuron.

    The gradient goes on to the entry that was chosen, and straight through to the state, as if it had been that entry.

    **Arguments:** `h`: `(*batch, q, n, n)`; `table`: `(q, entries, n, n)`.
    **Returns:** `(*batch, q, n, n)`, in the dtype of `h`.
    **Raises:** `ContractError` if the shapes do not fit.
    **Source:** van den Oord et al. 2017, arXiv 1711.00937, with the gradient of Bengio et al. 2013, arXiv 1308.3432.
    """
    h, table = jnp.asarray(h), jnp.asarray(table)
    # Rounded to half precision, distances of different entries are one, or overflow.
    entry = jnp.argmin(squared_distances(widen(h), widen(table)), axis=-1)
    chosen = table[jnp.arange(len(table)), entry].astype(h.dtype)
    return chosen + (h - jax.lax.stop_gradient(h))


@contract
def snapping_scan(
    a: Float[AnyArray, "*batch t q n n"],
    u: Float[AnyArray, "*batch t q n n"] | None,
    h: Float[AnyArray, "*batch q n n"],
    table: Float[AnyArray, "q entries n n"],
    *,
    every: int,
    position: Int[AnyArray, "*batch"] | None = None,
    method: str = "associative",
) -> Float[Array, "*batch t q n n"]:
    """Every state of `H_t = A_t @ H_{t−1} + U_t`, replaced by the nearest entry of a table every few steps.

    A scan of each segment of `every` steps, one segment after another: errors of a product do not outlive a segment.

    **Arguments:** `a`: `(*batch, t, q, n, n)`; `u`: the same, or `None` for products; `h`: the state before the first
    step, `(*batch, q, n, n)`; `table`: `(q, entries, n, n)`; `every`: how many steps a segment has; `position`: how
    many of the first segment are behind h, `(*batch)`, each from 0 to `every − 1`, 0 where `None`; `method`: as for
    `matrix_scan`, within a segment.
    **Returns:** `H_1 … H_t`, `(*batch, t, q, n, n)`; computed in float32 for half precision.
    **Raises:** `ContractError` for shapes that differ; `ValueError` for an `every` below 1, or another `method`.
    """
    require_every(every)
    require_method(method)
    dtype = jnp.result_type(a, *(() if u is None else (u,)))
    a, u, table = widen(a), None if u is None else widen(u), widen(table)
    t, q, n, _ = a.shape[-4:]
    if t == 0:
        return a.astype(dtype)
    # Each example is shifted to where its segment stands, so that those of all examples end together.
    behind = every - 1 if position is not None else 0
    segments = -(-(t + behind) // every)
    shift = jnp.zeros((), int) if position is None else jnp.asarray(position)
    source = jnp.arange(segments * every) - shift[..., None]
    step = (source >= 0) & (source < t)

    def segmented(leaf: Array, rest: Array) -> Array:
        batch = leaf.shape[:-4]
        index = jnp.broadcast_to(jnp.clip(source, 0, t - 1), (*batch, segments * every))
        taken = jnp.take_along_axis(leaf, index[..., None, None, None], -4)
        taken = jnp.where(step[..., None, None, None], taken, rest)
        return jnp.moveaxis(taken.reshape(*batch, segments, every, q, n, n), -5, 0)

    def advance(h: Array, pair: tuple[Array, Array | None]) -> tuple[Array, Array]:
        states = matrix_scan(*pair, h, method=method)
        h = snap(states[..., -1, :, :, :], table)
        return h, states.at[..., -1, :, :, :].set(h)

    pair = segmented(a, jnp.eye(n, dtype=a.dtype)), None if u is None else segmented(u, jnp.zeros((), u.dtype))
    states = jax.lax.scan(advance, jnp.asarray(h, a.dtype), pair)[1]
    states = jnp.moveaxis(states, 0, -5).reshape(*a.shape[:-4], segments * every, q, n, n)
    index = jnp.broadcast_to(jnp.arange(t) + shift[..., None], (*a.shape[:-4], t))
    return jnp.take_along_axis(states, index[..., None, None, None], -4).astype(dtype)


def require_every(every: int) -> None:
    """Refuses a segment without steps.

    **Raises:** `ValueError`.
    """
    if every < 1:
        raise ValueError(f"`every` (={every}) must be at least 1: choose after how many steps to snap.")
