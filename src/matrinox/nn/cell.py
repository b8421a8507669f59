"""Recurrent cells: one step in time, `cell(carry, x, *, key=None) -> (carry, y)`."""

import abc
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import gru_step, lstm_step, rnn_step, sigmoid
from matrinox.functional.recurrent import (
    Activation,
    Gating,
    gru_advance,
    hidden_weights,
    input_gates,
    lstm_advance,
    projection,
    rnn_advance,
    works_by_entries,
)
from matrinox.initializers import Initializer, lecun_normal
from matrinox.nn.linear import check_sizes
from matrinox.nn.tracing import unwatched
from matrinox.params import MatrixParams


@contract
class BaseCell(eqx.Module):
    """A cell whose gates are fused, `W [h, x] + B`, so that the part of x can be taken out of a loop over time."""

    weight: Float[Array, "{self.gates}*{self.q} {self.q}+{self.p} n n"]
    bias: Float[Array, "{self.gates}*{self.q} n n"] | None
    gates: ClassVar[int]

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        use_bias: bool,
        initializer: Initializer,
        hidden_initializer: Initializer,
        dtype: DTypeLike | None,
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, q=q, n=n)
        # A map of its own for each gate and for h and x: an initializer counts the inputs of what it is asked for.
        parts = ((hidden_initializer, q), (initializer, p))
        keys = jax.random.split(key, (self.gates, len(parts)))
        rows = [
            jnp.concatenate([draw(k, (q, size, n, n), dtype) for k, (draw, size) in zip(row, parts, strict=True)], 1)
            for row in keys
        ]
        self.weight = jnp.concatenate(rows)
        self.bias = jnp.zeros((self.gates * q, n, n), self.weight.dtype) if use_bias else None

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.weight.shape[-3] - self.q

    @property
    def q(self) -> int:
        """Neurons out, which are those of the hidden state."""
        return self.weight.shape[-4] // self.gates

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.weight.shape[-1]

    @property
    def params(self) -> MatrixParams:
        """Weight `(gates · q, q + p, n, n)` and bias `(gates · q, n, n)`, as the steps in `functional` take them."""
        return MatrixParams(self.weight, self.bias)

    def _state(self, batch_shape: tuple[int, ...], dtype: DTypeLike | None) -> Array:
        if dtype is None:
            dtype = jnp.promote_types(self.weight.dtype, jnp.float32)
        return jnp.zeros((*batch_shape, self.q, self.n, self.n), dtype)

    def project(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"]
    ) -> Float[Array, "*batch {self.gates}*{self.q} {self.n} {self.n}"]:
        """The input's part of all gates, which a whole sequence may take beforehand.

        **Arguments:** `x`: `(*batch, p, n, n)`.
        **Returns:** `(*batch, gates · q, n, n)`, the bias included.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`.
        """
        return input_gates(self.params, x, self.gates)

    def projection(self, columns: int) -> Callable[[Array], Array]:
        """`project` for so many columns, to be called within a loop: `(p, n, columns)` to `(gates · q, n, columns)`.

        **Arguments:** `columns`: n for each example.
        """
        return projection(self.params, self.gates, columns)

    @property
    def columns_apart(self) -> bool:
        """Whether `advance` takes any number of columns, since they do not meet: all but the product is by entries."""
        return True

    @property
    def hidden_weights(self) -> tuple[Array, ...]:
        """What of the weight multiplies h, as `advance` takes it: one array, or one for each product of a step."""
        return hidden_weights(self.params, self.gates)

    @abc.abstractmethod
    def advance(self, weights: Any, carry: Any, gates: Array) -> tuple[Any, Array]:
        """The step from `project` on: `cell(carry, x)` is `advance(cell.hidden_weights, carry, cell.project(x))`.

        **Arguments:** `weights`: as `hidden_weights` gives them, before the loop; `carry`: as for a call; `gates`: as
        `project` gives them; both with any number of columns where `columns_apart`.
        **Returns:** `(carry, y)`.
        """


@contract
class _HiddenCell(BaseCell):
    """A cell whose carry is h alone."""

    __init__ = BaseCell.__init__

    def initial_carry(
        self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None
    ) -> Float[Array, "... {self.q} {self.n} {self.n}"]:
        """The state to start from, h = 0.

        **Arguments:** `batch_shape`: the leading axes of the input of a step; `dtype`: of the state, where `None` that
        of the weight and at least float32.
        **Returns:** `(*batch_shape, q, n, n)`.
        """
        return self._state(batch_shape, dtype)


@contract
class RNNCell(_HiddenCell):
    """Simple recurrent cell: `h' = f(W [h, x] + B)`.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons of the hidden state and matrix side; `activation`: f;
    `use_bias`: whether there is a `B`, which starts at zero; `initializer`: of the weight, for the parts of h and x by
    themselves; `hidden_initializer`: of the part of h, where that is to be another, such as `orthogonal()`; `dtype`:
    of both, the default float where `None`; `key`: one key. The weight is `(q, q + p, n, n)`.
    **Raises:** `ValueError` for a size below 1.
    **Source:** MATNETS 1.1.0, `rnn_step`; TorchLean, `rnn`.

    >>> import jax, jax.numpy as jnp
    >>> cell = RNNCell(p=2, q=3, n=4, key=jax.random.key(0))
    >>> h, y = cell(cell.initial_carry((32,)), jnp.ones((32, 2, 4, 4)))
    >>> y.shape
    (32, 3, 4, 4)
    """

    activation: Activation
    gates = 1

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        *,
        activation: Activation = jnp.tanh,
        use_bias: bool = True,
        initializer: Initializer = lecun_normal,
        hidden_initializer: Initializer | None = None,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        super().__init__(p, q, n, use_bias, initializer, hidden_initializer or initializer, dtype, key)
        self.activation = activation

    def __call__(
        self,
        carry: Float[AnyArray, "*batch {self.q} {self.n} {self.n}"],
        x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[
        Float[Array, "*batch {self.q} {self.n} {self.n}"],
        Float[Array, "*batch {self.q} {self.n} {self.n}"],
    ]:
        """Takes a step.

        **Arguments:** `carry`: h, `(*batch, q, n, n)`; `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(carry, y)`, both h' `(*batch, q, n, n)`; the carry keeps its dtype.
        **Raises:** `ContractError` if the trailing axes are not `(q, n, n)` and `(p, n, n)`.
        """
        return rnn_step(self.params, carry, x, activation=self.activation)

    @property
    def columns_apart(self) -> bool:
        """Whether the activation is known to act by entries, so that columns do not meet."""
        return works_by_entries(self.activation)

    def advance(self, weights: Any, carry: Any, gates: Array) -> tuple[Array, Array]:
        """`cell(carry, x)` from `gates = cell.project(x)` on.

        **Arguments:** `weights`: `cell.hidden_weights`; `carry`: `(*batch, q, n, n)`; `gates`: `(*batch, q, n, n)`.
        **Returns:** `(carry, y)`.
        """
        return rnn_advance(weights, carry, gates, self.activation)


@contract
class GRUCell(_HiddenCell):
    """Gated recurrent unit: `h' = (1 − z) n + z h` by entries, with σ for z and r, and tanh for the candidate n.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons of the hidden state and matrix side; `reset_after`: r multiplies
    the product with h, `n = tanh(W_x x + B + r (W_h h + B_h))`, rather than h itself, `n = tanh(W [r h, x] + B)`: one
    product a step less, and the form of cuDNN; `use_bias`, `initializer`, `hidden_initializer`, `dtype`, `key`: as for
    `RNNCell`. The weight is `(3q, q + p, n, n)`, the gates in the order z, r, n; `hidden_bias` is `B_h`.
    **Raises:** `ValueError` for a size below 1.
    **Source:** MATNETS 1.1.0, `gru_step`; TorchLean, `gru`; `reset_after` is `eqx.nn.GRUCell`.

    >>> import jax, jax.numpy as jnp
    >>> cell = GRUCell(p=2, q=3, n=4, key=jax.random.key(0))
    >>> h, y = cell(cell.initial_carry((32,)), jnp.ones((32, 2, 4, 4)))
    >>> y.shape
    (32, 3, 4, 4)
    """

    hidden_bias: Float[Array, "{self.q} n n"] | None
    reset_after: bool = eqx.field(static=True)
    gates = 3

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        *,
        reset_after: bool = False,
        use_bias: bool = True,
        initializer: Initializer = lecun_normal,
        hidden_initializer: Initializer | None = None,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        super().__init__(p, q, n, use_bias, initializer, hidden_initializer or initializer, dtype, key)
        self.reset_after = reset_after
        self.hidden_bias = jnp.zeros((q, n, n), self.weight.dtype) if reset_after and use_bias else None

    def __call__(
        self,
        carry: Float[AnyArray, "*batch {self.q} {self.n} {self.n}"],
        x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[
        Float[Array, "*batch {self.q} {self.n} {self.n}"],
        Float[Array, "*batch {self.q} {self.n} {self.n}"],
    ]:
        """Takes a step.

        **Arguments:** `carry`: h, `(*batch, q, n, n)`; `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(carry, y)`, both h' `(*batch, q, n, n)`; the carry keeps its dtype.
        **Raises:** `ContractError` if the trailing axes are not `(q, n, n)` and `(p, n, n)`.
        """
        return gru_step(self.params, carry, x, reset_after=self.reset_after, hidden_bias=self.hidden_bias)

    @property
    def hidden_weights(self) -> tuple[Array, ...]:
        """What of the weight multiplies h: of all gates, or, as n sees another h than z and r do, of these and of n."""
        return hidden_weights(self.params, self.gates, *(() if self.reset_after else (2,)))

    def advance(self, weights: Any, carry: Any, gates: Array) -> tuple[Array, Array]:
        """`cell(carry, x)` from `gates = cell.project(x)` on.

        **Arguments:** `weights`: `cell.hidden_weights`; `carry`: `(*batch, q, n, n)`; `gates`: `(*batch, 3q, n, n)`.
        **Returns:** `(carry, y)`.
        """
        return gru_advance(weights, carry, gates, self.hidden_bias)


@contract
class LSTMCell(BaseCell):
    """Long short-term memory: `c' = f ∘ c + i ∘ g`, `h' = o ∘ tanh(c')`, with σ for i, f, o and tanh for g.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons of the hidden state and matrix side; `gating`: what `∘` is, as for
    `functional.lstm_step`: `"hadamard"`, or `"matmul"` for gates that multiply as matrices, with normalised rows;
    `activations`: σ of the gates and tanh of the state; `forget_bias`: what the bias of f starts at, 0 like the rest,
    1 for a longer memory to begin with; `use_bias`, `initializer`, `hidden_initializer`, `dtype`, `key`: as for
    `RNNCell`. The weight is `(4q, q + p, n, n)`, the gates in the order i, f, g, o.
    **Raises:** `ValueError` for a size below 1, and for a `forget_bias` without bias.
    **Source:** MATNETS 1.1.0, `lstm_step`, and 3.2.5 with `"raw_matmul"`; TorchLean, `lstm`.

    >>> import jax, jax.numpy as jnp
    >>> cell = LSTMCell(p=2, q=3, n=4, key=jax.random.key(0))
    >>> (h, c), y = cell(cell.initial_carry((32,)), jnp.ones((32, 2, 4, 4)))
    >>> y.shape
    (32, 3, 4, 4)
    """

    activations: tuple[Activation, Activation]
    gating: Gating = eqx.field(static=True)
    gates = 4

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        *,
        gating: Gating = "hadamard",
        activations: tuple[Activation, Activation] = (sigmoid, jnp.tanh),
        forget_bias: float = 0.0,
        use_bias: bool = True,
        initializer: Initializer = lecun_normal,
        hidden_initializer: Initializer | None = None,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        super().__init__(p, q, n, use_bias, initializer, hidden_initializer or initializer, dtype, key)
        self.gating = gating
        self.activations = activations
        if self.bias is not None:
            self.bias = self.bias.at[q : 2 * q].set(forget_bias)
        elif forget_bias != 0:
            raise ValueError(f"`forget_bias` (={forget_bias}) must be 0 without bias: build with use_bias=True.")

    def initial_carry(
        self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None
    ) -> tuple[Float[Array, "... {self.q} {self.n} {self.n}"], Float[Array, "... {self.q} {self.n} {self.n}"]]:
        """The state to start from, h = c = 0.

        **Arguments:** `batch_shape`: the leading axes of the input of a step; `dtype`: of the state, where `None` that
        of the weight and at least float32.
        **Returns:** `(h, c)`, each `(*batch_shape, q, n, n)`.
        """
        return self._state(batch_shape, dtype), self._state(batch_shape, dtype)

    def __call__(
        self,
        carry: tuple[
            Float[AnyArray, "*batch {self.q} {self.n} {self.n}"], Float[AnyArray, "*batch {self.q} {self.n} {self.n}"]
        ],
        x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[
        tuple[Float[Array, "*batch {self.q} {self.n} {self.n}"], Float[Array, "*batch {self.q} {self.n} {self.n}"]],
        Float[Array, "*batch {self.q} {self.n} {self.n}"],
    ]:
        """Takes a step.

        **Arguments:** `carry`: `(h, c)`, each `(*batch, q, n, n)`; `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(carry, y)`, y being h' `(*batch, q, n, n)`; the carry keeps its dtypes.
        **Raises:** `ContractError` if the trailing axes are not `(q, n, n)` and `(p, n, n)`.
        """
        return lstm_step(self.params, carry, x, activations=self.activations, gating=self.gating)

    @property
    def columns_apart(self) -> bool:
        """Whether gates and activations are known to act by entries, so that columns do not meet."""
        return self.gating == "hadamard" and works_by_entries(*self.activations)

    def advance(self, weights: Any, carry: Any, gates: Array) -> tuple[tuple[Array, Array], Array]:
        """`cell(carry, x)` from `gates = cell.project(x)` on.

        **Arguments:** `weights`: `cell.hidden_weights`; `carry`: `(h, c)`, each `(*batch, q, n, n)`; `gates`:
        `(*batch, 4q, n, n)`.
        **Returns:** `(carry, y)`.
        """
        return lstm_advance(weights, carry, gates, self.activations, self.gating)


_CALLS = (RNNCell.__call__, GRUCell.__call__, LSTMCell.__call__)


def can_split(cell: Any) -> bool:
    """Whether `cell` may be run by `project` and `advance`: not if a subclass has a `__call__` of its own."""
    return isinstance(cell, BaseCell) and unwatched(type(cell).__call__) in _CALLS
