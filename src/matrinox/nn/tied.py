"""`Tied`: a model in which weights of several places are one."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import equinox as eqx
import jax
import jax.tree_util as jtu
from jaxtyping import PyTree

from matrinox.contract import ContractError, contract
from matrinox.nn.child import Layer, require_callable
from matrinox.nn.derived import Derived, laws_within
from matrinox.paths import find, show


@dataclass(frozen=True)
class TiedLeaf:
    """Stands in the tree where a weight was that is now the one at the path `source`.

    Unlike the placeholder of `eqx.nn.Shared`, it equals another of the same source: two makings of one model are alike,
    as a model file and the compiler's cache need them to be.
    """

    source: str

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(
            f"this leaf is tied to `{vars(self).get('source')}` and has no `{name}` of its own: take the layer that it"
            " is in from `tied.whole()`."
        )


@contract
class Tied(Derived):
    """A model in which weights are tied, by path: `{target: source}` makes the target the same weight as the source.

    There is one leaf for it in the tree, at the source's path. The optimiser, the count of parameters and a saved file
    see it once, its gradient is the sum over both uses, and no step can part them. What was a leaf at the target holds
    a `TiedLeaf` instead.

    It is called as the model is. The pieces are those of `tied.whole()`, the model with every weight in its place:
    `tied.whole().head(h)`. `tied.model` is what is stored: `tied.model.embedding` has its weight, and paths begin
    there, as in `freeze(tied, "model.embedding.**")`.

    **Arguments:** `model`: a callable module; `ties`: paths, or patterns, of the targets and the path of the source of
    each, such as `{"head.weight": "embedding.weight"}`. A pattern of targets may match the source too.
    **Raises:** `ValueError` for a path that is not there, with the nearest one, a source that is not one leaf or is
    itself tied, a target that is tied twice, and a source and a target of which `Constrained` would make two weights;
    `ContractError` if shapes or dtypes differ, naming both.
    **Source:** Press and Wolf 2017, arXiv 1608.05859; `eqx.nn.Shared`, of which this is the form by path.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox import nn
    >>> k0, k1 = jax.random.split(jax.random.key(0))
    >>> encoder = nn.Dense(p=5, q=2, n=4, key=k0)
    >>> decoder = nn.Dense(p=2, q=5, n=4, transposed=True, key=k1)
    >>> model = nn.Sequential([encoder, nn.Tanh(), decoder])
    >>> tied = Tied(model, {"layers[2].weight": "layers[0].weight"})
    >>> tied(jnp.ones((32, 5, 4, 4))).shape
    (32, 5, 4, 4)
    >>> tied.model.layers[2].weight
    TiedLeaf(source='layers[0].weight')
    """

    def __init__(self, model: Layer, ties: Mapping[str, str]):
        require_callable({"model": model})
        sources = _sources(model, ties)
        self.model = jtu.tree_map_with_path(
            lambda path, leaf: TiedLeaf(sources[show(path)]) if show(path) in sources else leaf, model
        )

    def whole(self) -> Any:
        """The model with every weight in its place: of the kind that was tied, for its methods and its layers.

        **Returns:** the model; what is changed in it is not changed here.
        """
        named = {show(path): leaf for path, leaf in jtu.tree_flatten_with_path(self.model)[0]}
        return jax.tree.map(lambda leaf: named[leaf.source] if isinstance(leaf, TiedLeaf) else leaf, self.model)


def _sources(model: PyTree, ties: Mapping[str, str]) -> dict[str, str]:
    """The path of the source for the path of each target."""
    if not ties:
        raise ValueError("`ties` (={}) must hold at least one: give {target: source}, by path.")
    found: dict[str, str] = {}
    laws = laws_within(model)
    for target, source in ties.items():
        origins = find(model, source)
        if len(origins) > 1:
            raise ValueError(f"`ties` (={source!r}) must name one leaf, and names {', '.join(origins)}: choose one.")
        ((origin, weight),) = origins.items()
        targets = {path: leaf for path, leaf in find(model, target).items() if path != origin}
        if not targets:
            raise ValueError(f"`ties` ties {origin!r} to itself: name another leaf.")
        for path, leaf in targets.items():
            _require_equal(path, leaf, origin, weight)
            _require_one_law(path, origin, laws)
            if found.setdefault(path, origin) != origin:
                raise ValueError(f"`ties` ties {path!r} to {found[path]!r} and to {origin!r}: choose one.")
    for path, origin in found.items():
        if origin in found:
            raise ValueError(
                f"`ties` ties {path!r} to {origin!r}, which is tied to {found[origin]!r} itself: name that one as the"
                " source of both."
            )
    return found


def _require_equal(path: str, leaf: Any, origin: str, weight: Any) -> None:
    for name, value in ((path, leaf), (origin, weight)):
        if not eqx.is_array(value):
            raise ContractError(f"`ties` names {name!r}, a {type(value).__name__}: only arrays can be tied.")
    if (leaf.shape, leaf.dtype) != (weight.shape, weight.dtype):
        one, other = (f"{array.dtype}[{', '.join(map(str, array.shape))}]" for array in (leaf, weight))
        raise ContractError(
            f"`ties` ties {path!r} {one} to {origin!r} {other}: tied weights have one shape and one dtype."
        )


def _require_one_law(path: str, origin: str, laws: Mapping[str, Any]) -> None:
    one, other = (laws.get(name, "nothing") for name in (path, origin))
    if one != other:
        raise ValueError(
            f"`ties` ties {path!r}, on which is {one}, to {origin!r}, on which is {other}: constrain the tied model, as"
            " Constrained(Tied(model, …), …), or both alike."
        )
