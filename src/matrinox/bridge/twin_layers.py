"""Layers of matrix neurons anew as scalar ones, of the same options and of any widths."""

import dataclasses
import math
from typing import Any

import jax
import numpy as np
from jaxtyping import PRNGKeyArray

from matrinox import nn
from matrinox.bridge.build import with_arrays
from matrinox.bridge.sides import ENCODERS as OF_TASKS
from matrinox.bridge.sides import EntriesEncoder, MeansReadOut, SpreadEncoder
from matrinox.bridge.walk import Unfit
from matrinox.initializers import Initializer, variance_scaling

CONVS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
ENCODERS = (*OF_TASKS, EntriesEncoder, SpreadEncoder)
HEADS = (nn.ClassificationHead, nn.RegressionHead, nn.FlattenLinear, nn.Prototypes)
RECURRENT = (nn.Recurrent, nn.Bidirectional, nn.StackedRecurrent, nn.MatrixScan)
MAPS = (nn.Dense, *CONVS, nn.Embedding, *RECURRENT)
NORMS = (nn.LayerNorm, nn.RMSNorm, nn.GroupNorm, nn.InstanceNorm, nn.BatchNorm)
_ONE_NUMBER = (nn.Trace, nn.Mean, nn.FrobeniusNorm)
READ_OUTS = (*_ONE_NUMBER, nn.Flatten, nn.FlattenBatch, MeansReadOut)
# Of which an entry is a number of the task, with zeros behind the last.
_FOLDS = (nn.Fold, nn.Frames)
_OF_BATCHES = ("axis_name", "momentum", "per", "inference")


def unspread(layer: Any) -> Any:
    """The encoder, or the read-out, that a lifted model has had."""
    return layer.layer if isinstance(layer, SpreadEncoder | MeansReadOut) else layer


def rebuilt(layer: Any, p: int, q: int, key: PRNGKeyArray) -> Any:
    """The layer for numbers, from p of them to q; what has no sizes is itself."""
    layer = unspread(layer)
    if isinstance(layer, RECURRENT):
        return _recurrent(layer, p, q, key)
    if isinstance(layer, MAPS):
        return _map(layer, p, q, key)
    if isinstance(layer, HEADS):
        return _head(layer, p, key)
    if isinstance(layer, _FOLDS):
        return dataclasses.replace(layer, n=1)
    if isinstance(layer, nn.Tile):
        return nn.Fold(1)
    if isinstance(layer, ENCODERS) and not isinstance(layer, EntriesEncoder):
        return EntriesEncoder(layer)
    return norm_like(layer, p) if isinstance(layer, NORMS) else layer


def numbers_of(layer: Any, taken: tuple[int, ...], given: tuple[int, ...]) -> int:
    """How many numbers of the task's an encoder gives.

    **Arguments:** `layer`; `taken`, `given`: shapes of what it takes and gives.
    """
    own = unspread(layer)
    if isinstance(own, nn.Frames):
        return own.length
    return taken[-1] if isinstance(own, nn.Fold | nn.Tile) else given[-3] * own.n**2


def numbers_read(read_out: Any, neurons: int, n: int) -> int:
    """How many numbers a read-out gives of so many neurons of that side."""
    return neurons if isinstance(read_out, _ONE_NUMBER) else neurons * (n // getattr(read_out, "k", 1)) ** 2


def multiple_given(layer: Any) -> int:
    """What must divide the neurons that a layer gives."""
    if isinstance(layer, nn.Bidirectional) and layer.merge == "concatenate":
        return layer.q // math.gcd(layer.forward.q, layer.backward.q)
    return getattr(layer, "groups", 1)


def _map(layer: Any, p: int, q: int, key: PRNGKeyArray) -> Any:
    dtype = layer.weight.dtype
    if isinstance(layer, nn.Embedding):
        initializer = jax.nn.initializers.normal(_size(layer.weight))
        return nn.Embedding(layer.vocabulary, q, 1, initializer=initializer, dtype=dtype, key=key)
    options = {"precision": layer.precision, "accumulation_dtype": layer.accumulation_dtype, "dtype": dtype}
    options |= {"use_bias": layer.bias is not None, "initializer": _own(layer), "key": key}
    if isinstance(layer, nn.Dense):
        return nn.Dense(p, q, 1, **options)
    names = ["stride", "padding", "dilation", "groups"]
    names += [name for name in ("input_dilation", "batch_groups", "output_padding") if hasattr(layer, name)]
    return type(layer)(p, q, 1, layer.kernel, **{name: getattr(layer, name) for name in names}, **options)


def _size(W: Any) -> float:
    """The root mean square, which is known while a model is traced."""
    return math.sqrt(np.mean(np.square(np.asarray(W, np.float64))))


def _like(W: Any, inputs: int) -> Initializer:
    """An initializer of the gain that a weight has, of which so many entries meet an output."""
    gain = _size(W) * math.sqrt(inputs)
    return variance_scaling(gain) if gain > 0 else jax.nn.initializers.zeros


def _own(layer: Any) -> Initializer:
    return _like(layer.weight, layer.weight.size // (layer.q * layer.n))


def require_scalar_cells(layer: Any) -> None:
    """Refuses a recurrent layer whose cells are not known to have scalar twins.

    **Raises:** `Unfit`.
    """
    if isinstance(layer, nn.Recurrent) and type(layer.cell) not in _CELL_OPTIONS:
        names = ", ".join(kind.__name__ for kind in _CELL_OPTIONS)
        raise Unfit(f"its cell is of {type(layer.cell).__name__}, and twins are known of {names}")
    for part in _parts(layer):
        if type(part) not in RECURRENT:
            raise Unfit(f"it holds a layer of {type(part).__name__}, which has no scalar twin")
        require_scalar_cells(part)


def _parts(layer: Any) -> tuple[Any, ...]:
    if isinstance(layer, nn.StackedRecurrent):
        return layer.layers
    return (layer.forward, layer.backward) if isinstance(layer, nn.Bidirectional) else ()


_CELL_OPTIONS = {nn.RNNCell: ("activation",), nn.GRUCell: ("reset_after",), nn.LSTMCell: ("activations",)}


def _recurrent(layer: Any, p: int, q: int, key: PRNGKeyArray) -> Any:
    if isinstance(layer, nn.MatrixScan):
        return _diagonal(layer, p, q, key)
    if isinstance(layer, nn.Recurrent):
        return nn.Recurrent(_cell(layer.cell, p, q, key), reverse=layer.reverse, unroll=layer.unroll)
    if isinstance(layer, nn.StackedRecurrent):
        # Within a Bidirectional, whose width theirs follow.
        widths = [max(1, round(part.q * q / layer.q)) for part in layer.layers[:-1]]
        sizes = zip(layer.layers, (p, *widths), (*widths, q), jax.random.split(key, len(layer.layers)), strict=True)
        return nn.StackedRecurrent([_recurrent(*each) for each in sizes], dropout=layer.dropout.rate)
    shares = (1, 1) if layer.merge == "sum" else (layer.forward.q / layer.q, layer.backward.q / layer.q)
    ways = zip(_parts(layer), shares, jax.random.split(key), strict=True)
    return nn.Bidirectional(*(_recurrent(way, p, round(share * q), k) for way, share, k in ways), merge=layer.merge)


def _cell(cell: Any, p: int, q: int, key: PRNGKeyArray) -> Any:
    # Cut by NumPy: while a model is traced, JAX would give no numbers.
    of_hidden, of_input = np.split(np.asarray(cell.weight), [cell.q], axis=1)
    options = {name: getattr(cell, name) for name in _CELL_OPTIONS[type(cell)]}
    options |= {"initializer": _like(of_input, cell.p * cell.n), "use_bias": cell.bias is not None}
    options |= {"hidden_initializer": _like(of_hidden, cell.q * cell.n), "dtype": cell.weight.dtype}
    if isinstance(cell, nn.LSTMCell) and cell.bias is not None:
        options["forget_bias"] = float(np.mean(np.asarray(cell.bias, np.float64)[cell.q : 2 * cell.q]))
    # Gates of 1×1 matrices multiply as numbers, whatever those of the model do.
    return type(cell)(p, q, 1, **options, key=key)


def _diagonal(layer: nn.MatrixScan, p: int, q: int, key: PRNGKeyArray) -> nn.MatrixScan:
    """`h_t = a(x_t) h_{t−1} + u(x_t)`, with |a| at most 1 where transitions were orthogonal.

    An orthogonal number is 1 or −1, which no gradient moves, and without u all states would be one product.
    """
    is_orthogonal = layer.transition == "orthogonal"
    names = ("bound", "initial", "determinants", "reverse", "method")
    diagonal = nn.MatrixScan(
        p,
        q,
        1,
        transition="spectral" if is_orthogonal else layer.transition,
        **{name: getattr(layer, name) for name in names},
        use_bias=layer.transition_proj.bias is not None,
        dtype=layer.transition_proj.weight.dtype,
        key=key,
    )
    keys = jax.random.split(key)
    drawn = {"transition_proj": _map(layer.transition_proj, p, q, keys[0])}
    if layer.input_proj is not None:
        drawn["input_proj"] = _map(layer.input_proj, p, q, keys[1])
    return with_arrays(diagonal, drawn)


def _head(layer: Any, p: int, key: PRNGKeyArray) -> Any:
    if isinstance(layer, nn.FlattenLinear):
        inputs = layer.weight.size // layer.features
        options = {"use_bias": layer.bias is not None, "initializer": _like(layer.weight, inputs)}
        return nn.FlattenLinear(p, layer.features, 1, **options, dtype=layer.weight.dtype, key=key)
    if isinstance(layer, nn.Prototypes):
        scale = float(np.exp(np.mean(np.asarray(layer.log_scale, np.float64))))
        options = {"scale": scale, "initializer": jax.nn.initializers.normal(_size(layer.prototypes))}
        return nn.Prototypes(p, layer.classes, 1, **options, dtype=layer.prototypes.dtype, key=key)
    dense = layer.dense
    options = {"use_bias": dense.bias is not None, "initializer": _own(dense), "dtype": dense.weight.dtype}
    return type(layer)(p, dense.q, 1, read=layer.read, **options, key=key)


def norm_like(layer: Any, p: int, n: int = 1) -> Any:
    """A norm of other sizes, its numbers those that it starts with."""
    options: dict[str, Any] = {"eps": layer.eps}
    options |= {f"use_{name}": getattr(layer, name) is not None for name in ("weight", "bias")}
    names = {nn.GroupNorm: ("groups", "axes"), nn.InstanceNorm: ("axes",), nn.BatchNorm: _OF_BATCHES}
    options |= {name: getattr(layer, name) for name in names.get(type(layer), ())}
    return type(layer)(p=p, n=n, **options)
