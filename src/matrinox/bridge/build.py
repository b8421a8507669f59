"""A layer around weights that there are already: built at no compute, without drawing any first."""

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import equinox as eqx
import jax
from jax import Array


def built(kind: Callable[..., Any], arrays: Mapping[str, Array | None], **options: Any) -> Any:
    """A layer of this class with these arrays.

    **Arguments:** `kind`: the class; `arrays`: by the name of the field, of the shapes that the options give, or `None`
    where they give none; `options`: of the constructor, except for its `key`.
    **Returns:** the layer.
    """
    if "key" in inspect.signature(kind).parameters:
        options["key"] = jax.random.key(0)
    skeleton = eqx.filter_eval_shape(kind, **options)
    return with_arrays(skeleton, arrays)


def with_arrays(layer: Any, arrays: Mapping[str, Any]) -> Any:
    """The layer with other arrays, or other layers, in these fields."""
    names = list(arrays)
    return eqx.tree_at(
        lambda layer: [getattr(layer, name) for name in names],
        layer,
        [arrays[name] for name in names],
        is_leaf=lambda node: node is None,
    )
