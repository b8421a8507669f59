"""`Recurrent`, a cell over a sequence."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, PyTree

from matrinox.contract import ContractError, contract
from matrinox.nn.base_recurrent import OneWayRecurrent, chosen, shapes_of, valid_steps
from matrinox.nn.cell import can_split
from matrinox.nn.child import require_built, takes_key

# So many fill a product in each step. All steps at once would not be quicker, and write, turn and read again the gates
# of the whole sequence, which are several times as many numbers as its input.
_MANY_COLUMNS = 32


@contract
class Recurrent(OneWayRecurrent):
    """A cell over a sequence: `carry, y_t = cell(carry, x_t)` for t in turn, one compiled step however many there are.

    A cell is any module that is called as `cell(carry, x, *, key=None) -> (carry, y)` on a step `x` `(*batch, p, n, n)`
    and gives `y` `(*batch, q, n, n)`, with sizes `p`, `q`, `n` and `initial_carry(batch_shape, dtype)`, any tree of
    arrays with the batch axes in front. Of `RNNCell`, `GRUCell` and `LSTMCell` the input's part of all gates is one
    product for the whole sequence, before the loop, where the examples are few.

    The carry keeps the dtype that it starts with; unless it is given, that is what the cell's weights and `x` have in
    common, and at least float32, as it sums over all of time. y has the dtype that weights and `x` have in common.

    **Arguments:** `cell`: the cell; `reverse`: from the last step to the first; `unroll`: steps in a turn of the
    compiled loop.
    **Raises:** `TypeError` for what is no cell, with what it lacks; `ValueError` for an `unroll` below 1.
    **Source:** mlax, `Recurrent` and `RecurrentRng`; TorchLean, `rnn`, `gru`, `lstm`.

    >>> import jax, jax.numpy as jnp
    >>> from matrinox.nn.cell import LSTMCell
    >>> layer = Recurrent(LSTMCell(p=2, q=3, n=4, key=jax.random.key(0)))
    >>> layer(jnp.ones((32, 10, 2, 4, 4))).shape
    (32, 10, 3, 4, 4)
    >>> layer(jnp.ones((2, 10, 2, 4, 4)), lengths=jnp.array([10, 4]))[1, 4:].any()
    Array(False, dtype=bool)
    """

    cell: Any
    reverse: bool = eqx.field(static=True)
    unroll: int = eqx.field(static=True)

    def __init__(self, cell: Any, *, reverse: bool = False, unroll: int = 1):
        _require_cell(cell)
        if unroll < 1:
            raise ValueError(f"`unroll` (={unroll}) must be at least 1: choose how many steps a turn of the loop has.")
        self.cell = cell
        self.reverse = reverse
        self.unroll = unroll

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.cell.p

    @property
    def q(self) -> int:
        """Neurons out."""
        return self.cell.q

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.cell.n

    def initial_carry(self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None) -> PyTree:
        """The cell's state to start from.

        **Arguments:** `batch_shape`: the leading axes of `x`, before t; `dtype`: of the state, the cell's choice where
        `None`.
        **Returns:** a tree of arrays, such as `(h, c)` for an LSTM.
        """
        return self.cell.initial_carry(batch_shape, dtype)

    def run(self, carry: Any, x: Array, lengths: Array | None, key: Array | None) -> tuple[Any, Array]:
        """`scan`, of what has been checked.

        **Arguments:** as for a call.
        **Returns:** `(carry, y)`.
        """
        return _scan(self.cell, carry, x, lengths, key, self.reverse, self.unroll)


# Compiled by itself, so that a call outside `jit` does not compile the loop anew.
@eqx.filter_jit
def _scan(
    cell: Any, carry: PyTree, x: Array, lengths: Array | None, key: Array | None, reverse: bool, unroll: int
) -> tuple[PyTree, Array]:
    batch, steps = x.shape[:-4], jnp.moveaxis(x, -4, 0)
    t = len(steps)
    valid = None
    if lengths is not None:
        valid = jnp.moveaxis(valid_steps(lengths, t), -1, 0)
        # Chosen away behind the cell alone, a NaN would come back through the gradient.
        steps = chosen(valid, steps, jnp.zeros_like(steps))
    split = can_split(cell)
    weights = cell.hidden_weights if split else None
    # Columns that never meet are those of one state for the whole batch: no step has to transpose.
    apart = split and cell.columns_apart
    columns = math.prod(batch) * x.shape[-1]
    project = cell.projection(columns) if apart and columns >= _MANY_COLUMNS else None
    if split and project is None:
        steps = cell.project(steps)
    if apart:
        steps, carry = _columns(steps, 1), jax.tree.map(_columns, carry)
        if valid is not None:
            valid = jnp.repeat(valid.reshape(t, 1, 1, math.prod(batch)), x.shape[-1], axis=-1)
    keys = None if split or key is None else jax.random.split(key, t)

    def take(carry: PyTree, step: tuple[Array, Array | None, Array | None]) -> tuple[PyTree, Array]:
        x, valid, key = step
        x = x if project is None else project(x)
        after, y = cell.advance(weights, carry, x) if split else _called(cell, carry, x, key)
        if valid is None:
            return after, y
        after = jax.tree.map(lambda new, old: chosen(valid, new, old), after, carry)
        return after, chosen(valid, y, jnp.zeros_like(y))

    carry, y = jax.lax.scan(take, carry, (steps, valid, keys), length=t, reverse=reverse, unroll=unroll)
    if apart:
        return jax.tree.map(lambda leaf: _examples(leaf, batch), carry), _examples(y, batch)
    return carry, jnp.moveaxis(y, 0, -4)


def _require_cell(cell: Any) -> None:
    require_built("cell", cell)
    lacking = [f"`{name}`" for name in ("p", "q", "n", "initial_carry") if not hasattr(cell, name)]
    if not callable(cell):
        lacking.append("a call")
    elif not takes_key(cell):
        lacking.append("the keyword `key` of its call")
    if lacking:
        raise TypeError(
            f"`cell` (={type(cell).__name__}) must be a cell, and lacks {', '.join(lacking)}: it is called as "
            "cell(carry, x, *, key=None) -> (carry, y), and has sizes p, q, n and initial_carry(batch_shape, dtype)."
        )


def _called(cell: Any, carry: PyTree, x: Array, key: Array | None) -> tuple[PyTree, Array]:
    result = cell(carry, x, key=key)
    if not isinstance(result, tuple) or len(result) != 2:
        raise ContractError(f"`cell` (={type(cell).__name__}) must return (carry, y), got {shapes_of(result)}.")
    after, y = result
    if jax.tree.map(jnp.shape, after) != jax.tree.map(jnp.shape, carry):
        raise ContractError(
            f"`cell` (={type(cell).__name__}) must return a carry as it got it, {shapes_of(carry)}, got "
            f"{shapes_of(after)}."
        )
    return jax.tree.map(lambda new, old: jnp.asarray(new).astype(old.dtype), after, carry), y


def _columns(x: Array, leading: int = 0) -> Array:
    """`(*leading, *batch, q, n, n)` to `(*leading, q, n, batch · n)`."""
    front, (q, n, _) = x.shape[:leading], x.shape[-3:]
    batch = math.prod(x.shape[leading:-3])
    return jnp.moveaxis(x.reshape(*front, batch, q, n, n), leading, -2).reshape(*front, q, n, batch * n)


def _examples(columns: Array, batch: tuple[int, ...]) -> Array:
    """`(*rest, n, batch · n)` to `(*batch, *rest, n, n)`."""
    front, n = columns.shape[:-1], columns.shape[-2]
    return jnp.moveaxis(columns.reshape(*front, math.prod(batch), n), -2, 0).reshape(*batch, *front, n)
