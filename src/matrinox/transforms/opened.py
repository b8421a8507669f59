"""A call opened at what it is differentiated by: a function of arrays to arrays, as JAX's products take it."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import PyTree

from matrinox.paths import show
from matrinox.transforms.leaf import describe, is_quantity, magnitude
from matrinox.transforms.selection import take_out
from matrinox.transforms.transformed import name_of


class Options(NamedTuple):
    """What the derivatives have in common to choose, as `matrinox.grad` tells it."""

    grad_states: Any
    argnums: Any
    argnames: Any
    has_aux: bool | None
    holomorphic: bool
    unit_aware: bool
    check_states: bool


class Opened(NamedTuple):
    """A call as a function of what it is differentiated by.

    **Arguments:** `inputs`: what that is; `of_inputs(inputs)`: the numbers in the value, and the arrays in the
    auxiliary data; `whole(value, aux)`: these two with all else that the function returned, once it has been called.
    """

    inputs: PyTree
    of_inputs: Callable[[PyTree], tuple[PyTree, PyTree]]
    whole: Callable[[PyTree, PyTree], tuple[PyTree, PyTree]]


def open_call(
    name: str, func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], options: Options
) -> Opened:
    """The call `func(*args, **kwargs)`, opened at what the options select.

    **Arguments:** `name`: what the transform is called; the others: the call, and by what.
    **Raises:** as `take_out`; `TypeError` for real inputs or values that are said to be holomorphic, and for a function
    that is said to return auxiliary data and does not.
    """
    inputs, call = take_out(
        func,
        args,
        kwargs,
        grad_states=options.grad_states,
        argnums=options.argnums,
        argnames=options.argnames,
        check_states=options.check_states,
    )
    _check_inputs(name, inputs, options.holomorphic)
    rest: list[PyTree] = []

    def of_inputs(inputs: PyTree) -> tuple[PyTree, PyTree]:
        value, aux = _pair(func, call(inputs)) if options.has_aux else (call(inputs), None)
        if options.holomorphic:
            _check_complex(name, func, value)
        numbers, no_numbers = eqx.partition(value, _is_number, is_leaf=is_quantity)
        arrays, no_arrays = eqx.partition(aux, _is_array, is_leaf=is_quantity)
        # What is no array, such as a name or a function, cannot leave a transform but goes around it.
        rest.append((no_numbers, no_arrays))
        return numbers, arrays

    return Opened(inputs, of_inputs, lambda *parts: eqx.combine(parts, rest[-1], is_leaf=is_quantity))


def _is_array(leaf: Any) -> bool:
    return eqx.is_array(magnitude(leaf))


def _is_number(leaf: Any) -> bool:
    return eqx.is_array_like(magnitude(leaf))


def _check_complex(name: str, func: Callable[..., Any], value: PyTree) -> None:
    for leaf in jax.tree.leaves(value, is_leaf=is_quantity):
        if _is_number(leaf) and not jnp.issubdtype(jnp.result_type(magnitude(leaf)), jnp.complexfloating):
            raise TypeError(
                f"`{name}` with `holomorphic=True` takes a function to complex values, and {name_of(func)} returned "
                f"{describe(leaf)}: leave out `holomorphic`."
            )


def _check_inputs(name: str, inputs: PyTree, holomorphic: bool) -> None:
    for path, leaf in jtu.tree_flatten_with_path(inputs, is_leaf=is_quantity)[0]:
        is_complex = jnp.issubdtype(jnp.result_type(magnitude(leaf)), jnp.complexfloating)
        shown = f"{show(path)} {describe(leaf)}".strip()
        if holomorphic and not is_complex:
            raise TypeError(
                f"`{name}` with `holomorphic=True` takes complex inputs and got {shown}: make it complex, or leave "
                "out `holomorphic`."
            )
        if is_complex and not holomorphic and name in ("jacfwd", "hessian"):
            raise TypeError(
                f"`{name}` takes real inputs and got {shown}: pass `holomorphic=True` if the function is holomorphic, "
                "or take the real and imaginary parts as inputs."
            )


def _pair(func: Callable[..., Any], returned: Any) -> tuple[PyTree, PyTree]:
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise TypeError(
            f"`has_aux=True` takes a function that returns (value, aux), and {name_of(func)} returned "
            f"{told(returned)}: return a pair, or leave out `has_aux`."
        )
    return returned[0], returned[1]


def told(returned: Any) -> str:
    """What a function returned, in a message."""
    if isinstance(returned, tuple | list):
        return f"a {type(returned).__name__} of {len(returned)}"
    return describe(returned)
