"""What the blocks share: layers that one constructor puts in a row."""

import abc
from collections.abc import Sequence
from typing import Any, Literal, TypeAlias

import equinox as eqx
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional.dropout import require_rate
from matrinox.functional.window import LETTERS
from matrinox.nn.child import Layer
from matrinox.nn.compose import Sequential
from matrinox.nn.dropout import Dropout

SpaceAxes: TypeAlias = Literal[1, 2, 3]


@contract
class Block(Sequential):
    """A `Sequential` from p neurons to q, behind as many space axes; a slice of it is a plain `Sequential`."""

    __init__ = Sequential.__init__

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.layers[0].p

    @property
    def q(self) -> int:
        """Neurons out."""
        return next(layer.q for layer in reversed(self.layers) if hasattr(layer, "q"))

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.layers[0].n

    @property
    @abc.abstractmethod
    def _space(self) -> tuple[str, ...]:
        """The letters of the space axes."""

    @property
    def _taken(self) -> str:
        return " ".join((*self._space, f"p={self.p}", f"n={self.n}", f"n={self.n}"))

    @property
    def _given(self) -> str:
        return " ".join((*(f"_{letter}_out" for letter in self._space), f"q={self.q}", f"n={self.n}", f"n={self.n}"))

    def __call__(
        self,
        x: Float[AnyArray, "*batch {self._taken}"],
        state: eqx.nn.State | None = None,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch {self._given}"] | tuple[Float[Array, "*batch {self._given}"], eqx.nn.State]:
        """Applies the layers in turn; `state` is passed to, and updated by, the stateful ones.

        **Arguments:** `x`: `(*batch, *space, p, n, n)`; `state`: needed if a layer is stateful; `key`: split over the
        layers, and needed in training if there is dropout.
        **Returns:** `(*batch, *space', q, n, n)`, and with it the new state if `state` was given.
        **Raises:** `ContractError` if the trailing axes are others; `ValueError` if a layer is stateful and `state` is
        missing, or if dropout has no key.
        """
        return self._applied(x, state, key)

    def _applied(self, x: AnyArray, state: eqx.nn.State | None, key: PRNGKeyArray | None) -> Any:
        return Sequential.__call__(self, x, state, key=key)


@contract
class SpaceBlock(Block):
    """A block with space axes before p."""

    axes: SpaceAxes = eqx.field(static=True)

    def __init__(self, layers: Sequence[Layer], axes: SpaceAxes):
        super().__init__(layers)
        self.axes = axes

    @property
    def _space(self) -> tuple[str, ...]:
        # Of a count at fault there are none: it is refused by itself.
        return LETTERS.get(self.axes, ())


def dropout_of(dropout: float | Dropout) -> list[Layer]:
    """The layer that a rate of dropout, or a layer of it, stands for, in a list that is empty for a rate of 0."""
    if isinstance(dropout, Dropout):
        return [dropout]
    require_rate(dropout, "dropout")
    return [Dropout(dropout)] if dropout else []
