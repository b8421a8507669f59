"""What layers that run over a sequence have in common: a carry, lengths, and the way through it."""

import abc
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray, PyTree

from matrinox.contract import AnyArray, ContractError, contract


@contract
class BaseRecurrent(eqx.Module):
    """A layer that runs over a sequence in time: what can be stacked, or run in both directions."""

    def __call__(
        self,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        *,
        carry: PyTree | None = None,
        lengths: Int[AnyArray, "*batch"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> Float[Array, "*batch t {self.q} {self.n} {self.n}"]:
        """Applies the layer.

        **Arguments:** `x`: `(*batch, t, p, n, n)`; `carry`: the state to start from, as `initial_carry` gives it, which
        is also what is taken where `None`; `lengths`: `(*batch)`, from 0 to t: what is behind them is padding, which is
        not looked at, and y is zero there; `key`: every step gets one of its own, or, where `None`, none.
        **Returns:** y, `(*batch, t, q, n, n)`.
        **Raises:** `ContractError` if the trailing axes are not `(t, p, n, n)`, or if `carry` is not as
        `initial_carry` gives it; `ValueError` for `lengths` out of range, where their values are known: where they are
        traced, y and the last carry are NaN for such an example.
        """
        return self.scan(x, carry=carry, lengths=lengths, key=key)[1]

    @abc.abstractmethod
    def scan(
        self,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        *,
        carry: PyTree | None = None,
        lengths: Int[AnyArray, "*batch"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[PyTree, Float[Array, "*batch t {self.q} {self.n} {self.n}"]]:
        """The call that also gives the last carry; of a padded example, that of its last valid step."""

    @abc.abstractmethod
    def initial_carry(self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None) -> PyTree:
        """The state to start from."""

    @property
    @abc.abstractmethod
    def p(self) -> int:
        """Neurons in."""

    @property
    @abc.abstractmethod
    def q(self) -> int:
        """Neurons out."""

    @property
    @abc.abstractmethod
    def n(self) -> int:
        """Side of the matrix that is a neuron."""

    @property
    @abc.abstractmethod
    def directions(self) -> frozenset[str]:
        """Which ways through the sequence it runs: `"forward"`, `"reverse"`."""


@contract
class OneWayRecurrent(BaseRecurrent):
    """A layer that runs over a sequence one way: what it takes is checked here, `run` does the rest."""

    reverse: eqx.AbstractVar[bool]

    @property
    def directions(self) -> frozenset[str]:
        """Which way through the sequence it runs: `"forward"` or `"reverse"`."""
        return frozenset({"reverse" if self.reverse else "forward"})

    def scan(
        self,
        x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"],
        *,
        carry: PyTree | None = None,
        lengths: Int[AnyArray, "*batch"] | None = None,
        key: PRNGKeyArray | None = None,
    ) -> tuple[PyTree, Float[Array, "*batch t {self.q} {self.n} {self.n}"]]:
        """The call that also gives the last carry.

        **Arguments:** as for a call.
        **Returns:** `(carry, y)`: the carry behind the last step taken, of a padded example its last valid one (with
        `reverse`, its first); and y, `(*batch, t, q, n, n)`.
        **Raises:** as for a call.
        """
        x = jnp.asarray(x)
        *batch, t = x.shape[:-3]
        dtype = jnp.result_type(x, *filter(eqx.is_inexact_array, jax.tree.leaves(self)))
        start = self.initial_carry(tuple(batch), jnp.promote_types(dtype, jnp.float32))
        carry = start if carry is None else _like(carry, start, tuple(batch))
        if lengths is not None:
            _require_lengths(lengths, t)
            _require_batched(carry, tuple(batch))
            lengths = jnp.asarray(lengths)
        carry, y = self.run(carry, x, lengths, key)
        if isinstance(lengths, Tracer):
            carry, y = jax.tree.map(lambda leaf: _unless_out_of_range(lengths, t, leaf), (carry, y))
        return carry, y.astype(dtype)

    @abc.abstractmethod
    def run(self, carry: Any, x: Array, lengths: Array | None, key: Array | None) -> tuple[Any, Array]:
        """`scan`, of what has been checked; with `lengths`, behind them y is zero and the carry stays."""


@contract
class ParallelRecurrent(OneWayRecurrent):
    """A recurrent layer that takes all steps at once, and that can also take them one by one."""

    @abc.abstractmethod
    def step(
        self, carry: Any, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> tuple[Any, Float[Array, "*batch {self.q} {self.n} {self.n}"]]:
        """Takes one step, the way a cell does."""

    @abc.abstractmethod
    def forward(self, carry: Any, x: Array, lengths: Array | None, key: Array | None) -> tuple[Any, Array]:
        """`run` from the first step on: x is zero behind `lengths`, where y is not looked at but the carry stays."""

    def run(self, carry: Any, x: Array, lengths: Array | None, key: Array | None) -> tuple[Any, Array]:
        """`scan`, of what has been checked.

        **Arguments:** as for a call.
        **Returns:** `(carry, y)`.
        """
        return _at_once(self, carry, x, lengths, key)


# Compiled by itself, so that a call outside `jit` does not compile each operation of a scan by itself.
@eqx.filter_jit
def _at_once(
    layer: ParallelRecurrent, carry: PyTree, x: Array, lengths: Array | None, key: Array | None
) -> tuple[PyTree, Array]:
    valid = None
    if lengths is not None:
        valid = valid_steps(lengths, x.shape[-4])
        # Chosen away behind the layer alone, a NaN would come back through the gradient.
        x = chosen(valid, x, jnp.zeros_like(x))
    x = _turned(x, lengths) if layer.reverse else x
    carry, y = layer.forward(carry, x, lengths, key)
    y = _turned(y, lengths) if layer.reverse else y
    return carry, y if valid is None else chosen(valid, y, jnp.zeros_like(y))


def valid_steps(lengths: Array, t: int) -> Array:
    """Which of t steps are before `lengths`: `(*batch, t)`."""
    return jnp.arange(t) < lengths[..., None]


def chosen(valid: Array, new: Array, old: Array) -> Array:
    """`new` where `valid` `(*batch)` and `old` elsewhere, both `(*batch, *rest)`."""
    return jnp.where(valid.reshape(valid.shape + (1,) * (new.ndim - valid.ndim)), new, old)


def _turned(x: Array, lengths: Array | None) -> Array:
    """The steps from last to first, of a padded example the valid ones: padding stays behind."""
    if lengths is None:
        return jnp.flip(x, -4)
    steps = jnp.arange(x.shape[-4])
    order = jnp.where(valid_steps(lengths, len(steps)), lengths[..., None] - 1 - steps, steps)
    return jnp.take_along_axis(x, order[..., None, None, None], -4)


def _require_lengths(lengths: AnyArray, t: int) -> None:
    if isinstance(lengths, Tracer):
        return
    values = np.asarray(lengths)
    wrong = values[(values < 0) | (values > t)]
    if wrong.size:
        raise ValueError(f"`lengths` (={wrong.flat[0]}) must be from 0 to t (={t}): count the valid steps of each.")


def _unless_out_of_range(lengths: Array, t: int, leaf: Array) -> Array:
    if not jnp.issubdtype(leaf.dtype, jnp.inexact):
        return leaf
    return chosen((lengths >= 0) & (lengths <= t), leaf, jnp.full_like(leaf, jnp.nan))


def _like(carry: PyTree, start: PyTree, batch: tuple[int, ...]) -> PyTree:
    def kinds(tree: PyTree) -> PyTree:
        # `eqx.is_inexact_array_like` fails on an array that is being differentiated.
        return jax.tree.map(
            lambda leaf: (jnp.shape(leaf), jnp.issubdtype(getattr(leaf, "dtype", type(leaf)), jnp.inexact)), tree
        )

    if kinds(carry) != kinds(start):
        raise ContractError(
            f"`carry` (={shapes_of(carry)}) must be as initial_carry({batch}) gives it: {shapes_of(start)}."
        )
    return jax.tree.map(jnp.asarray, carry)


def _require_batched(carry: PyTree, batch: tuple[int, ...]) -> None:
    for leaf in jax.tree.leaves(carry):
        if jnp.shape(leaf)[: len(batch)] != batch:
            raise ContractError(
                f"`carry` (={shapes_of(carry)}) must have the batch axes {batch} in front where there are `lengths`: "
                "an example that has ended keeps its own."
            )


def shapes_of(tree: PyTree) -> str:
    """The shapes of a tree's arrays, for a message."""
    return eqx.tree_pformat(tree, short_arrays=True)
