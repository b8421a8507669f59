"""`Stack`: equal layers in a row, compiled once by a scan over them."""

from collections.abc import Mapping, Sequence
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import PRNGKeyArray, PyTree

from matrinox.contract import ContractError, contract
from matrinox.nn.child import Layer, require_callable, takes_key
from matrinox.nn.difference import alike, difference, is_array
from matrinox.nn.joint import Axes, Composite, Flow, demands, layer_name, pass_through
from matrinox.nn.lazy import Lazy
from matrinox.nn.stacking import stacked
from matrinox.nn.stepping import steps_of, within
from matrinox.paths import show


@contract
class Stack(Composite):
    """Equal layers one after another, `y = layers[-1](… layers[0](x))`, that compile as one however many there are.

    They are kept apart: paths, files and surgery are those of a `Sequential`. When called, their arrays are put on top
    of each other for `jax.lax.scan`. So they may differ in the values of their arrays alone: one structure, equal
    shapes and dtypes, and all else equal, such as the rate of a dropout.

    **Arguments:** `layers`: one or more modules or functions that give what they take, called as in `Sequential`;
    `checkpoint`: keep what each layer takes alone for the gradient, and compute the rest again, which saves memory;
    `unroll`: how many layers a turn of the compiled loop has, or `True` for all.
    **Raises:** `ValueError` for no layers, an `unroll` below 1, and layers that differ, naming the first place;
    `TypeError` for what is not callable, is stateful or `Lazy`; `ContractError`, when built, for a layer that is known
    not to take what it gives.
    **Source:** `jax.lax.scan`; TorchLean, `transformerEncoderStack`.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox.nn.linear import Dense
    >>> model = Stack([Dense(p=2, q=2, n=4, key=key) for key in jax.random.split(jax.random.key(0), 48)])
    >>> model(jnp.ones((32, 2, 4, 4))).shape
    (32, 2, 4, 4)
    >>> model.layers[47].weight.shape
    (2, 2, 4, 4)
    """

    layers: tuple[Layer, ...]
    checkpoint: bool = eqx.field(static=True)
    unroll: int | bool = eqx.field(static=True)

    def __init__(self, layers: Sequence[Layer], *, checkpoint: bool = False, unroll: int | bool = 1):
        if len(layers) < 1:
            raise ValueError("`layers` (=()) must hold at least one layer: give equal layers.")
        if unroll < 1:
            raise ValueError(f"`unroll` (={unroll}) must be at least 1, or True: choose how many layers a turn has.")
        self.layers = tuple(layers)
        self.checkpoint = checkpoint
        self.unroll = unroll
        require_callable(self.children())
        _require_stackable(self.layers)
        _require_alike(self.layers)
        self.passes("", None)

    def __call__(self, x: PyTree, *shared: Any, key: PRNGKeyArray | None = None, **options: Any) -> Any:
        """Applies the layers in turn.

        **Arguments:** `x`: what a layer takes and gives; `shared`, `options`: further arguments that every layer gets,
        such as a `mask`; `key`: split over the layers, as `Sequential` splits it.
        **Returns:** what the last layer gives.
        **Raises:** `ValueError` if the layers were edited and differ; `ContractError` if one does not give what it
        took; what the layers raise, the path beginning with `layers[*]`.
        """
        return self._run("__call__", None, x, shared, options, key)[1]

    def initial_cache(self, *shared: Any, **options: Any) -> PyTree:
        """The caches of all layers to start stepping from.

        **Arguments:** `shared`, `options`: what `initial_cache` of every layer gets.
        **Returns:** what that of a layer gives, each array with an axis over the layers in front.
        **Raises:** `TypeError` if the layers cannot step, as for `Sequential`.
        """
        return self._run("initial_cache", None, None, shared, options, None)[0]

    def step(
        self, cache: PyTree, x: PyTree, *shared: Any, key: PRNGKeyArray | None = None, **options: Any
    ) -> tuple[PyTree, Any]:
        """Steps the layers in turn, each with its cache: `cache[i], x = layers[i].step(cache[i], x)`.

        **Arguments:** `cache`: as `initial_cache` gives it, or the step before; `x`: what the step of a layer takes and
        gives; `shared`, `options`: further arguments that every layer gets; `key`: split over the layers.
        **Returns:** `(cache, y)`.
        **Raises:** as for a call; `TypeError` if the layers cannot step.
        """
        return self._run("step", cache, x, shared, options, key)

    def children(self) -> Mapping[str, Layer]:
        """The layers, by their path from here."""
        return {f"layers[{index}]": layer for index, layer in enumerate(self.layers)}

    def passes(self, path: str, came: Flow) -> Flow:
        """What a layer gives of what came; raises `ContractError` where the next one would not take it."""
        # As all are alike, the second one speaks for the rest.
        for index in (0, min(1, len(self.layers) - 1)):
            came = pass_through(f"{path}.layers[{index}]".removeprefix("."), self.layers[index], came)
        return came

    def demands(self) -> Axes | None:
        """What the first layer takes, as far as its annotations tell."""
        return demands(self.layers[0])

    def _run(
        self,
        method: str,
        cache: PyTree,
        x: PyTree,
        shared: tuple[Any, ...],
        options: Mapping[str, Any],
        key: PRNGKeyArray | None,
    ) -> tuple[PyTree, Any]:
        layers = self.layers
        first = layers[0]
        _require_alike(layers)
        called = first if method == "__call__" else within("layers[*]", first, lambda steps: getattr(steps, method))
        keys = None if key is None or not takes_key(called) else jax.random.split(key, len(layers))
        x = jax.tree.map(lambda leaf: jnp.asarray(leaf) if is_array(leaf) else leaf, x)
        wide = _widened(x, first)
        if method == "step":
            _require_depth(cache, len(layers))
            x = wide
        elif not alike(x, wide):
            # The loop keeps one dtype, and the first layer widens half precision.
            x = first(x, *shared, **options, **({} if keys is None else {"key": keys[0]}))
            layers, keys = layers[1:], None if keys is None else keys[1:]
            if not layers:
                return None, x
        leaves = zip(*(filter(is_array, jax.tree.leaves(layer)) for layer in layers), strict=True)
        like = jax.tree.map(lambda leaf: _Place() if is_array(leaf) else leaf, first)
        options = dict(options)
        return _scan(
            like, tuple(leaves), method, cache, x, shared, options, keys, len(layers), self.checkpoint, self.unroll
        )


def _require_depth(cache: PyTree, depth: int) -> None:
    """Refuses caches of another number of layers.

    **Raises:** `ValueError`.
    """
    for leaf in filter(is_array, jax.tree.leaves(cache)):
        if leaf.shape[:1] != (depth,):
            raise ValueError(
                f"`cache` (of arrays such as {leaf.dtype}[{', '.join(map(str, leaf.shape))}]) must hold one for each "
                f"of {depth} layers, on the first axis: take it from `initial_cache` of this stack."
            )


class _Place:
    """Stands for an array in the layer that says what all else is."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Place)

    def __hash__(self) -> int:
        return 0


# Compiled by itself, so that a call outside `jit` does not compile the loop anew.
@eqx.filter_jit
def _scan(
    like: Any,
    leaves: tuple[tuple[jax.Array, ...], ...],
    method: str,
    cache: PyTree,
    x: PyTree,
    shared: tuple[Any, ...],
    options: dict[str, Any],
    keys: jax.Array | None,
    depth: int,
    checkpoint: bool,
    unroll: int | bool,
) -> tuple[PyTree, Any]:
    rest, treedef = jax.tree.flatten(like)

    def advance(x: PyTree, turn: tuple[Any, Any, Any]) -> tuple[PyTree, PyTree]:
        arrays, cache, key = turn
        left = iter(arrays)
        layer = jax.tree.unflatten(treedef, [next(left) if isinstance(leaf, _Place) else leaf for leaf in rest])
        given = options if key is None else {**options, "key": key}
        if method == "initial_cache":
            return x, steps_of(layer).initial_cache(*shared, **given)
        if method == "step":
            cache, y = steps_of(layer).step(cache, x, *shared, **given)
        else:
            y = layer(x, *shared, **given)
        return _as_taken(layer, x, y), cache

    turn = jax.checkpoint(advance, prevent_cse=False) if checkpoint else advance
    x, caches = jax.lax.scan(turn, x, (tuple(map(stacked, leaves)), cache, keys), length=depth, unroll=unroll)
    return caches, x


def _as_taken(layer: Any, x: PyTree, y: PyTree) -> PyTree:
    if not alike(x, y):
        shown = [eqx.tree_pformat(tree, short_arrays=True) for tree in (x, y)]
        raise ContractError(
            f"{layer_name('layers[*]', layer)} must give what it takes, for the next one to take: it got {shown[0]} "
            f"and gives {shown[1]}."
        )
    return y


def _widened(x: PyTree, layer: Any) -> PyTree:
    """x in the dtype that it has in common with the layer's weights."""

    def is_inexact(leaf: Any) -> bool:
        return is_array(leaf) and jnp.issubdtype(leaf.dtype, jnp.inexact)

    weights = list(filter(is_inexact, jax.tree.leaves(layer)))
    return jax.tree.map(lambda leaf: leaf.astype(jnp.result_type(leaf, *weights)) if is_inexact(leaf) else leaf, x)


def _require_stackable(layers: tuple[Layer, ...]) -> None:
    refused = {
        eqx.nn.StateIndex: "keeps a state, and no loop can tell the states of layers apart",
        Lazy: "is no layer yet, and no loop can fill it",
    }
    named = jtu.tree_flatten_with_path(layers, is_leaf=lambda node: isinstance(node, tuple(refused)))[0]
    for path, leaf in named:
        for kind, why in refused.items():
            if isinstance(leaf, kind):
                raise TypeError(
                    f"`layers{show(path)}` (a {kind.__name__}) must not be in a Stack, as it {why}: give the layers to "
                    "Sequential."
                )


def _require_alike(layers: tuple[Layer, ...]) -> None:
    for index, layer in enumerate(layers):
        if layer is layers[0] or alike(layers[0], layer):
            continue
        path, first, other = difference(layers[0], layer) or ("", "one", "another")
        one, two = (f"layers[{i}]" + (path if path.startswith("[") or not path else f".{path}") for i in (0, index))
        raise ValueError(
            f"`layers` must differ in the values of their arrays alone, and {one} is {first} where {two} is {other}: "
            "make them alike, or give them to Sequential."
        )
