"""`from_matnets` and `to_matnets`: the parameter containers of MATNETS, and those of gates by name."""

from collections.abc import Mapping
from typing import Any, Literal

import jax.numpy as jnp
from jaxtyping import PyTree

from matrinox import nn
from matrinox.bridge.build import with_arrays
from matrinox.contract import ContractError, contract
from matrinox.functional import adjoint
from matrinox.params import MatrixParams

Gates = Literal["ifgo", "zrn"]
"""The gates of an LSTM or of a GRU, in the order in which they are fused here."""

_ORDERS: tuple[Gates, Gates] = ("ifgo", "zrn")
_LAYERS = (nn.Dense, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.RNNCell, nn.LSTMCell, nn.GRUCell)


@contract
def from_matnets(params: PyTree, into: Any = None) -> Any:
    """The parameters of MATNETS as those of `matrinox.functional`, or in a layer.

    **Arguments:** `params`: a `matnets.MatrixParams` with W `(q, p, *kernel, n, n)` and B `(q, n, n)`; a dict of one
    for each gate, `"i"`, `"f"`, `"g"`, `"o"` or `"z"`, `"r"`, `"n"`; or any tree of these; `into`: a Dense, a
    convolution or a cell of these sizes, to put them into.
    **Returns:** a `MatrixParams` for each container; for the gates of an LSTM or a GRU one, fused, `(4q, q + p, n, n)`
    or `(3q, q + p, n, n)`. With `into`, a layer like it, with these weights.
    **Raises:** `ImportError` without matnets; `ContractError` for sizes that are not those of `into`; `ValueError` for
    an `into` that computes something else: an LSTM cell whose gates do not multiply as matrices, a GRU cell with
    `reset_after`, or another layer.

    >>> import jax, matnets
    >>> dense = nn.Dense(p=2, q=3, n=4, key=jax.random.key(0))
    >>> theirs = matnets.init(jax.random.key(1), 2, 3, 4)
    >>> bool((from_matnets(theirs, into=dense).weight == theirs.W).all())
    True
    """
    matnets = _matnets()
    taken = _mapped(params, matnets.MatrixParams, lambda one: MatrixParams(one.W, one.B), _fused)
    return taken if into is None else _put(taken, into)


@contract
def to_matnets(params: PyTree, *, gates: Gates | None = None) -> Any:
    """The parameters of `matrinox.functional`, or of layers, as those of MATNETS.

    MATNETS has a bias in every container: where there is none here, it is zero.

    **Arguments:** `params`: a `MatrixParams` with W `(q, p, *kernel, n, n)`, a Dense, a convolution, a cell, or any
    tree of these; `gates`: `"ifgo"` or `"zrn"`, where each `MatrixParams` is of fused gates.
    **Returns:** a `matnets.MatrixParams` for each; for an LSTM cell, a GRU cell and fused gates a dict of one for each
    gate.
    **Raises:** `ImportError` without matnets; `ValueError`, naming it, for a layer that no function of MATNETS
    computes, and for gates that are not as many as are fused.

    >>> import jax
    >>> cell = nn.GRUCell(p=2, q=3, n=4, key=jax.random.key(0))
    >>> {name: gate.W.shape for name, gate in to_matnets(cell).items()}
    {'z': (3, 5, 4, 4), 'r': (3, 5, 4, 4), 'n': (3, 5, 4, 4)}
    """
    container = _matnets().MatrixParams

    def give(one: MatrixParams) -> Any:
        return container(one.W, jnp.zeros((one.q, one.n, one.n), one.W.dtype) if one.B is None else one.B)

    def apart(one: MatrixParams, order: Gates) -> dict[str, Any]:
        if one.q % len(order):
            raise ValueError(
                f"`gates` (={order!r}) must divide q (={one.q}) of the fused parameters: give the right ones."
            )
        weights = jnp.split(one.W, len(order))
        biases: list[Any] = [None] * len(order) if one.B is None else jnp.split(one.B, len(order))
        return {name: give(MatrixParams(W, B)) for name, W, B in zip(order, weights, biases, strict=True)}

    def convert(one: Any) -> Any:
        if isinstance(one, MatrixParams):
            return give(one) if gates is None else apart(one, gates)
        _require_same_function(one, "params")
        fused: dict[type, Gates] = {nn.LSTMCell: "ifgo", nn.GRUCell: "zrn"}
        order = fused.get(type(one))
        return give(one.params) if order is None else apart(one.params, order)

    return _mapped(params, (MatrixParams, *_LAYERS), convert, None)


def _mapped(tree: Any, kinds: Any, convert: Any, fuse: Any) -> Any:
    """The tree with each container converted, and each dict of gates fused."""
    if isinstance(tree, kinds):
        return convert(tree)
    if isinstance(tree, Mapping):
        order = next((order for order in _ORDERS if set(tree) == set(order)), None)
        items = {name: _mapped(part, kinds, convert, fuse) for name, part in tree.items()}
        if fuse is not None and order is not None and all(isinstance(one, MatrixParams) for one in items.values()):
            return fuse(items, order)
        return items
    if isinstance(tree, list | tuple):
        return type(tree)(_mapped(part, kinds, convert, fuse) for part in tree)
    raise ValueError(
        f"`params` (={type(tree).__name__}) must be a container of parameters, such as MatrixParams, or a list, a "
        "tuple or a dict of these."
    )


def _fused(gates: Mapping[str, MatrixParams], order: Gates) -> MatrixParams:
    weights, biases = zip(*((gates[name].W, gates[name].B) for name in order), strict=True)
    return MatrixParams(jnp.concatenate(weights), jnp.concatenate(biases))


def _put(params: Any, into: Any) -> Any:
    _require_same_function(into, "into")
    if not isinstance(params, MatrixParams):
        raise ValueError(
            f"`params` (={type(params).__name__}) must be the parameters of one layer to be put `into` it."
        )
    if params.W.shape != into.params.W.shape:
        raise ContractError(
            f"`params` has W {params.W.shape}; {type(into).__name__} takes {into.params.W.shape}: build `into` of its "
            "sizes."
        )
    weight = adjoint(params.W) if getattr(into, "transposed", False) else params.W
    return with_arrays(into, {"weight": weight, "bias": params.B})


def _require_same_function(layer: Any, name: str) -> None:
    why = None
    if type(layer) not in _LAYERS:
        why = "is no Dense, convolution or cell"
    elif isinstance(layer, nn.LSTMCell) and layer.gating != "raw_matmul" and layer.n > 1:
        why = f"has gating={layer.gating!r}, where the gates of MATNETS multiply as matrices: build with 'raw_matmul'"
    elif isinstance(layer, nn.GRUCell) and layer.reset_after:
        why = "has reset_after=True, which MATNETS does not know: build without"
    elif isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d):
        options = ("groups", "batch_groups", "dilation", "input_dilation")
        values = {option: getattr(layer, option) for option in options}
        given = [
            f"{option}={value}"
            for option, value in values.items()
            if {*(value if isinstance(value, tuple) else (value,))} != {1}
        ]
        why = f"has {', '.join(given)}, which MATNETS does not know" if given else None
    if why is not None:
        raise ValueError(f"`{name}` (={type(layer).__name__}) {why}.")


def _matnets() -> Any:
    try:
        import matnets
    except ImportError as error:
        raise ImportError('matnets is needed for its parameters: pip install "matrinox[bench]".') from error
    return matnets
