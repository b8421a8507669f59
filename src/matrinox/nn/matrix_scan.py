"""`MatrixScan`, a recurrence of which the transitions are matrices that the input chooses."""

import copy
from typing import Any, Literal

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, Int, PRNGKeyArray

from matrinox.contract import AnyArray, ContractError, contract
from matrinox.functional import bound_spectral_norm, matrix_scan, orthogonalize, snap, snapping_scan
from matrinox.functional.constrain import require_bound
from matrinox.functional.precision import widen
from matrinox.functional.scan import matrix_product, require_method
from matrinox.initializers import Initializer, lecun_normal
from matrinox.nn.base_recurrent import ParallelRecurrent, chosen, shapes_of
from matrinox.nn.linear import Dense, check_sizes

Transition = Literal["orthogonal", "spectral", "free"]
"""What the transitions are: orthogonal, of bounded spectral norm, or any matrices."""

Determinants = Literal["positive", "negative", "both"]
"""The sign of the determinant of a transition that is not far from where all start."""

_MIRRORED: dict[Determinants, slice] = {"positive": slice(0), "negative": slice(None), "both": slice(1, None, 2)}

_State = Float[AnyArray, "*batch {self.q} {self.n} {self.n}"]
_NewState = Float[Array, "*batch {self.q} {self.n} {self.n}"]


@contract
class MatrixScan(ParallelRecurrent):
    """Matrices that multiply over time: `H_t = A(x_t) @ H_{t−1} + U(x_t)`, neuron by neuron; y is H.

    U is a dense map of the step, and A a dense map added to I and then made `"orthogonal"` by
    `functional.orthogonalize`, so that a product of thousands keeps its norm, or `"spectral"` by
    `functional.bound_spectral_norm`, so that nothing grows by more than `bound`, or left `"free"`. As products of
    matrices, the states can follow any finite group, which sums and products of numbers cannot. All steps are taken at
    once by an associative scan; `step` takes one, and a sequence can be continued from its carry.

    Training hardly changes the sign of the determinant of an orthogonal A, as no gradient leads from one sign to the
    other; a `"spectral"` A, which may be singular, passes through 0. With n one larger the positive sign is enough: a
    mirror in n dimensions is a half turn in n + 1.

    With `snap=k` each state is replaced, every k steps, by the nearest entry of its neuron's table, so that errors do
    not add up over words far longer than those of the training; the gradient is that of `functional.snap`. A layer that
    was trained without snaps after `layer.snapped(k)`.

    To learn a group, train on words of two letters first and then of eight, with two terms in the loss: the
    cross-entropy of `−functional.squared_distances(y, table)`, summed over the neurons, against the product of the word
    so far; and 0.3 times the squared distance of y from the entry that is right, from a third of the short words on.
    Without the second term y drifts; with it from the start all states become one. For S₃, with p = 6, a neuron for
    each element, which is I for the letter and 0 for the rest: `MatrixScan(p=6, q=1, n=3, entries=6, use_input=False,
    use_bias=False, noise=1.0, key=key)`, and 300 steps of Adam on 64 words for each of the two lengths, at a rate that
    falls from 0.03 by half a cosine. Larger groups, such as A₅, are learnt from tokens that start as random rotations,
    read out by `Prototypes` of small scales, with `train.StateTracking(commitment=0.1, until_wrong=True)`, as the zoo's
    `scan-a5` is.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons of the state and matrix side; `transition`: what A is; `bound`: on
    the spectral norm of a `"spectral"` A; `use_input`: whether there is a U; `initial`: the state to start from, the
    `"identity"`, `"zero"`, or `"learned"`, which starts at the identity; `determinants`: the sign of that of A where x
    is small: `"positive"`, `"negative"`, where `diag(1, …, 1, −1)` takes the place of I, or `"both"` in turn, neuron by
    neuron; `noise`: a factor on the weight that `initializer` draws for A, small for an A that starts near I; `snap`:
    after how many steps to snap, `None` for not at all; `entries`: of the table, `None` for no table; they start as
    random orthogonal matrices; `reverse`: from the last step to the first; `method`: as for `functional.matrix_scan`;
    `use_bias`: of both maps; `initializer`: of both weights; `dtype`: of all, the default float where `None`; `key`:
    one key.
    **Raises:** `ValueError` for a size or a `snap` below 1, a `snap` without `entries`, a `bound` that is not positive
    or is of another transition, a state that stays zero, and another `method`.
    **Source:** Merrill et al. 2024, arXiv 2404.08819, for what such a layer can do and others cannot.

    >>> import jax, jax.numpy as jnp
    >>> layer = MatrixScan(p=2, q=3, n=4, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 10, 2, 4, 4))).shape
    (32, 10, 3, 4, 4)
    >>> carry, y = layer.step(layer.initial_carry((32,)), jnp.ones((32, 2, 4, 4)))
    >>> y.shape
    (32, 3, 4, 4)
    """

    transition_proj: Dense
    input_proj: Dense | None
    start: Float[Array, "{self.q} {self.n} {self.n}"] | None
    table: Float[Array, "{self.q} entries {self.n} {self.n}"] | None
    transition: Transition = eqx.field(static=True)
    determinants: Determinants = eqx.field(static=True)
    bound: float = eqx.field(static=True)
    initial: Literal["identity", "zero", "learned"] = eqx.field(static=True)
    snap: int | None = eqx.field(static=True)
    reverse: bool = eqx.field(static=True)
    method: str = eqx.field(static=True)

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        *,
        transition: Transition = "orthogonal",
        bound: float = 1.0,
        use_input: bool = True,
        initial: Literal["identity", "zero", "learned"] = "identity",
        determinants: Determinants = "positive",
        noise: float = 0.1,
        snap: int | None = None,
        entries: int | None = None,
        reverse: bool = False,
        method: str = "associative",
        use_bias: bool = True,
        initializer: Initializer = lecun_normal,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, q=q, n=n, entries=1 if entries is None else entries)
        require_bound(bound)
        require_method(method)
        _require_snap(snap, entries is not None)
        if bound != 1 and transition != "spectral":
            raise ValueError(f"`bound` (={bound}) must be 1 where A is {transition}: use transition='spectral'.")
        if initial == "zero" and not use_input:
            raise ValueError("`initial` (='zero') must not be zero without U, as H would stay 0: use 'identity'.")
        transition_key, input_key, table_key = jax.random.split(key, 3)

        def dense(key: PRNGKeyArray) -> Dense:
            return Dense(p, q, n, use_bias=use_bias, initializer=initializer, dtype=dtype, key=key)

        proj = dense(transition_key)
        proj = eqx.tree_at(lambda dense: dense.weight, proj, noise * proj.weight)
        self.transition_proj = proj
        self.input_proj = dense(input_key) if use_input else None
        self.start = jnp.broadcast_to(jnp.eye(n, dtype=proj.weight.dtype), (q, n, n)) if initial == "learned" else None
        self.table = None
        if entries is not None:
            # The QR factorisation behind it knows no half precision.
            drawn = jax.random.orthogonal(table_key, n, (q, entries), jnp.promote_types(proj.weight.dtype, jnp.float32))
            self.table = drawn.astype(proj.weight.dtype)
        self.transition = transition
        self.determinants = determinants
        self.bound = bound
        self.initial = initial
        self.snap = snap
        self.reverse = reverse
        self.method = method

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.transition_proj.p

    @property
    def q(self) -> int:
        """Neurons of the state, which are those out."""
        return self.transition_proj.q

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.transition_proj.n

    def snapped(self, snap: int | None) -> "MatrixScan":
        """The layer with another `snap`; the carry of one that snaps is not that of one that does not.

        **Arguments:** `snap`: after how many steps to snap, `None` for not at all.
        **Returns:** a layer with the same weights.
        **Raises:** `ValueError` for a `snap` below 1, or of a layer without a table.
        """
        _require_snap(snap, self.table is not None)
        layer = copy.copy(self)
        object.__setattr__(layer, "snap", snap)
        return layer

    def initial_carry(
        self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None
    ) -> (
        Float[Array, "... {self.q} {self.n} {self.n}"]
        | tuple[Float[Array, "... {self.q} {self.n} {self.n}"], Int[Array, "..."]]
    ):
        """The state to start from.

        **Arguments:** `batch_shape`: the leading axes of `x`, before t; `dtype`: of the state, where `None` that of the
        weights and at least float32.
        **Returns:** H, `(*batch_shape, q, n, n)`; of a layer that snaps `(H, position)`, with the steps since it last
        did, `(*batch_shape)`.
        """
        if dtype is None:
            dtype = jnp.promote_types(self.transition_proj.weight.dtype, jnp.float32)
        start = {"identity": jnp.eye(self.n), "zero": 0, "learned": self.start}[self.initial]
        h = jnp.broadcast_to(jnp.asarray(start, dtype), (*batch_shape, self.q, self.n, self.n))
        return h if self.snap is None else (h, jnp.zeros(batch_shape, jnp.int32))

    def transitions(
        self, x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"]
    ) -> Float[Array, "*batch {self.q} {self.n} {self.n}"]:
        """A(x), what the state is multiplied by from the left.

        **Arguments:** `x`: `(*batch, p, n, n)`.
        **Returns:** `(*batch, q, n, n)`, of float32 for half precision.
        **Raises:** `ContractError` if the trailing axes are not `(p, n, n)`.
        """
        # Apart from the bias: one that all inputs share would carry them all over a determinant of 0.
        base = jnp.broadcast_to(jnp.eye(self.n), (self.q, self.n, self.n))
        base = base.at[_MIRRORED[self.determinants], -1, -1].set(-1)
        a = widen(self.transition_proj(x)) + base
        if self.transition == "orthogonal":
            return orthogonalize(a)
        return bound_spectral_norm(a, self.bound) if self.transition == "spectral" else a

    def step(
        self,
        carry: _State | tuple[_State, Int[AnyArray, "*batch"]],
        x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[_NewState | tuple[_NewState, Int[Array, "*batch"]], _NewState]:
        """Takes one step, the way a cell does; a layer in reverse steps from the last.

        **Arguments:** `carry`: as `initial_carry` gives it; `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(carry, y)`, y being H `(*batch, q, n, n)`; the carry keeps its dtypes.
        **Raises:** `ContractError` if the trailing axes are not those of `initial_carry` and `(p, n, n)`.
        """
        before, position = self._parts(carry)
        h = matrix_product(self.transitions(x), before)
        if self.input_proj is not None:
            h = h + self.input_proj(x)
        if self.snap is not None and position is not None:
            position = (position + 1) % self.snap
            h = chosen(position == 0, snap(h, self._entries), h)
        h = h.astype(before.dtype)
        y = h.astype(jnp.result_type(x, self.transition_proj.weight))
        return (h if position is None else (h, position)), y

    def forward(self, carry: Any, x: Array, lengths: Array | None, key: Array | None) -> tuple[Any, Array]:
        """`run` from the first step on.

        **Arguments:** as for a call.
        **Returns:** `(carry, y)`.
        """
        a = self.transitions(x)
        u = None if self.input_proj is None else widen(self.input_proj(x))
        before, position = self._parts(carry)
        if self.snap is None:
            states = matrix_scan(a, u, before, method=self.method)
        else:
            options = {"every": self.snap, "position": position, "method": self.method}
            states = snapping_scan(a, u, before, self._entries, **options)
        t = x.shape[-4]
        steps = jnp.asarray(t) if lengths is None else lengths
        h = before
        if t > 0:
            last = jnp.broadcast_to(jnp.clip(steps - 1, 0, t - 1), x.shape[:-4])[..., None, None, None, None]
            h = jnp.take_along_axis(states, last, -4)[..., 0, :, :, :].astype(before.dtype)
            h = h if lengths is None else chosen(lengths > 0, h, before)
        return (h if position is None else (h, (position + steps) % self.snap)), states

    @property
    def _entries(self) -> Array:
        _require_snap(self.snap, self.table is not None)
        return jnp.asarray(self.table)

    def _parts(self, carry: Any) -> tuple[Any, Any]:
        if isinstance(carry, tuple) != (self.snap is not None):
            raise ContractError(
                f"`carry` (={shapes_of(carry)}) must be as initial_carry gives it where snap is {self.snap}: "
                f"{'H' if self.snap is None else '(H, position)'}."
            )
        carry = jax.tree.map(jnp.asarray, carry)
        return carry if isinstance(carry, tuple) else (carry, None)


def _require_snap(snap: int | None, has_table: bool) -> None:
    if snap is None:
        return
    check_sizes(snap=snap)
    if not has_table:
        raise ValueError(f"`snap` (={snap}) must be None without a table: choose `entries`, how many states it has.")
