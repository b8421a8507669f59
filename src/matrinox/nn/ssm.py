"""`Mamba`, the gated selective state-space layer."""

import math
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import selective_scan, selective_step, silu, softplus
from matrinox.functional.precision import widen
from matrinox.functional.scan import require_method
from matrinox.functional.ssm import require_chunk
from matrinox.initializers import Initializer, lecun_normal, variance_scaling
from matrinox.nn.base_recurrent import ParallelRecurrent, chosen, valid_steps
from matrinox.nn.conv import Conv1d
from matrinox.nn.linear import Dense, check_sizes

_LARGEST_LOG = 80.0


@contract
class Mamba(ParallelRecurrent):
    """Gated selective state-space layer: `y = W_out (SSM(silu(conv(u))) ⊙ silu(z))` with `[u, z] = W_in x`.

    SSM is `functional.selective_scan`: each entry of each of the `inner` neurons has a state of `state` numbers, with
    decays `exp(−Δ_t exp(A_log))` between 0 and 1. The steps Δ, softplus of a dense map of rank `rank`, and what is
    written and read, B and C, depend on the input. The convolution runs over the last `kernel` steps, each neuron by
    itself. All steps are taken at once; `step` takes one, and a sequence can be continued from its carry.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `state`: numbers in the state of an entry;
    `inner`: neurons that have a state, 2 · max(p, q) where `None`; `kernel`: steps that the convolution sees, `None`
    for no convolution; `rank`: neurons that the steps are drawn from, one for each 32 inner ones where `None`;
    `delta_range`: least and largest step at the start, for an input of 0; `reverse`: from the last step to the first;
    `method`, `chunk`: as for `functional.selective_scan`, `"sequential"` being faster on a CPU; `use_bias`: of the maps
    in and out; `initializer`: of all weights but that of the steps; `dtype`: of all, the default float where `None`;
    `key`: one key.
    **Raises:** `ValueError` for a size below 1, for a `delta_range` that is not `0 < least <= largest`, and for another
    `method`.
    **Source:** Gu and Dao 2023, arXiv 2312.00752; mamba_ssm, `Mamba`; TorchLean, its Mamba-style layer.

    >>> import jax, jax.numpy as jnp
    >>> layer = Mamba(p=2, q=3, n=4, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 10, 2, 4, 4))).shape
    (32, 10, 3, 4, 4)
    >>> carry, y = layer.step(layer.initial_carry((32,)), jnp.ones((32, 2, 4, 4)))
    >>> y.shape
    (32, 3, 4, 4)
    """

    input_proj: Dense
    conv: Conv1d | None
    select_proj: Dense
    delta_proj: Dense
    A_log: Float[Array, "inner state n n"]
    D: Float[Array, "{self.inner} n n"]
    output_proj: Dense
    reverse: bool = eqx.field(static=True)
    method: str = eqx.field(static=True)
    chunk: int | None = eqx.field(static=True)

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        *,
        state: int = 16,
        inner: int | None = None,
        kernel: int | None = 4,
        rank: int | None = None,
        delta_range: tuple[float, float] = (1e-3, 1e-1),
        reverse: bool = False,
        method: str = "associative",
        chunk: int | None = None,
        use_bias: bool = False,
        initializer: Initializer = lecun_normal,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        inner = 2 * max(p, q) if inner is None else inner
        rank = math.ceil(inner / 32) if rank is None else rank
        check_sizes(p=p, q=q, n=n, state=state, inner=inner, kernel=1 if kernel is None else kernel, rank=rank)
        require_method(method)
        require_chunk(chunk)
        keys = jax.random.split(key, 6)

        def dense(p: int, q: int, key: PRNGKeyArray, use_bias: bool, initializer: Initializer = initializer) -> Dense:
            return Dense(p, q, n, use_bias=use_bias, initializer=initializer, dtype=dtype, key=key)

        self.input_proj = dense(p, 2 * inner, keys[0], use_bias)
        self.conv = None
        if kernel is not None:
            options = {"groups": inner, "initializer": initializer, "dtype": dtype, "key": keys[1]}
            self.conv = Conv1d(inner, inner, n, kernel, **options)
        self.select_proj = dense(inner, rank + 2 * state, keys[2], False)
        steps = dense(rank, inner, keys[3], True, variance_scaling(1 / math.sqrt(3), "uniform"))
        self.delta_proj = eqx.tree_at(lambda dense: dense.bias, steps, _step_bias(delta_range, steps.bias, keys[4]))
        rates = jnp.log(jnp.arange(1, state + 1, dtype=self.input_proj.weight.dtype))
        self.A_log = jnp.broadcast_to(rates[:, None, None], (inner, state, n, n))
        self.D = jnp.ones((inner, n, n), rates.dtype)
        self.output_proj = dense(inner, q, keys[5], use_bias)
        self.reverse = reverse
        self.method = method
        self.chunk = chunk

    @property
    def p(self) -> int:
        """Neurons in."""
        return self.input_proj.p

    @property
    def q(self) -> int:
        """Neurons out."""
        return self.output_proj.q

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.A_log.shape[-1]

    @property
    def inner(self) -> int:
        """Neurons that have a state."""
        return self.A_log.shape[-4]

    @property
    def state(self) -> int:
        """Numbers in the state of an entry."""
        return self.A_log.shape[-3]

    @property
    def rank(self) -> int:
        """Neurons that the steps are drawn from."""
        return self.delta_proj.p

    @property
    def kernel(self) -> int:
        """Steps that the convolution sees, 1 without one."""
        return 1 if self.conv is None else self.conv.kernel[0]

    def initial_carry(
        self, batch_shape: tuple[int, ...] = (), dtype: DTypeLike | None = None
    ) -> tuple[
        Float[Array, "... {self.kernel}-1 {self.inner} {self.n} {self.n}"],
        Float[Array, "... {self.inner} {self.state} {self.n} {self.n}"],
    ]:
        """The state to start from: no inputs before, and h = 0.

        **Arguments:** `batch_shape`: the leading axes of `x`, before t; `dtype`: of the state, where `None` that of the
        weights and at least float32.
        **Returns:** `(window, h)`: the last inputs of the convolution, `(*batch_shape, kernel − 1, inner, n, n)`, and
        `(*batch_shape, inner, state, n, n)`.
        """
        if dtype is None:
            dtype = jnp.promote_types(self.A_log.dtype, jnp.float32)
        window = jnp.zeros((*batch_shape, self.kernel - 1, self.inner, self.n, self.n), dtype)
        return window, jnp.zeros((*batch_shape, *self.A_log.shape), dtype)

    def step(
        self,
        carry: tuple[
            Float[AnyArray, "*batch {self.kernel}-1 {self.inner} {self.n} {self.n}"],
            Float[AnyArray, "*batch {self.inner} {self.state} {self.n} {self.n}"],
        ],
        x: Float[AnyArray, "*batch {self.p} {self.n} {self.n}"],
        *,
        key: PRNGKeyArray | None = None,
    ) -> tuple[
        tuple[
            Float[Array, "*batch {self.kernel}-1 {self.inner} {self.n} {self.n}"],
            Float[Array, "*batch {self.inner} {self.state} {self.n} {self.n}"],
        ],
        Float[Array, "*batch {self.q} {self.n} {self.n}"],
    ]:
        """Takes one step, the way a cell does; a layer in reverse steps from the last.

        **Arguments:** `carry`: `(window, h)`, as `initial_carry` gives it; `x`: `(*batch, p, n, n)`; `key`: not used.
        **Returns:** `(carry, y)`, y `(*batch, q, n, n)`; the carry keeps its dtypes.
        **Raises:** `ContractError` if the trailing axes are not those of `initial_carry` and `(p, n, n)`.
        """
        window, h = carry
        u, z = self._branches(x)
        window, u = self._convolved(window, u[..., None, :, :, :], None)
        u = u[..., 0, :, :, :]
        h, y = selective_step(h, u, *self._selected(u))
        return (window, h), self.output_proj(y * silu(z))

    def forward(self, carry: Any, x: Array, lengths: Array | None, key: Array | None) -> tuple[Any, Array]:
        """`run` from the first step on.

        **Arguments:** as for a call.
        **Returns:** `(carry, y)`.
        """
        window, h = carry
        u, z = self._branches(x)
        window, u = self._convolved(window, u, lengths)
        delta, A, B, C, D = self._selected(u)
        if lengths is not None:
            # A step of length 0 leaves the state as it is.
            delta = chosen(valid_steps(lengths, x.shape[-4]), delta, jnp.zeros_like(delta))
        h, y = selective_scan(u, delta, A, B, C, D, h, method=self.method, chunk=self.chunk)
        return (window, h), self.output_proj(y * silu(z))

    def _branches(self, x: AnyArray) -> tuple[Array, Array]:
        u, z = jnp.split(self.input_proj(x), 2, axis=-3)
        return u, z

    def _convolved(self, window: AnyArray, u: Array, lengths: Array | None) -> tuple[Array, Array]:
        window, t = jnp.asarray(window), u.shape[-4]
        if self.conv is None or t == 0:
            return window, silu(u)
        seen = jnp.concatenate([window.astype(u.dtype), u], axis=-4)
        if lengths is None:
            after = seen[..., t:, :, :, :]
        else:
            last = lengths[..., None] + jnp.arange(self.kernel - 1)
            after = jnp.take_along_axis(seen, last[..., None, None, None], axis=-4)
        return after.astype(window.dtype), silu(self.conv(seen))

    def _selected(self, u: Array) -> tuple[Array, Array, Array, Array, Array]:
        """Δ, A, B, C and D, as `selective_scan` takes them."""
        steps, B, C = jnp.split(self.select_proj(u), [self.rank, self.rank + self.state], axis=-3)
        # Small rates and steps next to large ones: in half precision decays near 1 would be 1.
        delta = softplus(widen(self.delta_proj(steps)))
        # Where exp would overflow, a step of 0 would give 0 · ∞.
        return delta, -jnp.exp(jnp.minimum(widen(self.A_log), _LARGEST_LOG)), B, C, self.D


def _step_bias(delta_range: tuple[float, float], bias: Array | None, key: PRNGKeyArray) -> Array:
    """A bias of which softplus is spread evenly over `delta_range`, on a scale of logarithms."""
    least, largest = delta_range
    if not 0 < least <= largest:
        raise ValueError(f"`delta_range` (={delta_range}) must be 0 < least <= largest: choose such as (0.001, 0.1).")
    shape, dtype = (bias.shape, bias.dtype) if bias is not None else ((), None)
    steps = jnp.exp(jax.random.uniform(key, shape, minval=math.log(least), maxval=math.log(largest)))
    # softplus⁻¹(x) = log(eˣ − 1), which overflows for large x.
    return (steps + jnp.log(-jnp.expm1(-steps))).astype(dtype)
