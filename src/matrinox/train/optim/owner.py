"""Whose each parameter is: the module that holds it, and the field it is in, by its path."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax.tree_util as jtu
from jaxtyping import PyTree

from matrinox.paths import show


@dataclass(frozen=True)
class Owned:
    """A place in a tree of parameters: what is there, of which module, in which field; `None` where there is none."""

    leaf: Any
    module: Any
    field: str | None


def owned(parameters: PyTree) -> dict[str, Owned]:
    """Every place of a tree, by path, in its order: also those that hold `None`, as of what is not trained."""
    return {show(path): place for path, place in _places(parameters, (), None, None)}


def _places(node: Any, path: tuple[Any, ...], module: Any, field: str | None) -> Iterator[tuple[Any, Owned]]:
    children, _ = jtu.tree_flatten_with_path(node, is_leaf=lambda below: below is not node)
    if node is None or (len(children) == 1 and children[0][0] == ()):
        yield path, Owned(node, module, field)
        return
    for key, child in children:
        if isinstance(node, eqx.Module) and isinstance(key[0], jtu.GetAttrKey):
            yield from _places(child, path + key, node, key[0].name)
        else:
            yield from _places(child, path + key, module, field)
