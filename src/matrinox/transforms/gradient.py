"""Gradients of scalar functions: `grad` and `value_and_grad`."""

from collections.abc import Callable
from typing import Any

from matrinox.contract import contract
from matrinox.transforms.arrangement import behind, value_first
from matrinox.transforms.derivative import differentiated
from matrinox.transforms.opened import Options
from matrinox.transforms.selection import Argnames, Argnums
from matrinox.transforms.transformed import Transformed


@contract
def grad(
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
    """The gradient `∂ func / ∂ (var, arg)` of a scalar function, by leaves of its model and by arguments.

    | `grad_states` | `argnums` | plain | `has_aux` | `return_value` | both |
    |---|---|---|---|---|---|
    | `None` | (0) | `arg` | `(arg, aux)` | `(arg, value)` | `(arg, value, aux)` |
    | given | `None` | `var` | `(var, aux)` | `(var, value)` | `(var, value, aux)` |
    | given | given | `(var, arg)` | `((var, arg), aux)` | `((var, arg), value)` | `((var, arg), value, aux)` |

    `var` has the structure of `grad_states`; `arg` that of the argument, or is a tuple of these if `argnums` is a
    sequence. With `argnames`, `arg` is `(what argnums gives, {name: gradient})`, where the first is `None` if `argnums`
    is not given. In arguments, arrays of floats and complex numbers are differentiated, and Python's such numbers
    outside modules; what else is there is carried along, and is `None` in the gradient.

    **Arguments:**

    - `func`: any function of modules and of trees of arrays; a module or a bound method; another transform.
    - `grad_states`: what to differentiate of the model that `func` is bound to, else takes (the first module among the
      arguments that holds floats), else closes over: a `where` function as in `eqx.tree_at` (`var` is what it returns);
      a path pattern such as `"layers[*].weight"` (`var` is `{path: gradient}`); a filter, which is a function of a leaf
      to a bool or a mask as of `matrinox.select` (`var` is the model, with `None` elsewhere); or a list, tuple or dict
      of these.
    - `argnums`: the position or positions of arguments, 0 if nothing else is selected.
    - `has_aux`: whether `func` returns `(value, aux)`.
    - `return_value`: whether to return the value too.
    - `holomorphic`: whether `func` is promised to be holomorphic, of complex inputs to a complex value.
    - `unit_aware`: whether gradients carry units, value's by input's (saiunit; `pip install "matrinox[units]"`).
    - `check_states`: whether to refuse `grad_states` that select nothing, or a leaf that is no array of floats; if
      not, these are passed over (`None`).
    - `argnames`: the names of arguments, for what is passed by name.

    **Returns:** a function of the arguments of `func`, which returns as the table says.
    **Raises:** when called, `ValueError` if the value is no scalar, if a selection does not fit the call, is there
    twice, or if there is no one model to select from; `TypeError` for an argument or a value without floats, and
    for a complex value, if not `holomorphic`. At once, `ValueError` for negative positions, `ImportError` for units
    without saiunit.
    **Source:** brainstate 0.5.4, `grad`; MLX, `grad` (`argnames`).

    >>> import jax.numpy as jnp
    >>> gradient = grad(lambda x, y: x["a"] * y, argnums=0, has_aux=False, return_value=True)
    >>> gradient({"a": jnp.array(2.0), "name": "left"}, 3.0)
    ({'a': Array(3., dtype=float32, weak_type=True), 'name': None}, Array(6., dtype=float32, weak_type=True))
    """
    options = Options(grad_states, argnums, argnames, has_aux, holomorphic, unit_aware, check_states)
    return differentiated("grad", func, options, behind(has_aux, return_value))


@contract
def value_and_grad(
    func: Callable[..., Any],
    grad_states: Any = None,
    argnums: Argnums = None,
    has_aux: bool | None = None,
    return_value: bool = True,
    holomorphic: bool = False,
    unit_aware: bool = False,
    check_states: bool = True,
    *,
    argnames: Argnames = None,
) -> Transformed:
    """The value and the gradient of a scalar function: `(value, d)`, or `((value, aux), d)` with `has_aux`.

    The value comes first, as in JAX and MLX; `grad(…, return_value=True)` has it behind, as brainstate.

    | `grad_states` | `argnums` | plain | `has_aux` |
    |---|---|---|---|
    | `None` | (0) | `(value, arg)` | `((value, aux), arg)` |
    | given | `None` | `(value, var)` | `((value, aux), var)` |
    | given | given | `(value, (var, arg))` | `((value, aux), (var, arg))` |

    **Arguments:** as `grad`; `return_value` cannot be `False`.
    **Returns:** a function of the arguments of `func`, which returns as the table says.
    **Raises:** as `grad`; `ValueError` for `return_value=False`.
    **Source:** MLX, `value_and_grad`; brainstate 0.5.4, `grad`.

    >>> import jax.numpy as jnp
    >>> value_and_grad(lambda x, y: x * y, argnums=(0, 1))(2.0, 3.0)[1]
    (Array(3., dtype=float32, weak_type=True), Array(2., dtype=float32, weak_type=True))
    """
    if not return_value:
        raise ValueError(
            "`return_value` (=False) must be true for `value_and_grad`: use `grad` for the gradient alone."
        )
    options = Options(grad_states, argnums, argnames, has_aux, holomorphic, unit_aware, check_states)
    return differentiated("value_and_grad", func, options, value_first(has_aux), kind="grad")
