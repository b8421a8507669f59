"""The trees that transforms see: their models and leaves, which can be differentiated by, and words for messages."""

from typing import Any, TypeGuard

import equinox as eqx
import jax
from jaxtyping import PyTree

_MOST_PATHS = 8


def is_model(value: Any) -> TypeGuard[eqx.Module]:
    """Whether a value is a module that holds parameters, and not one of equinox's wrappers of functions."""
    room = type(value).__module__
    return isinstance(value, eqx.Module) and (not room.startswith("equinox.") or room.startswith("equinox.nn."))


def is_quantity(value: Any) -> bool:
    """Whether a value is an array with a unit (saiunit's `Quantity`), which counts as one leaf."""
    # By name: units are an extra, and may not be installed.
    return type(value).__module__.partition(".")[0] == "saiunit" and hasattr(value, "mantissa")


def magnitude(leaf: Any) -> Any:
    """A leaf without its unit."""
    return leaf.mantissa if is_quantity(leaf) else leaf


def is_float_array(leaf: Any) -> bool:
    """Whether a leaf is an array of floats or complex numbers, with a unit or without."""
    # `3.0 * mV` has a Python number in it, and is an array all the same.
    return eqx.is_inexact_array(magnitude(leaf)) or (is_quantity(leaf) and isinstance(leaf.mantissa, float | complex))


def is_float(leaf: Any) -> bool:
    """Whether a leaf is an array or a Python number of floats or complex numbers, with a unit or without."""
    return is_float_array(leaf) or isinstance(magnitude(leaf), float | complex)


def has_floats(tree: PyTree) -> bool:
    """Whether a tree has an array of floats or complex numbers."""
    return any(is_float_array(leaf) for leaf in jax.tree.leaves(tree, is_leaf=is_quantity))


def describe(leaf: Any) -> str:
    """A leaf in a message: `int32[3]`, or its type's name."""
    if hasattr(leaf, "dtype") and hasattr(leaf, "shape"):
        return f"{leaf.dtype}[{', '.join(map(str, leaf.shape))}]"
    return type(leaf).__name__


def listed(paths: list[str]) -> str:
    """The paths, or the first of many."""
    rest = len(paths) - _MOST_PATHS
    return ", ".join(paths[:_MOST_PATHS]) + (f" and {rest} more" if rest > 0 else "")
