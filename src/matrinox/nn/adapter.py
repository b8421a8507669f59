"""`Adapter`, a change of low rank to a weight, and which weights of a model can be changed so."""

import math
from typing import Any

import equinox as eqx
import jax.numpy as jnp
import jax.tree_util as jtu
from jaxtyping import Array, Float, PyTree

from matrinox.contract import contract
from matrinox.functional.precision import widen
from matrinox.nn.cell import BaseCell
from matrinox.nn.conv import ConvLayer
from matrinox.nn.difference import is_array
from matrinox.nn.embedding import Embedding
from matrinox.nn.head import FlattenLinear
from matrinox.nn.linear import Dense, check_sizes
from matrinox.nn.tied import TiedLeaf
from matrinox.paths import show

ADAPTABLE = "Dense, Conv, ConvTranspose, RNNCell, GRUCell, LSTMCell, Embedding and FlattenLinear"


@contract
class Adapter(eqx.Module):
    """A change of low rank to a weight: `ΔW = alpha / rank · Σ_r up_r ⊗ down_r`, of the map that the weight is.

    Of a weight `(q, p, *kernel, n, n)` that is a map of columns, as a `Dense` layer's or a convolution's,
    `ΔW[q, p, *k, a, b] = alpha / rank · Σ_r up[q, a, r] · down[r, p, *k, b]`; the groups of a convolution share `down`.
    Of a table `(rows, p, n, n)`, as an `Embedding`'s or a `FlattenLinear`'s, `up[row, r] · down[r, p, a, b]`.

    **Arguments:** `down`: `(rank, *inputs)`; `up`: `(*outputs, rank)`; `alpha`: positive; `inputs`: the axes of the
    weight that `down` has, in its order; the others are those of `up`.
    **Raises:** `ValueError` for a rank of 0 and an `alpha` that is not positive and finite.
    """

    down: Float[Array, "rank *inputs"]
    up: Float[Array, "*outputs {self.rank}"]
    # Not static, so that it is saved with the rest.
    alpha: float
    inputs: tuple[int, ...] = eqx.field(static=True)

    def __init__(self, down: Array, up: Array, *, alpha: float, inputs: tuple[int, ...]):
        if not (alpha > 0 and math.isfinite(alpha)):
            raise ValueError(f"`alpha` (={alpha}) must be positive and finite: the rank makes a scale of 1.")
        check_sizes(rank=down.shape[0])
        self.down = down
        self.up = up
        self.alpha = float(alpha)
        self.inputs = inputs

    @property
    def rank(self) -> int:
        """Of the change, at most."""
        return self.down.shape[0]

    @property
    def scale(self) -> float:
        """What the product of `up` and `down` is multiplied by, `alpha / rank`."""
        return self.alpha / self.rank

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the weight that is changed."""
        sizes = dict(zip(self._axes, (*self.up.shape[:-1], *self.down.shape[1:]), strict=True))
        return tuple(sizes[axis] for axis in range(len(sizes)))

    @property
    def delta(self) -> Float[Array, "*weight"]:
        """`ΔW`, in the shape of the weight and at least in float32."""
        product = jnp.tensordot(widen(self.up), widen(self.down), 1, precision="highest")
        return self.scale * jnp.moveaxis(product, range(product.ndim), self._axes)

    @property
    def _axes(self) -> tuple[int, ...]:
        """The axes of the weight in the order in which `up` and `down` have them."""
        count = self.up.ndim + self.down.ndim - 2
        return (*(axis for axis in range(count) if axis not in self.inputs), *self.inputs)


def adaptable(model: PyTree) -> dict[str, Any]:
    """The layers of a model that can be adapted, by path, in the order of the tree."""
    nodes, _ = jtu.tree_flatten_with_path(model, is_leaf=is_adaptable)
    return {show(path): node for path, node in nodes if is_adaptable(node)}


def sides(layer: Any) -> tuple[tuple[int, ...], tuple[int, ...], tuple[int, ...]]:
    """The shapes `(*outputs)` and `(*inputs)` of an adaptable layer's map, and the axes of the weight for inputs."""
    shape = layer.weight.shape
    match layer:
        case Dense(transposed=True):
            inputs = (0, 2)
        case Embedding() | FlattenLinear():
            inputs = (1, 2, 3)
        case _:
            inputs = (*range(1, len(shape) - 2), len(shape) - 1)
    outputs = tuple(size for axis, size in enumerate(shape) if axis not in inputs)
    return outputs, tuple(shape[axis] for axis in inputs), inputs


def is_adaptable(node: Any) -> bool:
    """Whether it is a layer that can be adapted."""
    return isinstance(node, Dense | ConvLayer | BaseCell | Embedding | FlattenLinear) and obstacle(node) is None


def obstacle(layer: Any) -> str | None:
    """Why a layer cannot be adapted, as a clause behind its name; `None` if it can."""
    if not isinstance(layer, Dense | ConvLayer | BaseCell | Embedding | FlattenLinear):
        return f"which has no weight that is one linear map: {ADAPTABLE} have"
    weight = layer.weight
    if isinstance(weight, TiedLeaf):
        return f"whose weight is tied to {weight.source!r}: adapt the layer of that one"
    if not (is_array(weight) and jnp.issubdtype(weight.dtype, jnp.inexact)):
        return f"whose weight is a {type(weight).__name__}: an array of floats is due"
    due = 4 + (len(layer.stride) if isinstance(layer, ConvLayer) else 0)
    if len(weight.shape) != due:
        had = len(weight.shape)
        return f"whose weight has {had} axes, not {due}, as of a stack of layers: adapt under eqx.filter_vmap"
    return None
