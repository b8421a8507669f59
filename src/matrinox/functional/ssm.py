"""Selective diagonal state space: a linear recurrence whose decay and input depend on what is read, entry by entry."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.precision import widen
from matrinox.functional.scan import diagonal_scan, require_method

_Part = Callable[[Array, tuple[Array, ...]], tuple[Array, Array]]


@contract
def selective_scan(
    u: Float[AnyArray, "*batch t p n n"],
    delta: Float[AnyArray, "*batch t p n n"],
    A: Float[AnyArray, "p state n n"],
    B: Float[AnyArray, "*batch t state n n"],
    C: Float[AnyArray, "*batch t state n n"],
    D: Float[AnyArray, "p n n"] | None = None,
    h: Float[AnyArray, "*batch p state n n"] | None = None,
    *,
    method: str = "associative",
    chunk: int | None = None,
) -> tuple[Float[Array, "*batch p state n n"], Float[Array, "*batch t p n n"]]:
    """`h_ts = exp(Δ_t ⊙ A_s) ⊙ h_(t−1)s + Δ_t ⊙ B_ts ⊙ u_t` and `y_t = Σ_s C_ts ⊙ h_ts + D ⊙ u_t`.

    Each entry of each neuron has a state of its own of `state` numbers; B and C are those of all neurons.

    **Arguments:** `u`, and the steps `delta`: `(*batch, t, p, n, n)`; `A`: `(p, state, n, n)`, below 0 for states that
    decay; `B`, `C`: `(*batch, t, state, n, n)`; `D`: `(p, n, n)` or `None`; `h`: the state before the first step,
    `(*batch, p, state, n, n)`, 0 where `None`; `method`: as for `diagonal_scan`; `chunk`: how many steps are taken at
    once, all where `None`: the states of a chunk alone are held, and taken once more for the gradient.
    **Returns:** `(h, y)`: the state behind the last step, of the dtype it came in, and y, `(*batch, t, p, n, n)`, of
    that of u; computed in float32 for half precision.
    **Raises:** `ContractError` for shapes that differ; `ValueError` for another `method` or a `chunk` below 1.
    **Source:** Gu and Dao 2023, arXiv 2312.00752; mamba_ssm, `selective_scan_fn`.
    """
    require_method(method)
    require_chunk(chunk)
    dtype = jnp.asarray(u).dtype
    u, delta, A, B, C = (widen(leaf) for leaf in (u, delta, A, B, C))
    *batch, t, p, n, _ = u.shape
    state = A.shape[-3]
    shape = (*batch, p, state, n, n)
    # One dtype throughout: a loop keeps that of its state.
    wide = jnp.result_type(u, delta, A, B)
    start = jnp.zeros(shape, wide) if h is None else jnp.asarray(h)

    def at_once(h: Array, taken: tuple[Array, ...]) -> tuple[Array, Array]:
        u, delta, B, C = taken
        decay, term = _discretized(u, delta, A, B)
        # Each entry's state is a neuron more to the scan.
        decay, term = (leaf.reshape(*leaf.shape[:-4], p * state, n, n) for leaf in (decay, term))
        states = diagonal_scan(decay, term, h.reshape(*batch, p * state, n, n))
        states = states.reshape(*decay.shape[:-3], *shape[-4:])
        return states[..., -1, :, :, :, :], _read(states, C)

    def in_turn(h: Array, taken: tuple[Array, ...]) -> tuple[Array, Array]:
        steps = tuple(jnp.moveaxis(leaf, -4, 0) for leaf in taken)
        h, y = jax.lax.scan(lambda h, step: _advance(h, A, *step), h, steps)
        return h, jnp.moveaxis(y, 0, -4)

    part = at_once if method == "associative" else in_turn
    run = part if chunk is None or chunk >= t else _in_chunks(part, chunk)
    after, y = run(start.astype(wide), (u, delta, B, C)) if t else (start, jnp.zeros_like(u))
    y = y if D is None else y + widen(D) * u
    return after.astype(start.dtype), y.astype(dtype)


@contract
def selective_step(
    h: Float[AnyArray, "*batch p state n n"],
    u: Float[AnyArray, "*batch p n n"],
    delta: Float[AnyArray, "*batch p n n"],
    A: Float[AnyArray, "p state n n"],
    B: Float[AnyArray, "*batch state n n"],
    C: Float[AnyArray, "*batch state n n"],
    D: Float[AnyArray, "p n n"] | None = None,
) -> tuple[Float[Array, "*batch p state n n"], Float[Array, "*batch p n n"]]:
    """One step of `selective_scan`: `h'_s = exp(Δ ⊙ A_s) ⊙ h_s + Δ ⊙ B_s ⊙ u` and `y = Σ_s C_s ⊙ h'_s + D ⊙ u`.

    **Arguments:** `h`: `(*batch, p, state, n, n)`; `u`, `delta`: `(*batch, p, n, n)`; `A`: `(p, state, n, n)`; `B`,
    `C`: `(*batch, state, n, n)`; `D`: `(p, n, n)` or `None`.
    **Returns:** `(h, y)`: h', of the dtype of h, and y, `(*batch, p, n, n)`, of that of u.
    **Raises:** `ContractError` for shapes that differ.
    **Source:** Gu and Dao 2023, arXiv 2312.00752; mamba_ssm, `selective_state_update`.
    """
    h, u = jnp.asarray(h), jnp.asarray(u)
    after, y = _advance(widen(h), *(widen(leaf) for leaf in (A, u, delta, B, C)))
    y = y if D is None else y + widen(D) * widen(u)
    return after.astype(h.dtype), y.astype(u.dtype)


def require_chunk(chunk: int | None) -> None:
    """Refuses a `chunk` of no steps.

    **Raises:** `ValueError`.
    """
    if chunk is not None and chunk < 1:
        raise ValueError(f"`chunk` (={chunk}) must be at least 1: choose how many steps are taken at once.")


def _discretized(u: Array, delta: Array, A: Array, B: Array) -> tuple[Array, Array]:
    """Decay and input of every state, `(…, p, state, n, n)`."""
    decay = jnp.exp(delta[..., None, :, :] * A)
    return decay, (delta * u)[..., None, :, :] * B[..., None, :, :, :]


def _read(h: Array, C: Array) -> Array:
    return jnp.sum(C[..., None, :, :, :] * h, axis=-3)


def _advance(h: Array, A: Array, u: Array, delta: Array, B: Array, C: Array) -> tuple[Array, Array]:
    decay, term = _discretized(u, delta, A, B)
    h = decay * h + term
    return h, _read(h, C)


def _in_chunks(part: _Part, chunk: int) -> _Part:
    def run(h: Array, taken: tuple[Array, ...]) -> tuple[Array, Array]:
        t = taken[0].shape[-4]
        chunks = -(-t // chunk)

        def cut(leaf: Array) -> Array:
            # Steps of Δ = 0, which leave the state as it is, fill up the last chunk.
            widths = [(0, 0)] * leaf.ndim
            widths[-4] = (0, chunks * chunk - t)
            padded = jnp.pad(leaf, widths)
            return jnp.moveaxis(padded.reshape(*leaf.shape[:-4], chunks, chunk, *leaf.shape[-3:]), -5, 0)

        h, y = jax.lax.scan(jax.checkpoint(part), h, tuple(map(cut, taken)))
        y = jnp.moveaxis(y, 0, -5)
        return h, y.reshape(*y.shape[:-5], chunks * chunk, *y.shape[-3:])[..., :t, :, :, :]

    return run
