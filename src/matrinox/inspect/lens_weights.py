"""Which leaves of a model are matrices of matrix neurons, and under which paths."""

import dataclasses
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np

from matrinox.contract.axes import array_annotations
from matrinox.inspect.measured import Measured
from matrinox.inspect.observe import is_wrapper
from matrinox.nn.derived import Derived
from matrinox.nn.ssm import Mamba
from matrinox.nn.tied import TiedLeaf
from matrinox.paths import find, matches, show

# Matrices that are no maps of columns, though the axes of their annotation are those of a weight.
_ENTRYWISE = {(Mamba, "A_log")}
_BIASES = ("bias", "B")


class _Whole(eqx.Module):
    """Stands in the tree where a model was whose weights are computed: paths are those of what is stored."""

    model: Any


def weights_of(model: Any, where: str, *, may_be_none: bool = False) -> dict[str, Measured]:
    """The weights of matrix neurons that a pattern matches, by path; none are refused, unless they `may_be_none`.

    The axes in the annotation of a layer's field tell which these are: those that end in two equal ones. A leaf without
    such an annotation counts if it has three axes or more, and the last two are equal.
    """
    tree = _whole(model)
    named, _ = jtu.tree_flatten_with_path(tree)
    maps = {show(path): _is_map(tree, path, leaf) for path, leaf in named if _is_real(leaf)}
    matrices = {path: is_map for path, is_map in maps.items() if is_map is not None}
    by_name = not where.endswith("*")
    chosen = {path: is_map or by_name for path, is_map in matrices.items() if matches(path, where)}
    if not any(chosen.values()) and not may_be_none:
        # Of a pattern that matches no leaf at all, this says so.
        found = find(tree, where)
        raise ValueError(
            f"`where` (={where!r}) matches {len(found)} leaves and no weight of matrix neurons: name a bias or a scale"
            " by its last step, as in '**.bias', and annotate arrays of your own, as Float[Array, \"q p n n\"]."
        )
    arrays = {show(path): leaf for path, leaf in named}
    return {path: Measured(path, np.asarray(arrays[path])) for path, is_chosen in chosen.items() if is_chosen}


def _whole(tree: Any) -> Any:
    def replaced(node: Any) -> Any:
        if not isinstance(node, Derived):
            return node
        whole = node.whole()
        # A tied weight is one leaf, at the path of its source.
        tied = jax.tree.leaves(node.model)
        leaves, treedef = jax.tree.flatten(whole)
        if len(tied) == len(leaves):
            pairs = zip(tied, leaves, strict=True)
            whole = treedef.unflatten(None if isinstance(stored, TiedLeaf) else leaf for stored, leaf in pairs)
        return _Whole(_whole(whole))

    return jax.tree.map(replaced, tree, is_leaf=lambda node: isinstance(node, Derived))


def _is_real(leaf: Any) -> bool:
    return eqx.is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.floating) and leaf.size > 0


def _is_map(tree: Any, path: tuple[Any, ...], leaf: Any) -> bool | None:
    """Whether a leaf is a weight, rather than a bias or a scale of matrix neurons; `None` where it is neither."""
    owner, name = _owner(tree, path)
    annotated = next((_dims(field.type) for field in _fields(owner) if field.name == name), None)
    square = leaf.ndim >= 3 and leaf.shape[-1] == leaf.shape[-2]
    if annotated is not None:
        square = leaf.ndim >= 2 and len(annotated) >= 2 and annotated[-1].strip("#") == annotated[-2].strip("#")
    elif is_foreign(owner):
        square = False
    if not square:
        return None
    ours = type(owner).__module__.split(".")[0] == "matrinox"
    entrywise = any(isinstance(owner, kind) and name == field for kind, field in _ENTRYWISE)
    one_a_neuron = ours and annotated is not None and len(annotated) <= 3
    return name not in _BIASES and not entrywise and not one_a_neuron


def _owner(tree: Any, path: tuple[Any, ...]) -> tuple[Any, str | None]:
    """The module that holds a leaf, and the name of its field."""
    owner, field, node = None, None, tree
    for key in path:
        if isinstance(node, eqx.Module):
            owner, field = node, getattr(key, "name", None)
        node = next((child for step, child in _children(node) if step[0] == key), None)
    return owner, field


def _children(node: Any) -> list[tuple[Any, Any]]:
    return jtu.tree_flatten_with_path(node, is_leaf=lambda other: other is not node)[0]


def _fields(owner: Any) -> tuple[Any, ...]:
    return dataclasses.fields(owner) if dataclasses.is_dataclass(owner) else ()


def _dims(hint: Any) -> list[str] | None:
    arrays = array_annotations(hint)
    return arrays[0].dim_str.split() if arrays else None


def is_foreign(owner: Any) -> bool:
    # A square kernel of a scalar convolution is no matrix neuron.
    return type(owner).__module__.split(".")[0] == "equinox" and not is_wrapper(owner)
