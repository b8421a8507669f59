"""Jacobians, in forward and in reverse mode: `jacfwd`, `jacrev` and `jacobian`."""

from collections.abc import Callable
from typing import Any

from matrinox.contract import contract
from matrinox.transforms.arrangement import behind
from matrinox.transforms.derivative import differentiated
from matrinox.transforms.opened import Options
from matrinox.transforms.selection import Argnames, Argnums
from matrinox.transforms.transformed import Transformed


@contract
def jacfwd(
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
    """The Jacobian `∂ y_i / ∂ x_j` in forward mode, one run for each entry of the input: for many outputs.

    An array of shape `(*y, *x)` for an array `y`. For a tree of outputs, the tree of these is outermost, as in JAX:
    `{"a": jacobian of a, …}`, and each is `arg`, `var` or `(var, arg)`, structured as `grad` tells; what is no float in
    it has none (`None`). Returned is:

    | `grad_states` | `argnums` | plain | `has_aux` | `return_value` | both |
    |---|---|---|---|---|---|
    | `None` | (0) | `arg` | `(arg, aux)` | `(arg, value)` | `(arg, value, aux)` |
    | given | `None` | `var` | `(var, aux)` | `(var, value)` | `(var, value, aux)` |
    | given | given | `(var, arg)` | `((var, arg), aux)` | `((var, arg), value)` | `((var, arg), value, aux)` |

    **Arguments:** as `grad`; the value may be any tree of arrays.
    **Returns:** a function of the arguments of `func`, which returns as the table says.
    **Raises:** as `grad`, but for values that are no scalar; `TypeError` for complex inputs, if not `holomorphic`.
    **Source:** brainstate 0.5.4, `jacfwd`; MLX (`argnames`).

    >>> import jax.numpy as jnp
    >>> jacfwd(lambda x: x**2)(jnp.array([1.0, 2.0])).tolist()
    [[2.0, 0.0], [0.0, 4.0]]
    """
    options = Options(grad_states, argnums, argnames, has_aux, holomorphic, unit_aware, check_states)
    return differentiated("jacfwd", func, options, behind(has_aux, return_value))


@contract
def jacrev(
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
    """The Jacobian `∂ y_i / ∂ x_j` in reverse mode, one run for each entry of the output: for many inputs.

    **Arguments:** as `grad`; the value may be any tree of arrays.
    **Returns:** as `jacfwd`.
    **Raises:** as `grad`, but for values that are no scalar.
    **Source:** brainstate 0.5.4, `jacrev`; MLX (`argnames`).

    >>> import jax.numpy as jnp
    >>> jacrev(lambda x: {"sum": x.sum(), "square": x**2})(jnp.array([1.0, 2.0]))["sum"].tolist()
    [1.0, 1.0]
    """
    options = Options(grad_states, argnums, argnames, has_aux, holomorphic, unit_aware, check_states)
    return differentiated("jacrev", func, options, behind(has_aux, return_value))


jacobian = jacrev
