"""Hessians of functions of models and arguments, as dense arrays."""

from collections.abc import Callable
from typing import Any

from matrinox.contract import contract
from matrinox.transforms.arrangement import behind
from matrinox.transforms.derivative import differentiated
from matrinox.transforms.opened import Options
from matrinox.transforms.selection import Argnames, Argnums
from matrinox.transforms.transformed import Transformed


@contract
def hessian(
    func: Callable[..., Any],
    grad_states: Any = None,
    argnums: Argnums = None,
    has_aux: bool | None = None,
    return_value: bool = False,
    holomorphic: bool = False,
    unit_aware: bool = False,
    check_states: bool = True,
    *,
    argnames: Argnames = None,
) -> Transformed:
    """The Hessian `∂² y / ∂ x_i ∂ x_j`, in forward mode over reverse mode.

    Where the gradient is a tree, the Hessian is that tree of such trees, as in JAX: by `(var, arg)` it is
    `((∂²/∂var∂var, ∂²/∂var∂arg), (∂²/∂arg∂var, ∂²/∂arg∂arg))`. Returned are `d`, `(d, aux)`, `(d, value)` or
    `(d, value, aux)`, as in the table of `grad`.

    **Arguments:** as `grad`; the value may be any tree of arrays, which is then outermost.
    **Returns:** a function of the arguments of `func`; each block has the shape `(*y, *x_i, *x_j)`.
    **Raises:** as `jacfwd`.
    **Source:** brainstate 0.5.4, `hessian` (there, by states or by arguments); MLX (`argnames`).

    >>> import jax.numpy as jnp
    >>> hessian(lambda x: jnp.prod(x))(jnp.array([2.0, 3.0])).tolist()
    [[0.0, 1.0], [1.0, 0.0]]
    """
    options = Options(grad_states, argnums, argnames, has_aux, holomorphic, unit_aware, check_states)
    return differentiated("hessian", func, options, behind(has_aux, return_value))
