"""`lift`: a model of small matrices as one of larger matrices, with the same function to start with."""

from functools import partial
from typing import Any

import equinox as eqx
import jax.numpy as jnp
from jax import Array
from jaxtyping import PRNGKeyArray

from matrinox import nn
from matrinox.bridge.chain import IN_TURN, chain_of
from matrinox.bridge.entrywise import is_entrywise
from matrinox.bridge.lifted_layers import LAYERS, Lifting
from matrinox.bridge.places import RavelPlaces
from matrinox.bridge.sides import ENCODERS, EntriesEncoder, MeansReadOut, SpreadEncoder
from matrinox.bridge.walk import Convert, Unfit, beside, inside
from matrinox.contract import contract


@contract
def lift(
    model: Any,
    n: int,
    *,
    scale: float = 0.0,
    key: PRNGKeyArray | None = None,
    state: eqx.nn.State | None = None,
) -> Any:
    """The model with matrices of side n in place of those of side m, and the same function.

    The law is `lift(model, n)(X ⊗ J) = model(X) ⊗ J`, where `X ⊗ J` has each entry of X in all of a k×k block, and k
    = n / m: for m = 1, all entries of a neuron are the one number that it was. So weights become `W ⊗ I`, biases `B ⊗
    J`. An encoder is followed by the step from X to `X ⊗ J`, and a read-out gives the numbers that it gave (a trace
    is divided by k, what flattens takes the mean of each block): a model from numbers to numbers gives the same
    numbers. Weights that were zero and entries that were equal are free to change in training.

    It holds for maps, convolutions, Hadamard cells, attention without rotary positions, norms, pools, embeddings, what
    works by entries, encoders, read-outs, transposition, and for what calls such layers: Sequential and the blocks,
    Residual, BranchSum, Parallel, Stack, Recurrent, StackedRecurrent, Bidirectional, transformer blocks and stacks. It
    does not for what looks at a whole matrix: the determinant of `X ⊗ J` is 0.

    **Arguments:** `model`: a layer, or a model that calls its `layers`, a Sequential, and does no more, of which these
    are lifted; `n`: a multiple of its matrix side; `scale`: where above 0, normal noise of so many times a weight's
    root mean square on the entries of `W ⊗ I` off the blocks' diagonals, and on those of `B ⊗ J` but the first of each
    block, so that rows and columns no longer learn the same: the function is then the same but for this noise; `key`:
    one key, for the noise; `state`: of a model with BatchNorm that has one, for its running statistics.
    **Returns:** the lifted layer, with a new state, `(layer, state)`, if `state` was given.
    **Raises:** `ValueError`, naming every layer that breaks the law, by path and type, and why, before any noise is
    drawn; for an `n` that is no positive multiple, for a `scale` that is negative or without a key.

    >>> import jax, jax.numpy as jnp
    >>> layers = [nn.Fold(1), nn.MLP(p=3, q=2, n=1, hidden=(4,), key=jax.random.key(0)), nn.Trace()]
    >>> model = nn.Sequential(layers)
    >>> wide = lift(model, 4)
    >>> x = jnp.array([0.5, -2.0, 1.0])
    >>> wide.layers[1].layers[0].weight.shape, bool(jnp.allclose(wide(x), model(x), atol=1e-6))
    ((4, 3, 4, 4), True)
    """
    if scale < 0:
        raise ValueError(f"`scale` (={scale}) must not be negative: choose 0 for no noise.")
    if scale > 0 and key is None:
        raise ValueError(f"`key` (=None) is needed for noise of `scale` (={scale}): pass a key.")
    if isinstance(model, tuple) and any(isinstance(part, eqx.nn.State) for part in model):
        raise ValueError("`model` (=tuple) must be a model without its state: give this as `state`.")
    if scale > 0:
        # Large draws take long: what breaks the law is told before the first.
        eqx.filter_eval_shape(lambda: _lifted(model, Lifting(_TABLE, _otherwise, model, n, 0.0, None, state)))
    lifted = _lifted(model, Lifting(_TABLE, _otherwise, model, n, scale, key, state))
    return lifted if state is None else eqx.nn.make_with_state(lambda: lifted)()


def _lifted(model: Any, walk: Lifting) -> Any:
    lifted = walk.convert("", model)
    walk.require_all(f"lifted to n={walk.side}")
    return lifted


def _otherwise(walk: Any, path: str, layer: Any) -> Any:
    if (named := chain_of(layer)) is not None:
        name, chain = named
        return walk.convert(f"{path}.{name}", chain)
    if walk.n is None or (callable(layer) and is_entrywise(layer)):
        # What takes the numbers of a read-out takes the same numbers as before.
        return layer
    if not callable(layer):
        raise Unfit("it is no layer")
    if type(layer).__module__.startswith("equinox."):
        raise Unfit("it takes numbers, and no matrices: take it over with `from_equinox` first")
    raise Unfit("it is not known to give for X ⊗ J what it gives for X, ⊗ J")


def _encoder(walk: Lifting, path: str, layer: Any) -> Any:
    walk.n = layer.n * walk.k
    if isinstance(layer, nn.Tile) or (isinstance(layer, nn.Fold) and layer.n == 1):
        return nn.Tile(walk.n)
    return SpreadEncoder(layer, walk.k)


def _spread(walk: Lifting, path: str, layer: SpreadEncoder) -> SpreadEncoder:
    walk.n = layer.n * walk.k
    return SpreadEncoder(layer.layer, layer.k * walk.k)


def _divided(walk: Lifting, path: str, layer: Any) -> nn.Sequential:
    walk.n = None
    return nn.Sequential([layer, nn.Lambda(partial(_over, by=walk.k))])


def _mean(walk: Lifting, path: str, layer: nn.Mean) -> nn.Mean:
    walk.n = None
    return layer


def _flatten(walk: Lifting, path: str, layer: Any) -> MeansReadOut:
    walk.n = None
    return MeansReadOut(layer, walk.k)


def _means(walk: Lifting, path: str, layer: MeansReadOut) -> MeansReadOut:
    walk.n = None
    return MeansReadOut(layer.layer, layer.k * walk.k)


def _sum(walk: Lifting, path: str, layer: nn.Sum) -> Any:
    axes = {layer.axis} if isinstance(layer.axis, int) else set(layer.axis)
    within = axes & {-1, -2}
    if len(within) == 1:
        raise Unfit(f"its sum runs over rows or columns alone (axis={layer.axis}), which gives no matrices")
    if not within:
        return layer
    walk.n = None
    return nn.Sequential([layer, nn.Lambda(partial(_over, by=walk.k**2))])


def _over(x: Array, *, by: int) -> Array:
    return x / by


def _softmax(walk: Lifting, path: str, layer: nn.Softmax) -> nn.Softmax:
    axes = {layer.axis} if isinstance(layer.axis, int) else set(layer.axis)
    if walk.n is not None and axes & {-1, -2}:
        raise Unfit(f"its sum runs over entries (axis={layer.axis}), of which there are more in X ⊗ J")
    return layer


def _lambda(walk: Lifting, path: str, layer: nn.Lambda) -> nn.Lambda:
    functions = [function for function in (layer.train, layer.inference_fn) if function is not None]
    keep = (function is jnp.matrix_transpose or is_entrywise(function) for function in functions)
    if walk.n is not None and not all(keep):
        raise Unfit("its function is not known to treat each entry by itself, or to transpose matrices")
    return layer


def _as_it_is(walk: Lifting, path: str, layer: Any) -> Any:
    return layer


def _pools() -> dict[type, Convert]:
    names = [f"{kind}{reduced}Pool" for kind in ("", "Global", "Adaptive") for reduced in ("Max", "Avg", "Sum")]
    kinds = [getattr(nn, f"{name}{axes}d", None) for name in names for axes in (1, 2, 3)]
    return {kind: _as_it_is for kind in kinds if kind is not None}


_TABLE: dict[type, Convert] = {
    **LAYERS,
    **_pools(),
    **dict.fromkeys((*ENCODERS, EntriesEncoder), _encoder),
    SpreadEncoder: _spread,
    **dict.fromkeys((nn.Trace, nn.FrobeniusNorm), _divided),
    **dict.fromkeys((nn.Flatten, nn.FlattenBatch), _flatten),
    MeansReadOut: _means,
    RavelPlaces: _as_it_is,
    nn.Mean: _mean,
    nn.Sum: _sum,
    nn.Softmax: _softmax,
    nn.Lambda: _lambda,
    nn.Dropout: _as_it_is,
    **dict.fromkeys(IN_TURN, inside),
    **dict.fromkeys((nn.Residual, nn.BranchSum, nn.Parallel), beside),
    **dict.fromkeys((nn.Stack, nn.Recurrent, nn.StackedRecurrent, nn.Bidirectional), inside),
    **dict.fromkeys((nn.TransformerEncoderBlock, nn.TransformerDecoderBlock), inside),
    **dict.fromkeys((nn.TransformerEncoder, nn.TransformerDecoder, nn.TransformerClassifier), inside),
}
