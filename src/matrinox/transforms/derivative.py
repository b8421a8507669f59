"""Derivatives by leaves of a model and by arguments: what `grad`, `jacfwd`, `jacrev` and `hessian` have in common."""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import PyTree

from matrinox.transforms.arrangement import Arrangement
from matrinox.transforms.leaf import is_quantity, magnitude
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
            return value, (value, aux)

        derivative, kept = differentiate(of_inputs, has_aux=True, holomorphic=options.holomorphic)(opened.inputs)
        return arranged(derivative, *opened.whole(*kept))

    return Transformed(name, func, run)


def _check_scalar(name: str, func: Callable[..., Any], value: Any, unit_aware: bool) -> None:
    shown = f"`{name}` takes a function whose value is a scalar, and {name_of(func)} returned {told(value)}"
    if is_quantity(value) and not unit_aware:
        raise ValueError(f"{shown}, with a unit: pass `unit_aware=True`.")
    leaves = jax.tree.leaves(value, is_leaf=is_quantity)
    if len(leaves) != 1 or leaves[0] is not value:
        raise ValueError(f"{shown}: return an array alone, pass `has_aux=True` for (value, aux), or use `jacrev`.")
    if np.shape(magnitude(value)) != ():
        raise ValueError(f"{shown}: sum or average it, or use `jacrev` for the derivative of every entry.")
