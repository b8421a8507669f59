"""Recurrent layers put together: one after another, and forward beside reverse."""

from collections.abc import Sequence
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from matrinox.contract import AnyArray, ContractError, contract
from matrinox.nn.base_recurrent import BaseRecurrent
from matrinox.nn.compose import Sequential
from matrinox.nn.dropout import Dropout


@contract
class StackedRecurrent(BaseRecurrent):
    """Recurrent layers in turn, each over the whole sequence that the one before gives: `y = f_k(… f_1(x))`.

    **Arguments:** `layers`: `Recurrent`, `Mamba`, `MatrixScan`, `Bidirectional` or `StackedRecurrent` layers;
    `dropout`: the rate of a `Dropout` between one and the next.
    **Raises:** `ContractError` where q or n of a layer is not p or n of the next, naming both; `ValueError` for no
    layers, or a rate out of range; `TypeError` for a layer that is not recurrent.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox.nn.cell import GRUCell
    >>> from matrinox.nn.recurrent import Recurrent
    >>> k0, k1 = jax.random.split(jax.random.key(0))
    >>> cells = [GRUCell(p=2, q=3, n=4, key=k0), GRUCell(p=3, q=5, n=4, key=k1)]
    >>> model = StackedRecurrent([Recurrent(cell) for cell in cells])
    >>> model(jnp.ones((32, 10, 2, 4, 4))).shape
    (32, 10, 5, 4, 4)
    """

    layers: tuple[BaseRecurrent, ...]
    dropout: Dropout

    def __init__(self, layers: Sequence[Any], *, dropout: float = 0.0):
        if not layers:
            raise ValueError("`layers` (=()) must hold at least one layer: give recurrent layers.")
        for index, layer in enumerate(layers):
            _require_recurrent(f"layers[{index}]", layer)
        # It says which joint does not fit.
        self.layers = Sequential(layers).layers
        self.dropout = Dropout(dropout)

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.layers[0].p

    @property
    def q(self) -> int:
        """Neurons out."""
        return self.layers[-1].q

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.layers[0].n

    @property
    def directions(self) -> frozenset[str]:
        """Which ways through the sequence its layers run: `"forward"`, `"reverse"`."""
        return frozenset().union(*(layer.directions for layer in self.layers))

    def initial_carry(self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None) -> tuple[PyTree, ...]:
        """The states to start from.

        **Arguments:** `batch_shape`: the leading axes of `x`, before t; `dtype`: of the states, the cells' choice where
        `None`.
        **Returns:** one for each layer.
        """
        return tuple(layer.initial_carry(batch_shape, dtype) for layer in self.layers)

    def scan(
        self,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        *,
        carry: PyTree | None = None,
        lengths: Int[AnyArray, "*batch"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[PyTree, Float[Array, "*batch t {self.q} {self.n} {self.n}"]]:
        """The call that also gives the last carry.

        **Arguments:** as for a call; `key`: split over the layers and what is dropped between them.
        **Returns:** `(carry, y)`: the last carry of each layer, and y of the last, `(*batch, t, q, n, n)`.
        **Raises:** as for a call; `ValueError` if `dropout` lacks a key in training.
        """
        carries = _parts(carry, len(self.layers))
        keys = [None] * (2 * len(self.layers)) if key is None else list(jax.random.split(key, 2 * len(self.layers)))
        last = []
        y = jnp.asarray(x)
        for index, layer in enumerate(self.layers):
            if index > 0:
                y = self.dropout(y, key=keys[2 * index])
            after, y = layer.scan(y, carry=carries[index], lengths=lengths, key=keys[2 * index + 1])
            last.append(after)
        return tuple(last), y


@contract
class Bidirectional(BaseRecurrent):
    """A layer that runs forward and one that runs in reverse, side by side: `y = [forward(x), backward(x)]`.

    **Arguments:** `forward`, `backward`: `Recurrent` layers or stacks of them, with `reverse=False` and `reverse=True`;
    `merge`: `"concatenate"` the neurons of both, or `"sum"` them.
    **Raises:** `ContractError` where the two differ in p or n, or with `"sum"` in q, naming both; `ValueError` for a
    layer that runs the wrong way; `TypeError` for one that is not recurrent.
    **Source:** Schuster and Paliwal 1997.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox.nn.cell import GRUCell
    >>> from matrinox.nn.recurrent import Recurrent
    >>> k0, k1 = jax.random.split(jax.random.key(0))
    >>> cells = GRUCell(p=2, q=3, n=4, key=k0), GRUCell(p=2, q=3, n=4, key=k1)
    >>> layer = Bidirectional(Recurrent(cells[0]), Recurrent(cells[1], reverse=True))
    >>> layer(jnp.ones((32, 10, 2, 4, 4))).shape
    (32, 10, 6, 4, 4)
    """

    forward: BaseRecurrent
    backward: BaseRecurrent
    merge: Literal["concatenate", "sum"] = eqx.field(static=True)

    def __init__(self, forward: Any, backward: Any, *, merge: Literal["concatenate", "sum"] = "concatenate"):
        for name, layer, way, reverse in (
            ("forward", forward, "forward", False),
            ("backward", backward, "reverse", True),
        ):
            _require_recurrent(name, layer)
            if layer.directions != {way}:
                raise ValueError(
                    f"`{name}` (={_named(layer)}) must run {'in reverse' if reverse else 'forward'} and that way only: "
                    f"build each Recurrent in it with reverse={reverse}."
                )
        for size in ("p", "n", "q") if merge == "sum" else ("p", "n"):
            if getattr(forward, size) != getattr(backward, size):
                raise ContractError(
                    f"`forward` (={_named(forward)}) and `backward` (={_named(backward)}) must have the same {size}: "
                    + ("use merge='concatenate'." if size == "q" else "they take the same x.")
                )
        self.forward = forward
        self.backward = backward
        self.merge = merge

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.forward.p

    @property
    def q(self) -> int:
        """Neurons out: those of both, or of each where they are summed."""
        return self.forward.q + (0 if self.merge == "sum" else self.backward.q)

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.forward.n

    @property
    def directions(self) -> frozenset[str]:
        """Which ways through the sequence it runs: both."""
        return self.forward.directions | self.backward.directions

    def initial_carry(self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None) -> tuple[PyTree, PyTree]:
        """The states to start from.

        **Arguments:** `batch_shape`: the leading axes of `x`, before t; `dtype`: of the states, the cells' choice where
        `None`.
        **Returns:** `(forward, backward)`.
        """
        return self.forward.initial_carry(batch_shape, dtype), self.backward.initial_carry(batch_shape, dtype)

    def scan(
        self,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        *,
        carry: PyTree | None = None,
        lengths: Int[AnyArray, "*batch"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[PyTree, Float[Array, "*batch t {self.q} {self.n} {self.n}"]]:
        """The call that also gives the last carry.

        **Arguments:** as for a call; `key`: split over the two.
        **Returns:** `(carry, y)`: `(forward, backward)`, the second behind the first step of the sequence; and y,
        `(*batch, t, q, n, n)`.
        **Raises:** as for a call.
        """
        layers = (self.forward, self.backward)
        keys = (None, None) if key is None else jax.random.split(key)
        taken = [
            layer.scan(x, carry=start, lengths=lengths, key=k)
            for layer, start, k in zip(layers, _parts(carry, 2), keys, strict=True)
        ]
        (forward, y), (backward, z) = taken
        return (forward, backward), y + z if self.merge == "sum" else jnp.concatenate([y, z], axis=-3)


def _require_recurrent(name: str, layer: Any) -> None:
    if not isinstance(layer, BaseRecurrent):
        raise TypeError(
            f"`{name}` (={type(layer).__name__}) must be a recurrent layer: wrap a cell as nn.Recurrent(cell)."
        )


def _named(layer: BaseRecurrent) -> str:
    return f"{type(layer).__name__}(p={layer.p}, q={layer.q}, n={layer.n})"


def _parts(carry: PyTree, count: int) -> Sequence[PyTree]:
    if carry is None:
        return (None,) * count
    if not isinstance(carry, tuple) or len(carry) != count:
        got = eqx.tree_pformat(carry, short_arrays=True)
        raise ContractError(f"`carry` (={got}) must be a tuple of {count}, as initial_carry gives it.")
    return carry
