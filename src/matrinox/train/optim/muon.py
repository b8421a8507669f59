"""`Muon` for matrix neurons: steps that are orthogonal, of each neuron's matrix or of a whole layer."""

import math
import operator
from dataclasses import dataclass
from typing import Literal, cast

import jax
import jax.tree_util as jtu
import optax
from jaxtyping import PyTree
from optax.contrib import MuonDimensionNumbers, scale_by_muon

from matrinox.nn.cell import BaseCell
from matrinox.nn.conv import ConvLayer
from matrinox.nn.linear import Dense
from matrinox.params import MatrixParams
from matrinox.paths import find, matches, show
from matrinox.train.optim.adam import Adam
from matrinox.train.optim.base import require_decay
from matrinox.train.optim.owner import Owned, owned
from matrinox.train.optim.part import on_part, side_by_side


@dataclass(frozen=True)
class Muon(Adam):
    """Muon: the direction is the mean of the gradients, made orthogonal by Newton–Schulz; the rest goes by AdamW.

    It takes the weights that are one map of columns of neurons, `(q, p, *kernel, n, n)`: those of `Dense`, of
    convolutions and their transposes, of recurrent cells, of which the gates are one matrix, and the W of
    `MatrixParams`. Biases, norms, tables of rows, readouts to numbers, adapters, and what else is no such map go by
    AdamW, at the same learning rate.

    Five iterations bring singular values to about 0.7 to 1.2, which is as good as 1; those of less than a hundredth of
    the Frobenius norm stay smaller. Each step is then multiplied by `rms · √(larger side)`, at which its entries have
    root mean square `rms` whatever the sizes, about what those of AdamW have: so one learning rate suits both, and both
    kinds of `block`. With `rms=None` it is multiplied by `√max(1, rows / columns)`, as in the first Muon, for learning
    rates of about 0.02.

    **Arguments:** as for `Adam`; `momentum`: what stays of the mean from step to step; `nesterov`: whether to look one
    step ahead; `block`: what becomes orthogonal, the n×n matrix of each `"neuron"` and place of a kernel, or the
    `"layer"` as the `(q·n, p·kernel·n)` matrix that it is; `iterations`: of Newton–Schulz; `rms`; `by_adam`: patterns
    of paths that go by AdamW as well, such as `("head.**",)`.
    **Raises:** as `Adam`; `ValueError` for a `momentum` not from 0 to below 1, `iterations` below 1 and an `rms` not
    above 0. Its `init` refuses a pattern that matches nothing, naming the nearest path.
    **Source:** Jordan 2024, github.com/KellerJordan/Muon; Liu et al. 2025, arXiv 2502.16982, for `rms`;
    `optax.contrib.muon`.
    """

    weight_decay: float = 0.01
    momentum: float = 0.95
    nesterov: bool = True
    block: Literal["neuron", "layer"] = "layer"
    iterations: int = 5
    rms: float | None = 0.2
    by_adam: tuple[str, ...] = ()

    def __post_init__(self):
        super().__post_init__()
        require_decay("momentum", self.momentum)
        for pattern in self.by_adam:
            matches("", pattern)
        if self.iterations < 1:
            raise ValueError(f"`iterations` (={self.iterations}) must be at least 1: 5 are common.")
        if self.rms is not None and not 0 < self.rms < math.inf:
            raise ValueError(f"`rms` (={self.rms}) must be positive and finite: 0.2 is about that of AdamW.")

    def direction(self) -> optax.GradientTransformation:
        """An orthogonal matrix for each block, and mean over root mean square for what is no map of columns."""

        def is_map(params: PyTree) -> PyTree:
            maps = self._maps(params)
            return jtu.tree_map_with_path(lambda path, _: show(path) in maps, params)

        def is_other(params: PyTree) -> PyTree:
            return jax.tree.map(operator.not_, is_map(params))

        def axes(updates: PyTree) -> PyTree:
            maps = self._maps(updates)
            return jtu.tree_map_with_path(lambda path, _: maps[show(path)], updates)

        orthogonal = optax.chain(
            scale_by_muon(
                ns_steps=self.iterations, beta=self.momentum, nesterov=self.nesterov, weight_dimension_numbers=axes
            ),
            optax.stateless(lambda updates, _: jax.tree.map(self._scaled, updates, axes(updates))),
        )
        return side_by_side(on_part(orthogonal, is_map), on_part(super().direction(), is_other))

    def _scaled(self, update: jax.Array, axes: MuonDimensionNumbers) -> jax.Array:
        columns, rows = (math.prod(update.shape[axis] for axis in cast(tuple[int, ...], side)) for side in axes)
        scale = math.sqrt(max(1, rows / columns)) if self.rms is None else self.rms * math.sqrt(max(rows, columns))
        return scale * update

    def _maps(self, parameters: PyTree) -> dict[str, MuonDimensionNumbers]:
        """The axes of each weight that is a map of columns, by its path."""
        by_adam = {
            path for pattern in self.by_adam for path in find(parameters, pattern, is_leaf=lambda leaf: leaf is None)
        }
        axes = {path: _axes(place, self.block) for path, place in owned(parameters).items() if path not in by_adam}
        return {path: found for path, found in axes.items() if found is not None}


def _axes(place: Owned, block: Literal["neuron", "layer"]) -> MuonDimensionNumbers | None:
    """Which axes of a map of columns are of inputs and of outputs; those in front, as of a stack of layers, neither."""
    match place:
        case Owned(leaf=None):
            return None
        case Owned(leaf=weight, module=ConvLayer(stride=stride), field="weight"):
            first = weight.ndim - 4 - len(stride)
        case Owned(leaf=weight, module=Dense() | BaseCell(), field="weight"):
            first = weight.ndim - 4
        case Owned(leaf=weight, module=MatrixParams(), field="W"):
            first = 0
        case _:
            return None
    row, column = weight.ndim - 2, weight.ndim - 1
    if block == "neuron":
        return MuonDimensionNumbers((column,), (row,))
    inputs, outputs = (*range(first + 1, row), column), (first, row)
    if isinstance(place.module, Dense) and place.module.transposed:
        inputs, outputs = (first, row), (first + 1, column)
    return MuonDimensionNumbers(inputs, outputs)
