"""Derivatives by leaves of a model and by arguments: what `grad`, `jacfwd`, `jacrev` and `hessian` have in common."""

from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PyTree

from matrinox.paths import show
from matrinox.transforms.arrangement import Arrangement
from matrinox.transforms.leaf import describe, is_float, is_quantity, magnitude
from matrinox.transforms.opened import Options, open_call, told
from matrinox.transforms.selection import argnames_of, argnums_of
from matrinox.transforms.transformed import Transformed, name_of
from matrinox.transforms.units import engine


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
        opened = open_call(name, func, args, kwargs, options)

        def of_inputs(inputs: PyTree) -> tuple[PyTree, tuple[PyTree, PyTree]]:
            value, aux = opened.of_inputs(inputs)
            if kind == "grad":
                _check_scalar(name, func, value, options.unit_aware)
            floats = eqx.filter(value, is_float, is_leaf=is_quantity)
            _check_floats(name, func, value, floats, options.holomorphic)
            return floats, (value, aux)

        if not jax.tree.leaves(opened.inputs):
            # JAX's Jacobians are by one array or more; a selection that is not checked may be of none.
            floats, kept = of_inputs(opened.inputs)
            derivative = jax.tree.map(lambda _: opened.inputs, floats, is_leaf=is_quantity)
        else:
            derivative, kept = differentiate(of_inputs, has_aux=True, holomorphic=options.holomorphic)(opened.inputs)
        return arranged(derivative, *opened.whole(*kept))

    return Transformed(name, func, run)


def _check_floats(name: str, func: Callable[..., Any], value: PyTree, floats: PyTree, holomorphic: bool) -> None:
    named = jtu.tree_flatten_with_path(floats, is_leaf=is_quantity)[0]
    if not named:
        raise TypeError(
            f"`{name}` takes a function to floats, and {name_of(func)} returned {told(value)}: cast it to a float, or "
            "return it beside one with `has_aux=True`."
        )
    for path, leaf in named:
        if holomorphic or name == "jacfwd" or not jnp.iscomplexobj(magnitude(leaf)):
            continue
        raise TypeError(
            f"`{name}` takes a function to real values, and {name_of(func)} returned "
            f"{f'{show(path)} {describe(leaf)}'.strip()}: pass `holomorphic=True` if it is holomorphic, or return the "
            "real and imaginary parts."
        )


def _check_scalar(name: str, func: Callable[..., Any], value: Any, unit_aware: bool) -> None:
    shown = f"`{name}` takes a function whose value is a scalar, and {name_of(func)} returned {told(value)}"
    if is_quantity(value) and not unit_aware:
        raise ValueError(f"{shown}, with a unit: pass `unit_aware=True`.")
    leaves = jax.tree.leaves(value, is_leaf=is_quantity)
    if len(leaves) != 1 or leaves[0] is not value:
        raise ValueError(f"{shown}: return an array alone, pass `has_aux=True` for (value, aux), or use `jacrev`.")
    if np.shape(magnitude(value)) != ():
        raise ValueError(f"{shown}: sum or average it, or use `jacrev` for the derivative of every entry.")
