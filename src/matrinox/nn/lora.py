"""`lora`: a trained model adapted by changes of low rank to some of its weights, while it is itself left as it is."""

import math
from collections.abc import Mapping
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jax.typing import DTypeLike
from jaxtyping import PRNGKeyArray, PyTree

from matrinox.contract import ContractError, contract
from matrinox.contract.nearest import nearest
from matrinox.functional.precision import widen
from matrinox.initializers import Initializer, lecun_normal
from matrinox.nn.adapter import ADAPTABLE, Adapter, adaptable, is_adaptable, obstacle, sides
from matrinox.nn.child import Layer, require_callable
from matrinox.nn.derived import Derived
from matrinox.nn.difference import is_array
from matrinox.nn.linear import check_sizes
from matrinox.paths import find, show


@contract
class LoRA(Derived):
    """A model adapted by changes of low rank to some of its weights: `W + alpha / rank · up · down` for each.

    `lora` makes one. `adapted.model` is the base, through which no gradient passes to its weights: only the adapters
    learn. An optimiser that decays weights would still move it, so train with `part = freeze(adapted, "model.**")`, as
    `fit(…, frozen=part)` or `part.optimiser(optax.adamw(1e-3))`: the base then keeps every bit. `adapted.adapters` has
    an `Adapter` for the path of each layer, so that `adapted.adapters["layers[0]"].delta` is how far its weight is.

    It is called as the base is. The changes are added to the weights once a call, which costs 2 · rank operations for
    each weight that is adapted, however many examples there are; so the input of an adapter alone cannot be dropped
    out, as some forms of LoRA do. `merge` gives the plain model, which costs nothing.

    **Arguments:** `model`: the base, a callable module; `adapters`: an `Adapter` by the path of each layer.
    **Raises:** `ValueError` without adapters, and for a path where the model has no layer that can be adapted, with the
    nearest; `ContractError` if an adapter is of another weight's shape.
    **Source:** Hu et al. 2021, arXiv 2106.09685, for the map of columns that a layer of matrix neurons is.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox import nn
    >>> base_key, key = jax.random.split(jax.random.key(0))
    >>> model = nn.Sequential([nn.Dense(p=2, q=3, n=4, key=base_key), nn.Tanh()])
    >>> adapted = nn.lora(model, rank=2, where="layers[0]", key=key)
    >>> adapted(jnp.ones((32, 2, 4, 4))).shape
    (32, 3, 4, 4)
    >>> adapted.adapters["layers[0]"].down.shape, adapted.adapters["layers[0]"].up.shape
    ((2, 2, 4), (3, 4, 2))
    >>> type(adapted.merge()).__name__
    'Sequential'
    """

    adapters: dict[str, Adapter]

    def __init__(self, model: Layer, adapters: Mapping[str, Adapter]):
        require_callable({"model": model})
        _require_fit(model, adapters)
        self.model = model
        self.adapters = dict(adapters)

    def whole(self) -> Any:
        """The base with every change added, of which only the adapters get a gradient.

        **Returns:** a model of the base's kind, for its methods and its layers.
        **Raises:** `ValueError` if a weight that is adapted is no longer there, `ContractError` for another shape.
        """
        still = jax.tree.map(
            lambda leaf: jax.lax.stop_gradient(leaf) if eqx.is_inexact_array(leaf) else leaf, self.model
        )
        return _changed(still, self.adapters, 1)

    def laws(self) -> Mapping[str, Any]:
        """That each weight that is adapted has a change of its own, by its path in the base."""
        return {f"{path}.weight".removeprefix("."): f"the adapter of {path!r}" for path in self.adapters}

    def children(self) -> Mapping[str, Layer]:
        """The base, by its path from here: what of a layer may be asked without weights, the base tells as well."""
        return {"model": self.model}

    def merge(self) -> Any:
        """The plain model: the base with every change added to its weight, in the dtype of that weight.

        **Returns:** a model of the base's kind, all of which can be trained.
        """
        return _changed(self.model, self.adapters, 1)

    def unmerge(self, merged: Layer) -> Any:
        """The base, from what `merge` gave and the adapters alone; the base that is kept here is not looked at.

        **Arguments:** `merged`: the model to take the changes out of.
        **Returns:** a model of its kind. Each weight is off by the rounding of two sums: in float32 by less than 1e-6
        of the larger of weight and change, in bfloat16 by up to 8e-3.
        **Raises:** as `LoRA`, if the adapters do not fit.
        """
        _require_fit(merged, self.adapters)
        return _changed(merged, self.adapters, -1)

    def with_adapters(self, adapters: "Mapping[str, Adapter] | LoRA") -> "LoRA":
        """The same base with other adapters, such as those of another task.

        **Arguments:** `adapters`: by the path of each layer, or a `LoRA` that has them.
        **Returns:** another `LoRA`; the base is shared, not copied.
        **Raises:** as `LoRA`.
        """
        return LoRA(self.model, adapters.adapters if isinstance(adapters, LoRA) else adapters)


@contract
def lora(
    model: PyTree,
    rank: int,
    where: str = "**.attention.*",
    *,
    alpha: float | None = None,
    initializer: Initializer = lecun_normal,
    dtype: DTypeLike | None = None,
    key: PRNGKeyArray,
) -> LoRA:
    """The model with an adapter of low rank at each layer that `where` matches: at the start, bit for bit the model.

    **Arguments:** `model`: the base, a callable module, which is left as it is; `rank`: of each change, at least 1;
    `where`: the layers, as `matrinox.find` takes patterns: `"**"` for all that can be adapted, which are `Dense`,
    convolutions and their transposes, recurrent cells (one change for all gates), `Embedding` and `FlattenLinear`;
    what else it matches is left alone; `alpha`: the change is scaled by `alpha / rank`, so that a learning rate suits
    other ranks too; the rank itself where `None`, a scale of 1; `initializer`: of `down`, called with the shape
    `(rank, inputs, 1, 1)`, while `up` starts at zero; `dtype`: of both, that of the weight where `None`; `key`: one
    key.
    **Returns:** `LoRA`.
    **Raises:** `ValueError` for a rank below 1 or beyond that of a weight's map, for an `alpha` that is not positive
    and finite, for a pattern that matches nothing, with the nearest path, and for one that matches nothing but what
    cannot be adapted, with the reason.
    **Source:** Hu et al. 2021, arXiv 2106.09685.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox import nn
    >>> base_key, key = jax.random.split(jax.random.key(0))
    >>> model = nn.Sequential([nn.Conv2d(p=1, q=3, n=4, kernel=3, key=base_key), nn.ReLU()])
    >>> adapted = nn.lora(model, 2, "layers[0]", alpha=4.0, key=key)
    >>> {path: adapter.scale for path, adapter in adapted.adapters.items()}
    {'layers[0]': 2.0}
    """
    require_callable({"model": model})
    check_sizes(rank=rank)
    layers = _matched(model, where)
    keys = jax.random.split(key, len(layers))
    return LoRA(
        model,
        {
            path: _fresh(path, layer, rank, float(rank) if alpha is None else alpha, initializer, dtype, k)
            for (path, layer), k in zip(layers.items(), keys, strict=True)
        },
    )


def _is_layer(node: Any) -> bool:
    """Whether a node of a model is a layer by itself, be it adaptable or not, rather than one that holds such."""
    return isinstance(node, eqx.Module) and (is_adaptable(node) or not adaptable(node))


def _matched(model: PyTree, where: str) -> dict[str, Any]:
    """The adaptable layers that the pattern matches."""
    layers = adaptable(model)
    if not layers:
        raise ValueError(f"`model` (a {type(model).__name__}) has no layer that can be adapted: {ADAPTABLE} can.")
    try:
        matched = find(model, where, is_leaf=_is_layer)
    except ValueError:
        # Of the paths to name as the nearest, only those of layers are of use.
        matched = {}
    found = {path: layer for path, layer in matched.items() if path in layers}
    if found:
        return found
    for path, layer in matched.items():
        kind = "an array" if is_array(layer) else type(layer).__name__
        raise ValueError(
            f"`where` (={where!r}) matches nothing that can be adapted, but {path!r} ({kind}), {obstacle(layer)}."
        )
    alone = jax.tree.map(lambda node: node if is_adaptable(node) else None, model, is_leaf=is_adaptable)
    try:
        return find(alone, where, is_leaf=is_adaptable)
    except ValueError as error:
        raise ValueError(f"`where` must match a layer that can be adapted: {error}") from None


def _fresh(
    path: str, layer: Any, rank: int, alpha: float, initializer: Initializer, dtype: DTypeLike | None, key: PRNGKeyArray
) -> Adapter:
    outputs, inputs, axes = sides(layer)
    most = min(math.prod(outputs), math.prod(inputs))
    if rank > most:
        raise ValueError(
            f"`rank` (={rank}) must be at most {most}, which gives every change of the {type(layer).__name__} at"
            f" {path!r}: choose {most} or less, or leave it out of `where`."
        )
    down = initializer(key, (rank, math.prod(inputs), 1, 1), dtype or layer.weight.dtype)
    return Adapter(down.reshape(rank, *inputs), jnp.zeros((*outputs, rank), down.dtype), alpha=alpha, inputs=axes)


def _require_fit(model: PyTree, adapters: Mapping[str, Adapter]) -> None:
    if not adapters:
        raise ValueError(f"`adapters` (={adapters}) must hold at least one: make them with `lora`.")
    layers = adaptable(model)
    for path, adapter in adapters.items():
        if path not in layers:
            remedy = f"the nearest of {len(layers)} is {nearest(path, layers)!r}" if layers else "it has none"
            raise ValueError(f"`adapters` names {path!r}, where no layer can be adapted: {remedy}.")
        layer = layers[path]
        if (adapter.shape, adapter.inputs) != (layer.weight.shape, sides(layer)[2]):
            mine, due = (
                f"{list(shape)} by inputs along {inputs}"
                for shape, inputs in ((adapter.shape, adapter.inputs), (layer.weight.shape, sides(layer)[2]))
            )
            raise ContractError(
                f"`adapters` changes at {path!r} a weight {mine}, and that of the {type(layer).__name__} is {due}."
            )


def _changed(model: PyTree, adapters: Mapping[str, Adapter], sign: int) -> Any:
    """The model with every change added, or taken away again."""
    weights = {f"{path}.weight".removeprefix("."): adapter for path, adapter in adapters.items()}

    def changed(path: tuple[Any, ...], leaf: Any) -> Any:
        adapter = weights.pop(show(path), None)
        if adapter is None:
            return leaf
        if getattr(leaf, "shape", None) != adapter.shape:
            raise ContractError(
                f"`adapters` changes {show(path)!r} {list(adapter.shape)}, which is {_of_shape(leaf)} by now: adapt the"
                " new one anew."
            )
        return (widen(leaf) + sign * adapter.delta).astype(leaf.dtype)

    model = jtu.tree_map_with_path(changed, model)
    if weights:
        raise ValueError(
            f"`adapters` changes {', '.join(map(repr, weights))}, no longer in the model: adapt the new one anew."
        )
    return model


def _of_shape(leaf: Any) -> str:
    return f"{list(leaf.shape)}" if hasattr(leaf, "shape") else f"a {type(leaf).__name__}"
