"""Derivatives by leaves of a model and by arguments: what `grad`, `jacfwd`, `jacrev` and `hessian` have in common."""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PyTree

from matrinox.paths import show
from matrinox.transforms.arrangement import Arrangement
from matrinox.transforms.leaf import describe, is_quantity, magnitude
from matrinox.transforms.selection import argnames_of, argnums_of, take_out
from matrinox.transforms.transformed import Transformed, name_of
from matrinox.transforms.units import engine


class Options(NamedTuple):
    """What the derivatives have in common to choose, as `matrinox.grad` tells it."""

    grad_states: Any
    argnums: Any
    argnames: Any
    has_aux: bool | None
    holomorphic: bool
    unit_aware: bool
    check_states: bool


def differentiated(
    name: str, func: Callable[..., Any], options: Options, arranged: Arrangement, kind: str = ""
) -> Transformed:
    """`func`'s derivative, as a function of the same arguments.

    **Arguments:** `name`: what the transform is called; `kind`: what JAX and saiunit call it, if otherwise; `options`:
    by what, and how; `arranged(derivative, value, aux)`: what is returned.
    **Raises:** `ValueError` and `TypeError` for options that fit no call; `ImportError` for units without saiunit.
    """
    argnums_of(options.argnums)
    argnames_of(options.argnames)
    kind = kind or name
    differentiate = getattr(engine(options.unit_aware), kind)

    def run(func: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
        inputs, call = take_out(
            func,
            args,
            kwargs,
            grad_states=options.grad_states,
            argnums=options.argnums,
            argnames=options.argnames,
            check_states=options.check_states,
        )
        _check_inputs(name, kind, inputs, options.holomorphic)
        kept: list[PyTree] = []

        def of_inputs(inputs: PyTree) -> tuple[PyTree, PyTree]:
            value, aux = _pair(func, call(inputs)) if options.has_aux else (call(inputs), None)
            if kind == "grad":
                _check_scalar(name, func, value, options.unit_aware)
            # What is no array, such as a name or a function, cannot leave a transform but goes around it.
            arrays, rest = eqx.partition((value, aux), lambda leaf: eqx.is_array(magnitude(leaf)), is_leaf=is_quantity)
            kept.append(rest)
            return value, arrays

        derivative, arrays = differentiate(of_inputs, has_aux=True, holomorphic=options.holomorphic)(inputs)
        value, aux = eqx.combine(arrays, kept[-1], is_leaf=is_quantity)
        return arranged(derivative, value, aux)

    return Transformed(name, func, run)


def _check_inputs(name: str, kind: str, inputs: PyTree, holomorphic: bool) -> None:
    for path, leaf in jtu.tree_flatten_with_path(inputs, is_leaf=is_quantity)[0]:
        is_complex = jnp.issubdtype(jnp.result_type(magnitude(leaf)), jnp.complexfloating)
        told = f"{show(path)} {describe(leaf)}".strip()
        if holomorphic and not is_complex:
            raise TypeError(
                f"`{name}` with `holomorphic=True` takes complex inputs and got {told}: make it complex, or leave "
                "out `holomorphic`."
            )
        if is_complex and not holomorphic and kind in ("jacfwd", "hessian"):
            raise TypeError(
                f"`{name}` takes real inputs and got {told}: pass `holomorphic=True` if the function is holomorphic, "
                "or take the real and imaginary parts as inputs."
            )


def _pair(func: Callable[..., Any], returned: Any) -> tuple[PyTree, PyTree]:
    if not isinstance(returned, tuple | list) or len(returned) != 2:
        raise TypeError(
            f"`has_aux=True` takes a function that returns (value, aux), and {name_of(func)} returned "
            f"{_told(returned)}: return a pair, or leave out `has_aux`."
        )
    return returned[0], returned[1]


def _check_scalar(name: str, func: Callable[..., Any], value: Any, unit_aware: bool) -> None:
    shown = f"`{name}` takes a function whose value is a scalar, and {name_of(func)} returned {_told(value)}"
    if is_quantity(value) and not unit_aware:
        raise ValueError(f"{shown}, with a unit: pass `unit_aware=True`.")
    leaves = jax.tree.leaves(value, is_leaf=is_quantity)
    if len(leaves) != 1 or leaves[0] is not value:
        raise ValueError(f"{shown}: return an array alone, pass `has_aux=True` for (value, aux), or use `jacrev`.")
    if np.shape(magnitude(value)) != ():
        raise ValueError(f"{shown}: sum or average it, or use `jacrev` for the derivative of every entry.")


def _told(returned: Any) -> str:
    return (
        f"a {type(returned).__name__} of {len(returned)}" if isinstance(returned, tuple | list) else describe(returned)
    )
