"""Products with derivatives that are never formed: `vjp`, `jvp` and `hvp`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.tree_util as jtu
from jaxtyping import PyTree

from matrinox.contract import contract
from matrinox.transforms.arrangement import behind
from matrinox.transforms.derivative import differentiated
from matrinox.transforms.direction import fitted, without_float0
from matrinox.transforms.leaf import describe
from matrinox.transforms.opened import Options, open_call
from matrinox.transforms.product_units import aligned, labelled
from matrinox.transforms.selection import Argnames, Argnums
from matrinox.transforms.units import engine


@contract
def vjp(
    func: Callable[..., Any],
    *primals: Any,
    grad_states: Any = None,
    argnums: Argnums = None,
    has_aux: bool | None = None,
    return_value: bool = True,
    holomorphic: bool = False,
    unit_aware: bool = False,
    check_states: bool = True,
    argnames: Argnames = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """The value, and the product of any cotangents with the Jacobian: `pull(c) = cᵀ ∂ func / ∂ (var, arg)`.

    The call is JAX's and brainstate's, `value, pull = vjp(func, *primals)`, and `pull` returns `arg`, `var` or
    `(var, arg)` as `grad` does: by one argument, the first, if nothing is selected (in JAX, by all of them, which is
    `argnums=(0, 1, …)`). What MLX has as `vjp(func, primals, cotangents)` is `pull(cotangents)`.

    **Arguments:** `func`, `primals`: the function and its arguments; `kwargs`: those it takes by name; `return_value`:
    whether to return the value before the product; the others as `grad`.
    **Returns:** `(value, pull)`, or `(value, pull, aux)` with `has_aux`; without the value if `return_value=False`.
    `pull(cotangents)` takes a tree like the value, with `None` for zeros, any number of times, and under `jax.vmap`.
    **Raises:** `ValueError` and `TypeError` as `grad`, but for values that are no scalar; `ValueError` from `pull` for
    cotangents that are not like the value.
    **Source:** brainstate 0.5.4 and JAX, `vjp`.

    >>> value, pull = vjp(lambda x, y: x * y, 2.0, 3.0, argnums=(0, 1))
    >>> pull(10.0)
    (Array(30., dtype=float32), Array(20., dtype=float32))
    """
    engine(unit_aware)
    options = Options(grad_states, argnums, argnames, has_aux, holomorphic, unit_aware, check_states)
    opened = open_call("vjp", func, primals, kwargs or {}, options)
    numbers, pulled, arrays = jax.vjp(opened.of_inputs, opened.inputs, has_aux=True)
    value, aux = opened.whole(numbers, arrays)
    pull = _pull_units if unit_aware else _pull
    return _arranged(value, jtu.Partial(pull, pulled, numbers, opened.inputs), aux, has_aux, return_value)


def _pull(pulled: Callable[..., Any], numbers: PyTree, inputs: PyTree, cotangents: PyTree) -> PyTree:
    del inputs
    return pulled(fitted(cotangents, numbers, "cotangents"))[0]


def _pull_units(pulled: Callable[..., Any], numbers: PyTree, inputs: PyTree, cotangents: PyTree) -> PyTree:
    cotangents, common = aligned(cotangents, numbers, "cotangents", 1)
    return labelled(_pull(pulled, numbers, inputs, cotangents), inputs, common, 1)


@contract
def jvp(
    func: Callable[..., Any],
    primals: Sequence,
    tangents: Any,
    *,
    grad_states: Any = None,
    argnums: Argnums = None,
    has_aux: bool | None = None,
    return_value: bool = True,
    holomorphic: bool = False,
    unit_aware: bool = False,
    check_states: bool = True,
    argnames: Argnames = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """The value, and the product of the Jacobian with tangents: `Σ ∂ func / ∂ (var, arg) · t`, in forward mode.

    The call is that of JAX, brainstate and MLX, `value, product = jvp(func, primals, tangents)`, if nothing is
    selected: one tangent for each argument. If something is, tangents have the structure of what `grad` returns:
    `arg`, `var` or `(var, arg)`.

    **Arguments:** `func`, `primals`: the function and a tuple of its arguments; `tangents`: as above, with `None` for
    zeros; `kwargs`: arguments that the function takes by name; `return_value`: whether to return the value before the
    product; the others as `grad`.
    **Returns:** `(value, product)`, or `(value, product, aux)` with `has_aux`; without the value if
    `return_value=False`. The product is a tree like the value, with `None` for what is no float.
    **Raises:** `ValueError` and `TypeError` as `grad`, but for values that are no scalar; `ValueError` for tangents
    that are not like what they are of, or all `None`.
    **Source:** brainstate 0.5.4, JAX and MLX, `jvp`.

    >>> jvp(lambda x, y: x * y, (2.0, 3.0), (10.0, 100.0))
    (Array(6., dtype=float32, weak_type=True), Array(230., dtype=float32, weak_type=True))
    """
    engine(unit_aware)
    options = Options(grad_states, argnums, argnames, has_aux, holomorphic, unit_aware, check_states)
    direction = _directed("jvp", primals, tangents, options)
    opened = open_call("jvp", func, tuple(primals), kwargs or {}, direction.options)
    given, common = direction.tangents, None
    if unit_aware:
        given, common = aligned(given, opened.inputs, "tangents", -1)
    given = fitted(given, opened.inputs, "tangents")
    numbers, product, arrays = jax.jvp(opened.of_inputs, (opened.inputs,), (given,), has_aux=True)
    product = without_float0(product)
    if unit_aware:
        product = labelled(product, numbers, common, -1)
    value, aux = opened.whole(numbers, arrays)
    return _arranged(value, product, aux, has_aux, return_value)


@contract
def hvp(
    func: Callable[..., Any],
    primals: Sequence,
    tangents: Any,
    *,
    grad_states: Any = None,
    argnums: Argnums = None,
    has_aux: bool | None = None,
    return_value: bool = False,
    holomorphic: bool = False,
    unit_aware: bool = False,
    check_states: bool = True,
    argnames: Argnames = None,
    kwargs: Mapping[str, Any] | None = None,
) -> Any:
    """The product of the Hessian of a scalar function with tangents: `Σ_j ∂² func / ∂ x_i ∂ x_j · t_j`.

    In forward mode over reverse mode: it costs a few gradients, and the Hessian is never formed. The product has the
    structure of `tangents`, and is returned as in the table of `grad`: `d`, `(d, aux)`, `(d, value)` or
    `(d, value, aux)`.

    **Arguments:** as `jvp`, whose call this is.
    **Returns:** the product.
    **Raises:** as `jvp`; `ValueError` for a value that is no scalar.
    **Source:** TorchLean, `hvpParams`; PyTorch, `torch.autograd.functional.hvp`.

    >>> import jax.numpy as jnp
    >>> (product,) = hvp(jnp.prod, (jnp.array([2.0, 3.0]),), (jnp.array([1.0, 10.0]),))
    >>> product.tolist()
    [10.0, 1.0]
    """
    options = Options(grad_states, argnums, argnames, has_aux, holomorphic, unit_aware, check_states)
    direction = _directed("hvp", primals, tangents, options)
    gradient = differentiated("hvp", func, direction.options, lambda d, value, aux: (d, (value, aux)), kind="grad")
    product, (value, aux) = jvp(
        gradient,
        primals,
        direction.tangents,
        **direction.options._replace(has_aux=True)._asdict(),
        return_value=False,
        kwargs=kwargs,
    )
    return behind(has_aux, return_value)(direction.back(product), value, aux)


class _Direction(NamedTuple):
    """Tangents, the options that select what they are of, and the way back to the structure they came in."""

    options: Options
    tangents: PyTree
    back: Callable[[PyTree], PyTree]


def _directed(name: str, primals: Sequence, tangents: PyTree, options: Options) -> _Direction:
    """With one tangent for each argument if nothing is selected: those that are there select theirs."""
    if (options.grad_states, options.argnums, options.argnames) != (None, None, None):
        return _Direction(options, tangents, lambda product: product)
    if not isinstance(tangents, tuple | list) or len(tangents) != len(primals):
        got = f"{len(tangents)}" if isinstance(tangents, tuple | list) else describe(tangents)
        raise ValueError(
            f"`tangents` of `{name}` must be a tuple of one for each of {len(primals)} primals, and is {got}: write "
            "`None` for a primal that does not move, or select with `argnums`, `argnames` or `grad_states`."
        )
    moved = tuple(i for i, tangent in enumerate(tangents) if tangent is not None)
    if not moved:
        raise ValueError(f"`tangents` of `{name}` must not all be `None`: give one for a primal that moves.")

    def back(product: PyTree) -> PyTree:
        by_position = dict(zip(moved, product, strict=True))
        return tuple(by_position.get(i) for i in range(len(primals)))

    return _Direction(options._replace(argnums=moved), tuple(tangents[i] for i in moved), back)


def _arranged(value: PyTree, product: PyTree, aux: PyTree, has_aux: bool | None, return_value: bool) -> Any:
    parts = ((value,) if return_value else ()) + (product,) + ((aux,) if has_aux else ())
    return parts if len(parts) > 1 else product
