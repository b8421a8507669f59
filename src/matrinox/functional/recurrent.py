"""Steps of recurrent cells, `(carry, x) -> (carry, y)`, as `jax.lax.scan` takes them.

Gates are fused: one `MatrixParams` holds those of all gates one after another, and one product of the concatenation
`[h, x]` gives them all. Where the sequence is known beforehand, `input_gates` takes the part of the input out of the
loop, or `projection` lays out its weights for it, and the `_advance` functions go on from there. Those take any number
m of columns, `(*batch, q, n, m)`: where all is done by entries columns never meet, and a batch is one state of
`batch · n` columns, which no step has to transpose.
"""

from collections.abc import Callable, Mapping
from typing import Literal, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, ContractError, contract
from matrinox.contract.nearest import nearest
from matrinox.functional.activation import elu, gelu, identity, leaky_relu, relu, sigmoid, silu, softplus, tanh
from matrinox.functional.dense import dense
from matrinox.functional.precision import widen
from matrinox.params import MatrixParams

Activation: TypeAlias = Callable[[Array], Array]
Gating = Literal["hadamard", "matmul", "raw_matmul"]
"""How an LSTM's gates act on its state: by entries, as normalised matrices, or as the matrices they are."""

GateParams: TypeAlias = MatrixParams | Mapping[str, MatrixParams]
"""Weights and biases of all gates: fused, or one for each gate by name."""

_BY_ENTRIES = (
    *(identity, relu, leaky_relu, elu, gelu, silu, sigmoid, softplus, tanh),
    *(jnp.tanh, jnp.sin, jax.nn.relu, jax.nn.leaky_relu, jax.nn.elu, jax.nn.gelu, jax.nn.silu, jax.nn.sigmoid),
    *(jax.nn.softplus, jax.nn.hard_sigmoid, jax.nn.hard_tanh),
)
_Product: TypeAlias = Callable[[Array, int], Array]
"""The gates of a part, from the hidden state that they see: z and r of a GRU see another than n."""


@contract
def rnn_step(
    params: MatrixParams,
    carry: Float[AnyArray, "*batch {carried(params,1)}"],
    x: Float[AnyArray, "*batch {taken(params,1)}"],
    *,
    activation: Activation = jnp.tanh,
) -> tuple[Float[Array, "*batch {carried(params,1)}"], Float[Array, "*batch {carried(params,1)}"]]:
    """Simple recurrent step: `h' = f(W [h, x] + B)`.

    **Arguments:** `params`: `W` `(q, q + p, n, n)`, `B` `(q, n, n)` or `None`; `carry`: h, `(*batch, q, n, n)`; `x`:
    `(*batch, p, n, n)`; `activation`: f, which keeps the shape.
    **Returns:** `(carry, y)`, both `h'` `(*batch, q, n, n)`: the carry of the dtype it came in, y of that which `x` and
    `params` have in common.
    **Raises:** `ContractError` if the trailing axes are not `(q, n, n)` and `(p, n, n)`.
    **Source:** MATNETS 1.1.0, `rnn_step`; Elman 1990.
    """
    fused = _fused(params, "h")
    return _rnn(_joined(fused, x), carry, activation, _dtype(fused, x))


@contract
def lstm_step(
    params: GateParams,
    carry: tuple[Float[AnyArray, "*batch {carried(params,4)}"], Float[AnyArray, "*batch {carried(params,4)}"]],
    x: Float[AnyArray, "*batch {taken(params,4)}"],
    *,
    activations: tuple[Activation, Activation] = (sigmoid, jnp.tanh),
    gating: Gating = "hadamard",
) -> tuple[
    tuple[Float[Array, "*batch {carried(params,4)}"], Float[Array, "*batch {carried(params,4)}"]],
    Float[Array, "*batch {carried(params,4)}"],
]:
    """Long short-term memory: `c' = f ∘ c + i ∘ g`, `h' = o ∘ tanh(c')`.

    The gates i, f, o are σ, and g is tanh, of `W [h, x] + B`. `gating` says what `∘` is. `"hadamard"`: the product of
    entries. `"raw_matmul"`: the matrix product; a forget gate of entries about ½ then has spectral radius about n / 2,
    and the state explodes from n = 3 on. `"matmul"`: the matrix product with gates of normalised rows,
    `G_ij / (1 + Σ_(k≠j) |G_ik|)`: the sizes in a row sum to at most 1, so that no step adds more than 1 to the largest
    entry of the state, while a gate can still be I, or 0. At n = 1 `"matmul"` is `"hadamard"`.

    **Arguments:** `params`: `W` `(4q, q + p, n, n)` and `B` `(4q, n, n)` or `None`, the gates in the order i, f, g, o;
    or a `MatrixParams` for each of `"i"`, `"f"`, `"g"`, `"o"`; `carry`: `(h, c)`, each `(*batch, q, n, n)`; `x`:
    `(*batch, p, n, n)`; `activations`: σ of the gates and tanh of the state, which keep the shape.
    **Returns:** `(carry, y)`, y being `h'` `(*batch, q, n, n)`: the carry of the dtypes it came in, y of that which `x`
    and `params` have in common.
    **Raises:** `ContractError` if the trailing axes are not `(q, n, n)` and `(p, n, n)`, for gates that are missing,
    unknown or of different shapes, and if 4 does not divide those of `W`; `ContractError` for an unknown `gating`.
    **Source:** MATNETS 1.1.0, `lstm_step`, and with `"raw_matmul"` MATNETS 3.2.5; Hochreiter and Schmidhuber 1997.
    """
    fused = _fused(params, "ifgo")
    return _lstm(_joined(fused, x), carry, activations, gating, _dtype(fused, x))


@contract
def gru_step(
    params: GateParams,
    carry: Float[AnyArray, "*batch {carried(params,3)}"],
    x: Float[AnyArray, "*batch {taken(params,3)}"],
    *,
    reset_after: bool = False,
    hidden_bias: Float[AnyArray, "{carried(params,3)}"] | None = None,  # pyright: ignore[reportUndefinedVariable]
) -> tuple[Float[Array, "*batch {carried(params,3)}"], Float[Array, "*batch {carried(params,3)}"]]:
    """Gated recurrent unit: `h' = (1 − z) n + z h`, all by entries.

    The gates z and r are σ of `W [h, x] + B`, and the candidate n is tanh of `W [r h, x] + B`.

    **Arguments:** `params`: `W` `(3q, q + p, n, n)` and `B` `(3q, n, n)` or `None`, the gates in the order z, r, n; or
    a `MatrixParams` for each of `"z"`, `"r"`, `"n"`; `carry`: h, `(*batch, q, n, n)`; `x`: `(*batch, p, n, n)`;
    `reset_after`: r multiplies the product with h instead, `n = tanh(W_x x + B + r (W_h h + B_h))`, which takes one
    product a step less; `hidden_bias`: `B_h` `(q, n, n)`, for `reset_after`.
    **Returns:** `(carry, y)`, both `h'` `(*batch, q, n, n)`: the carry of the dtype it came in, y of that which `x` and
    `params` have in common.
    **Raises:** `ContractError` if the trailing axes are not `(q, n, n)` and `(p, n, n)`, for gates that are missing,
    unknown or of different shapes, and if 3 does not divide those of `W`; `ValueError` for a `hidden_bias` without
    `reset_after`.
    **Source:** MATNETS 1.1.0, `gru_step`; Cho et al. 2014; `reset_after` is the form of cuDNN and of `eqx.nn.GRUCell`.
    """
    fused = _fused(params, "zrn")
    if reset_after:
        return gru_advance(hidden_weights(fused, 3), carry, input_gates(fused, x, 3), hidden_bias)
    if hidden_bias is not None:
        raise ValueError(
            "`hidden_bias` must be None without `reset_after`: there it is the same as the bias of the gate n."
        )
    return _gru(_joined(fused, x, 2 * fused.q // 3), carry, _dtype(fused, x))


def input_gates(params: MatrixParams, x: AnyArray, gates: int) -> Array:
    """The input's part of all gates, bias included, `W_x x + B`: `(*batch, p, n, n)` to `(*batch, gates · q, n, n)`."""
    return dense(MatrixParams(params.W[:, params.q // gates :], params.B), x)


def hidden_weights(params: MatrixParams, gates: int, *ends: int) -> tuple[Array, ...]:
    """What of `W` multiplies h, `(gates · q, n, q · n)`: a matrix for each neuron out.

    To be taken before a loop: sliced and transposed within, the gradient would undo both at every step.

    **Arguments:** `params`; `gates`: how many they hold; `ends`: the gates before which to cut it in parts.
    """
    q = params.q // gates
    return tuple(jnp.split(_rows(params.W[:, :q]), [q * end for end in ends]))


def projection(params: MatrixParams, gates: int, columns: int) -> Callable[[Array], Array]:
    """`input_gates` for so many columns, `(p, n, columns)` to `(gates · q, n, columns)`, to be called within a loop.

    Weight and bias are laid out here, before it, as `hidden_weights` are.
    """
    weight = _rows(params.W[:, params.q // gates :])
    bias = None if params.B is None else jnp.tile(params.B, (1, 1, columns // params.n))

    def project(x: Array) -> Array:
        dtype = _dtype(params, x)
        given = _mapped(weight, x.astype(dtype))
        return (given if bias is None else given + widen(bias)).astype(dtype)

    return project


def works_by_entries(*activations: Activation) -> bool:
    """Whether each is known to treat every entry by itself, in whatever shape."""
    return all(any(activation is known for known in _BY_ENTRIES) for activation in activations)


def rnn_advance(
    weights: tuple[Array, ...], carry: AnyArray, gates: Array, activation: Activation
) -> tuple[Array, Array]:
    """`rnn_step` from the `input_gates` on, with its `hidden_weights`."""
    return _rnn(_split(weights, gates), carry, activation, gates.dtype)


def lstm_advance(
    weights: tuple[Array, ...],
    carry: tuple[AnyArray, AnyArray],
    gates: Array,
    activations: tuple[Activation, Activation],
    gating: Gating,
) -> tuple[tuple[Array, Array], Array]:
    """`lstm_step` from the `input_gates` on, with its `hidden_weights`."""
    return _lstm(_split(weights, gates), carry, activations, gating, gates.dtype)


def gru_advance(
    weights: tuple[Array, ...], carry: AnyArray, gates: Array, hidden_bias: AnyArray | None
) -> tuple[Array, Array]:
    """`gru_step` from the `input_gates` on, with its `hidden_weights`: cut before n, or whole for `reset_after`."""
    if len(weights) == 2:
        return _gru(_split(weights, gates), carry, gates.dtype)
    q = gates.shape[-3] // 3
    hidden = _mapped(weights[0], jnp.asarray(carry, gates.dtype))
    given = widen(gates)
    z, r = jnp.split(sigmoid(given[..., : 2 * q, :, :] + hidden[..., : 2 * q, :, :]), 2, axis=-3)
    recalled = hidden[..., 2 * q :, :, :]
    if hidden_bias is not None:
        recalled = recalled + jnp.tile(hidden_bias, (1, 1, recalled.shape[-1] // hidden_bias.shape[-1]))
    return _interpolated(z, tanh(given[..., 2 * q :, :, :] + r * recalled), carry, gates.dtype)


def _rnn(product: _Product, carry: AnyArray, activation: Activation, dtype: np.dtype) -> tuple[Array, Array]:
    carry = jnp.asarray(carry)
    h = activation(product(carry, 0))
    return h.astype(carry.dtype), h.astype(dtype)


def _lstm(
    product: _Product,
    carry: tuple[AnyArray, AnyArray],
    activations: tuple[Activation, Activation],
    gating: Gating,
    dtype: np.dtype,
) -> tuple[tuple[Array, Array], Array]:
    h, c = map(jnp.asarray, carry)
    gate, state = activations
    i, f, g, o = jnp.split(product(h, 0), 4, axis=-3)
    act = _GATINGS[gating]
    # The sum runs over all of time: in half precision it would stop growing.
    memory = act(gate(f), widen(c)) + act(gate(i), state(g))
    output = act(gate(o), state(memory))
    return (output.astype(h.dtype), memory.astype(c.dtype)), output.astype(dtype)


def _gru(product: _Product, carry: AnyArray, dtype: np.dtype) -> tuple[Array, Array]:
    h = jnp.asarray(carry)
    z, r = jnp.split(sigmoid(product(h, 0)), 2, axis=-3)
    return _interpolated(z, tanh(product(r * widen(h), 1)), carry, dtype)


def _interpolated(z: Array, n: Array, carry: AnyArray, dtype: np.dtype) -> tuple[Array, Array]:
    carry = jnp.asarray(carry)
    h = (1 - z) * n + z * widen(carry)
    return h.astype(carry.dtype), h.astype(dtype)


def _joined(params: MatrixParams, x: AnyArray, *ends: int) -> _Product:
    dtype = _dtype(params, x)
    weights = jnp.split(jnp.asarray(params.W), ends)
    biases = [None] * len(weights) if params.B is None else jnp.split(jnp.asarray(params.B), ends)

    def product(h: Array, part: int) -> Array:
        joined = jnp.concatenate([h.astype(dtype), jnp.asarray(x, dtype)], axis=-3)
        return widen(dense(MatrixParams(weights[part], biases[part]), joined))

    return product


def _split(weights: tuple[Array, ...], gates: Array) -> _Product:
    given = jnp.split(gates, [len(weight) for weight in weights[:-1]], axis=-3)

    def product(h: Array, part: int) -> Array:
        return _mapped(weights[part], h.astype(gates.dtype)) + widen(given[part])

    return product


def _rows(W: AnyArray) -> Array:
    """`(q, p, n, n)` to `(q, n, p · n)`, what makes each row of a neuron out."""
    return jnp.swapaxes(W, 1, 2).reshape(W.shape[0], W.shape[-2], -1)


def _mapped(weight: Array, x: Array) -> Array:
    columns = x.reshape(*x.shape[:-3], weight.shape[-1], x.shape[-1])
    return widen(jnp.einsum("qak,...km->...qam", weight.astype(x.dtype), columns))


def _dtype(params: MatrixParams, x: AnyArray) -> np.dtype:
    return jnp.result_type(x, params.W, *(() if params.B is None else (params.B,)))


def _row_normalised(gate: Array) -> Array:
    size = jnp.abs(gate)
    return gate / (1 + jnp.sum(size, axis=-1, keepdims=True) - size)


def _hadamard(gate: Array, state: Array) -> Array:
    return gate * state


def _matmul(gate: Array, state: Array) -> Array:
    return jnp.matmul(_row_normalised(gate), state)


_GATINGS: dict[str, Callable[[Array, Array], Array]] = {
    "hadamard": _hadamard,
    "matmul": _matmul,
    "raw_matmul": jnp.matmul,
}


def _sizes(params: GateParams, gates: int) -> tuple[int, int, int] | None:
    """q, p and n; `None` where `_fused` will say what is wrong."""
    if isinstance(params, Mapping):
        first = next(iter(params.values()), None)
        if not isinstance(first, MatrixParams):
            return None
        (rows, rest), columns, n = (first.q, 0), first.p, first.n
    else:
        (rows, rest), columns, n = divmod(params.q, gates), params.p, params.n
    return (rows, columns - rows, n) if 0 < rows < columns and not rest else None


def carried(params: GateParams, gates: int) -> str:
    """The axes of a carry, for annotations."""
    sizes = _sizes(params, gates)
    return "q n n" if sizes is None else f"q={sizes[0]} n={sizes[2]} n={sizes[2]}"


def taken(params: GateParams, gates: int) -> str:
    """The axes of an input, for annotations."""
    sizes = _sizes(params, gates)
    return "p n n" if sizes is None else f"p={sizes[1]} n={sizes[2]} n={sizes[2]}"


def _fused(params: GateParams, gates: str) -> MatrixParams:
    if isinstance(params, Mapping):
        params = _of_each_gate(params, gates)
    params.require_kernel(0)
    q, rest = divmod(params.q, len(gates))
    if rest:
        raise ContractError(
            f"`params.W` (={params.W.shape}) must hold {len(gates)} gates, {', '.join(gates)}, one after another: make "
            f"its axis 0 a multiple of {len(gates)}."
        )
    if params.p <= q:
        raise ContractError(
            f"`params.W` (={params.W.shape}) must take [h, x], with h of q={q} neurons: give it q + p on axis 1."
        )
    return params


def _of_each_gate(params: Mapping[str, MatrixParams], gates: str) -> MatrixParams:
    for name in params:
        if name not in gates or len(name) != 1:
            raise ContractError(
                f"`params` (={{{', '.join(map(repr, params))}}}) must have the gates {', '.join(gates)}: {name!r} is "
                f"none, did you mean {nearest(name, gates)!r}?"
            )
    missing = [name for name in gates if name not in params]
    if missing:
        raise ContractError(
            f"`params` (={{{', '.join(map(repr, params))}}}) must have the gates {', '.join(gates)}: add "
            f"{', '.join(map(repr, missing))}."
        )
    for name, one in params.items():
        if not isinstance(one, MatrixParams):
            raise ContractError(
                f"`params[{name!r}]` (={one!r}) must be a MatrixParams: give each gate a weight and a bias of its own."
            )
    first = params[gates[0]]
    for name in gates[1:]:
        if params[name].W.shape != first.W.shape:
            raise ContractError(
                f"`params[{name!r}].W` (={params[name].W.shape}) must have the shape of `params[{gates[0]!r}].W` "
                f"(={first.W.shape}): gates act on the same [h, x]."
            )
    each = [params[name] for name in gates]
    W = jnp.concatenate([one.W for one in each])
    if all(one.B is None for one in each):
        return MatrixParams(W)
    return MatrixParams(
        W,
        jnp.concatenate(
            [jnp.zeros(one.W.shape[:1] + one.W.shape[-2:], one.W.dtype) if one.B is None else one.B for one in each]
        ),
    )
