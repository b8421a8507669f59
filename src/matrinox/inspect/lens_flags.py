"""What in a model's matrices deserves a look: gates that never open or never close, columns that are one, no rank."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from matrinox.inspect.measured import Measured

Kind = Literal["dead det-gate", "open det-gate", "identical columns", "zero determinant", "not finite"]
# Below this many matrices a neuron, a fair gate is all open or all closed by chance more often than once in 500.
_ENOUGH = 10
_GATE_REMEDY = (
    "start these neurons anew or widen the layer before; `LeakyReLUd` passes a part of what it closes. Between layers"
    " of one neuron the sign of a determinant is that of the weights alone: use two neurons or more."
)
_OPEN_REMEDY = (
    "the layer is the identity for them: centre what comes (a bias, `LayerNorm`), or use an activation by entries."
)
_COLUMNS_REMEDY = (
    "columns that are the same stay so through linear layers, which do the work of one n times over: encode by `Fold`,"
    " `Patches` or `EmbedPixels` rather than `Tile`, or start from random matrices."
)
_RANK_REMEDY = "gates, pools and read-outs by determinants see nothing of them: add a bias or use what reads entries."
_FINITE_REMEDY = "lower the learning rate or clip the gradient, and look for a division by zero."


@dataclass(frozen=True)
class Flag:
    """What deserves a look in one weight or activation; prints as its message.

    **Arguments:** `kind`: `"dead det-gate"`, `"open det-gate"`, `"identical columns"`, `"zero determinant"` or
    `"not finite"`; `path`: of the weight or the layer; `neurons`: the indices of those concerned, `(q, p, …)` in a
    weight and `(p,)` in an activation; `share`: of all neurons there; `message`: with the remedy.
    """

    kind: Kind
    path: str
    neurons: tuple[tuple[int, ...], ...]
    share: float
    message: str

    def __str__(self) -> str:
        return self.message


def flags_of(
    weights: Mapping[str, Measured], given: Mapping[str, Measured], gated: Mapping[str, Measured]
) -> tuple[Flag, ...]:
    """The flags of weights, of activations, and of what came to gates by determinant.

    A neuron of an activation is flagged for what holds of it on every example.
    """
    found = [flag for measured in weights.values() for flag in _of_matrices(measured, measured.values.ndim - 2)]
    for path, measured in gated.items():
        found += _of_gate(path, measured)
    for measured in given.values():
        found += _of_matrices(measured, 1)
    return tuple(found)


def _of_gate(path: str, measured: Measured) -> Iterator[Flag]:
    # Of a singular matrix the sign is that of a rounding error.
    opens = _by_neuron((measured.determinant > 0) & ~measured.is_singular, 1)
    count = len(opens)
    few = f" Only {_matrices(count)} of each were seen: give more examples to be sure." if count < _ENOUGH else ""
    closed = ~opens.any(0) & _by_neuron(np.isfinite(measured.determinant), 1).all(0)
    yield from _flag(
        "dead det-gate",
        path,
        closed,
        f"never have a positive determinant, on {_matrices(count)} each",
        _GATE_REMEDY + few,
    )
    yield from _flag(
        "open det-gate",
        path,
        opens.all(0),
        f"always have a positive determinant, on {_matrices(count)} each",
        _OPEN_REMEDY + few,
    )


def _of_matrices(measured: Measured, axes: int) -> Iterator[Flag]:
    """The flags of neurons along the last axes before the matrices."""
    path = measured.path
    broken = ~_by_neuron(np.isfinite(measured.spectral_norm), axes).all(0)
    equal, zero = _by_neuron(measured.has_equal_columns, axes), _by_neuron(measured.spectral_norm == 0, axes)
    # A gate or a `ReLU` leaves zero of some.
    equal, zero = (equal | zero).all(0) & equal.any(0), zero.all(0)
    flat = _by_neuron(measured.is_singular, axes).all(0) & ~equal
    yield from _flag("not finite", path, broken, "hold NaN or infinity", _FINITE_REMEDY)
    yield from _flag("identical columns", path, equal, "have n equal columns", _COLUMNS_REMEDY)
    zeros = f" ({int(zero.sum())} of them are zero)" if zero.any() else ""
    yield from _flag("zero determinant", path, flat, f"are singular{zeros}", _RANK_REMEDY)


def _by_neuron(values: np.ndarray, axes: int) -> np.ndarray:
    """`(examples, *neurons)`, of `(*batch, *neurons)`."""
    return values.reshape(-1, *values.shape[values.ndim - axes :])


def _flag(kind: Kind, path: str, hit: Any, what: str, remedy: str) -> Iterator[Flag]:
    if hit.any():
        neurons = tuple(map(tuple, np.argwhere(hit).tolist()))
        unit = "neurons" if hit.ndim == 1 else "matrices"
        where = f"{path or 'the model'}: {kind}: {len(neurons)} of {hit.size} {unit} {what}"
        yield Flag(kind, path, neurons, len(neurons) / hit.size, f"{where}: {remedy}")


def _matrices(count: int) -> str:
    return "1 matrix" if count == 1 else f"{count} matrices"
