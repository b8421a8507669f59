"""Linear recurrences over a sequence, `h_t = a_t · h_{t−1} + u_t`, one step after another or by an associative scan."""

import functools
from collections.abc import Callable
from typing import Literal, TypeAlias, get_args

import jax
import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.contract.nearest import nearest
from matrinox.functional.precision import widen

Method: TypeAlias = Literal["associative", "sequential"]
"""`"associative"`: in log t parallel steps, with more work in all. `"sequential"`: in t steps, faster on a CPU."""

_Product = Callable[[Array, Array], Array]

_SUMMED = (4, 5)


@contract
def diagonal_scan(
    a: Float[AnyArray, "*batch t p n n"],
    u: Float[AnyArray, "*batch t p n n"] | None = None,
    h: Float[AnyArray, "*batch p n n"] | None = None,
    *,
    method: str = "associative",
) -> Float[Array, "*batch t p n n"]:
    """Every state of `h_t = a_t ⊙ h_{t−1} + u_t`, entry by entry.

    **Arguments:** `a`, `u`: `(*batch, t, p, n, n)`; without u the states are products, `h_t = a_t ⊙ h_{t−1}`; `h`: the
    state before the first step, `(*batch, p, n, n)`, where `None` 0, and 1 without u; `method`: `"associative"` or
    `"sequential"`.
    **Returns:** `h_1 … h_t`, `(*batch, t, p, n, n)`; computed in float32 for half precision.
    **Raises:** `ContractError` for shapes that differ; `ValueError` for another `method`.
    **Source:** Blelloch 1990; `jax.lax.associative_scan`.
    """
    return _scan(jnp.multiply, jnp.ones(a.shape[-2:]), a, u, h, method)


@contract
def matrix_scan(
    a: Float[AnyArray, "*batch t p n n"],
    u: Float[AnyArray, "*batch t p n n"] | None = None,
    h: Float[AnyArray, "*batch p n n"] | None = None,
    *,
    method: str = "associative",
) -> Float[Array, "*batch t p n n"]:
    """Every state of `H_t = A_t @ H_{t−1} + U_t`, neuron by neuron.

    **Arguments:** `a`, `u`: `(*batch, t, p, n, n)`; without u the states are products, `H_t = A_t @ H_{t−1}`; `h`: the
    state before the first step, `(*batch, p, n, n)`, where `None` 0, and I without u; `method`: `"associative"` or
    `"sequential"`.
    **Returns:** `H_1 … H_t`, `(*batch, t, p, n, n)`; computed in float32 for half precision.
    **Raises:** `ContractError` for shapes that differ; `ValueError` for another `method`.
    **Source:** Blelloch 1990; `jax.lax.associative_scan`.
    """
    return _scan(matrix_product, jnp.eye(a.shape[-1]), a, u, h, method)


def matrix_product(a: Array, b: Array) -> Array:
    """`a @ b` of square matrices, in the form that is fastest where there are many small ones."""
    n = a.shape[-1]
    if n not in _SUMMED:
        return jnp.matmul(a, b)
    # On a CPU, XLA calls a routine for each of these matrices; sums take a sixth to a hundredth of the time in a scan.
    # Smaller ones it sums by itself, and of larger ones the gradients of sums are slower.
    return functools.reduce(jnp.add, (a[..., :, k, None] * b[..., None, k, :] for k in range(n)))


def require_method(method: str) -> None:
    """Refuses what is no way to scan.

    **Raises:** `ValueError`, with the nearest.
    """
    if method not in get_args(Method):
        raise ValueError(
            f"`method` (={method!r}) must be one of {get_args(Method)}: did you mean "
            f"{nearest(method, get_args(Method))!r}?"
        )


def _scan(
    product: _Product, identity: Array, a: AnyArray, u: AnyArray | None, h: AnyArray | None, method: str
) -> Array:
    require_method(method)
    given = (a,) if u is None else (a, u)
    dtype = jnp.result_type(*given)
    # One dtype for all: a loop keeps that of its state.
    pair = tuple(jnp.moveaxis(widen(leaf.astype(dtype)), -4, 0) for leaf in given)
    t, *shape = pair[0].shape

    def advance(state: Array, pair: tuple[Array, ...]) -> Array:
        return sum(pair[1:], product(pair[0], state))

    def join(first: tuple[Array, ...], then: tuple[Array, ...]) -> tuple[Array, ...]:
        return product(then[0], first[0]), *(advance(state, then) for state in first[1:])

    def step(state: Array, pair: tuple[Array, ...]) -> tuple[Array, Array]:
        state = advance(state, pair)
        return state, state

    if t == 0:
        states = pair[0]
    elif method == "associative":
        joined = jax.lax.associative_scan(join, pair)
        states = joined[-1] if h is None else advance(jnp.asarray(h, joined[0].dtype), joined)
    else:
        start = (jnp.zeros_like(identity) if u is not None else identity) if h is None else jnp.asarray(h)
        states = jax.lax.scan(step, jnp.broadcast_to(start, shape).astype(pair[0].dtype), pair)[1]
    return jnp.moveaxis(states, 0, -4).astype(dtype)
