"""Linear recurrences over a sequence, `h_t = a_t · h_{t−1} + u_t`, one step after another or by an associative scan."""

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
"""`"associative"`: in log t parallel steps, with more work in all. `"sequential"`: in t steps."""

_Product = Callable[[Array, Array], Array]


@contract
def diagonal_scan(
    a: Float[AnyArray, "*batch t p n n"],
    u: Float[AnyArray, "*batch t p n n"],
    h: Float[AnyArray, "*batch p n n"] | None = None,
    *,
    method: str = "associative",
) -> Float[Array, "*batch t p n n"]:
    """Every state of `h_t = a_t ⊙ h_{t−1} + u_t`, entry by entry.

    **Arguments:** `a`, `u`: `(*batch, t, p, n, n)`; `h`: the state before the first step, `(*batch, p, n, n)`, 0 where
    `None`; `method`: `"associative"` or `"sequential"`.
    **Returns:** `h_1 … h_t`, `(*batch, t, p, n, n)`; computed in float32 for half precision.
    **Raises:** `ContractError` for shapes that differ; `ValueError` for another `method`.
    **Source:** Blelloch 1990; `jax.lax.associative_scan`.
    """
    return _scan(jnp.multiply, a, u, h, method)


@contract
def matrix_scan(
    a: Float[AnyArray, "*batch t p n n"],
    u: Float[AnyArray, "*batch t p n n"],
    h: Float[AnyArray, "*batch p n n"] | None = None,
    *,
    method: str = "associative",
) -> Float[Array, "*batch t p n n"]:
    """Every state of `H_t = A_t @ H_{t−1} + U_t`, neuron by neuron.

    **Arguments:** `a`, `u`: `(*batch, t, p, n, n)`; `h`: the state before the first step, `(*batch, p, n, n)`, 0 where
    `None`; `method`: `"associative"` or `"sequential"`.
    **Returns:** `H_1 … H_t`, `(*batch, t, p, n, n)`; computed in float32 for half precision.
    **Raises:** `ContractError` for shapes that differ; `ValueError` for another `method`.
    **Source:** Blelloch 1990; `jax.lax.associative_scan`.
    """
    return _scan(jnp.matmul, a, u, h, method)


def require_method(method: str) -> None:
    """Refuses what is no way to scan.

    **Raises:** `ValueError`, with the nearest.
    """
    if method not in get_args(Method):
        raise ValueError(
            f"`method` (={method!r}) must be one of {get_args(Method)}: did you mean "
            f"{nearest(method, get_args(Method))!r}?"
        )


def _scan(product: _Product, a: AnyArray, u: AnyArray, h: AnyArray | None, method: str) -> Array:
    require_method(method)
    dtype = jnp.result_type(a, u)
    wide_a, wide_u = (jnp.moveaxis(widen(leaf), -4, 0) for leaf in (a, u))
    start = jnp.zeros(wide_u.shape[1:], wide_u.dtype) if h is None else widen(h)

    def step(state: Array, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        factor, term = pair
        state = product(factor, state) + term
        return state, state

    def join(first: tuple[Array, Array], then: tuple[Array, Array]) -> tuple[Array, Array]:
        return product(then[0], first[0]), product(then[0], first[1]) + then[1]

    if method == "sequential":
        states = jax.lax.scan(step, start, (wide_a, wide_u))[1]
    else:
        factors, terms = jax.lax.associative_scan(join, (wide_a, wide_u))
        states = terms if h is None else product(factors, start) + terms
    return jnp.moveaxis(states, 0, -4).astype(dtype)
