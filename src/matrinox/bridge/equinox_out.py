"""`to_equinox`: layers of matrix neurons as the layers of scalar ones that compute the same over their entries."""

from collections.abc import Callable
from typing import Any

import equinox as eqx
from jaxtyping import PyTree

from matrinox import nn
from matrinox.bridge.chain import IN_TURN, chain_of
from matrinox.bridge.entrywise import is_entrywise
from matrinox.bridge.folded_maps import MAPS
from matrinox.bridge.folded_norms import NORMS
from matrinox.bridge.folded_places import PLACES
from matrinox.bridge.places import ByEntries
from matrinox.bridge.walk import Convert, Unfit, Walk, refuse
from matrinox.contract import contract


@contract
def to_equinox(layer: PyTree, state: eqx.nn.State | None = None, *, n: int | None = None, axes: int = 0) -> Any:
    """The layers of `eqx.nn` that compute what matrix neurons do, over the p·n·n numbers that these are.

    Where a layer takes `(*batch, p, n, n)` or `(*batch, *space, p, n, n)`, that of Equinox takes one example,
    `(p·n·n)` or `(p·n·n, *space)`: `jnp.moveaxis(x.reshape(*space, p * n * n), -1, 0)`, neuron by neuron, each row by
    row; tokens for attention `(t, p·n·n)`. It gives as much.

    A map of neurons becomes that of their entries, `W ⊗ I`: it has n² times the weights, of which all but one in n are
    zero. So do Dense, BilinearDense, ConjugationDense, Bias, Scaler, the heads and the convolutions, LSTM cells with
    Hadamard gates, GRU cells with `reset_after`, attention, Embedding, LayerNorm, RMSNorm, GroupNorm, InstanceNorm,
    BatchNorm, Dropout of single entries, whatever works by entries, max, average, sum, global and adaptive pools,
    encoders and read-outs, Sequential, MLP, blocks of convolutions, Residual, BranchSum and Parallel. What multiplies
    matrices with each other or looks at a whole one (determinants, gates that multiply as matrices, congruences) is no
    map of entries by weights, and is refused.

    **Arguments:** `layer`: the layer, a list, a tuple or a dict of layers, or a model that calls its `layers`, a
    Sequential, and does no more; `state`: of a model with BatchNorm that has one, for its running statistics; `n`:
    side of the matrices that flow in, and `axes`: their space axes, where a layer must know them and none before it
    tells.
    **Returns:** the layer, with a new state, `(layer, state)`, if `state` was given.
    **Raises:** `ValueError`, naming every layer that cannot be folded, by path and type, and why, and the first whose
    matrices are not of side `n`.

    >>> import jax, jax.numpy as jnp
    >>> dense = nn.Dense(p=2, q=3, n=4, key=jax.random.key(0))
    >>> linear = to_equinox(dense)
    >>> x = jax.random.normal(jax.random.key(1), (2, 4, 4))
    >>> linear.weight.shape, bool(jnp.allclose(linear(x.ravel()), dense(x).ravel(), atol=1e-5))
    ((48, 32), True)
    >>> to_equinox(nn.Sequential([dense, nn.ReLUd()]))
    Traceback (most recent call last):
    ValueError: `layer` cannot be folded into scalar layers, for what is in it:
      layers[1]: ReLUd: it is not known to treat each entry by itself, and no scalar layer sees a whole matrix.
    """
    walk = Walk(_TABLE, _otherwise, axes=axes, n=n, state=state)
    folded = walk.convert("", layer)
    walk.require_all("folded into scalar layers")
    return folded if state is None else eqx.nn.make_with_state(lambda: folded)()


def _otherwise(walk: Walk, path: str, layer: Any) -> Any:
    if (named := chain_of(layer)) is not None:
        name, chain = named
        return walk.convert(f"{path}.{name}", chain)
    if type(layer).__module__.startswith("equinox.nn") and walk.n is None:
        return layer
    if not callable(layer):
        raise Unfit("it is no layer")
    if is_entrywise(layer):
        function: Any = layer
        return eqx.nn.Lambda(ByEntries(function) if isinstance(layer, eqx.Module) else function)
    if isinstance(layer, eqx.Module) and not type(layer).__module__.startswith("matrinox."):
        raise Unfit("what it computes is not known: fold the layers that it holds, and write a module that calls these")
    raise Unfit("it is not known to treat each entry by itself, and no scalar layer sees a whole matrix")


def _sequential(walk: Walk, path: str, layer: nn.Sequential) -> eqx.nn.Sequential:
    return eqx.nn.Sequential(walk.each(f"{path}.layers", layer.layers))


def _residual(walk: Walk, path: str, layer: nn.Residual) -> nn.Residual | None:
    parts = {name: part for name, part in (("body", layer.body), ("shortcut", layer.shortcut)) if part is not None}
    return _held(nn.Residual, walk.branches(path, parts))


def _several(kind: Callable[..., Any], field: str) -> Convert:
    def convert(walk: Walk, path: str, layer: Any) -> Any:
        parts = {f"{field}[{index}]": part for index, part in enumerate(getattr(layer, field))}
        return _held(lambda *layers: kind(layers), walk.branches(path, parts))

    return convert


def _held(kind: Callable[..., Any], layers: list[Any]) -> Any:
    return None if any(layer is None for layer in layers) else kind(*layers)


_NO_TIME = refuse("no layer of eqx.nn runs over a sequence: fold its cell, and scan it")

_TABLE: dict[type, Convert] = {
    **MAPS,
    **NORMS,
    **PLACES,
    **dict.fromkeys(IN_TURN, _sequential),
    nn.Residual: _residual,
    nn.BranchSum: _several(nn.BranchSum, "branches"),
    nn.Parallel: _several(nn.Parallel, "layers"),
    list: Walk.tree,
    tuple: Walk.tree,
    dict: Walk.tree,
    nn.Recurrent: _NO_TIME,
    nn.StackedRecurrent: _NO_TIME,
    nn.Bidirectional: _NO_TIME,
    nn.RNNCell: refuse("eqx.nn has no simple recurrent cell"),
}
