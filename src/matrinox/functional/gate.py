"""`invariant_gate`: neurons scaled by numbers that do not depend on the basis."""

import math
from collections.abc import Callable
from typing import Literal

import jax.numpy as jnp
from jax import Array
from jaxtyping import Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.activation import sigmoid
from matrinox.functional.invariant import determinant_ratios, trace_powers
from matrinox.functional.precision import widen
from matrinox.functional.readout import frobenius_norm

Invariant = Literal["trace_powers", "determinant_ratios", "squared_determinant_ratios", "frobenius_norm"]
"""What a gate is told of the neurons, each of mean square about 1 where entries have variance 1."""


@contract
def invariant_gate(
    weight: Float[AnyArray, "p p powers"],
    x: Float[AnyArray, "*batch p n n"],
    bias: Float[AnyArray, "p"] | None = None,
    *,
    invariant: Invariant = "trace_powers",
    activation: Callable[[Array], Array] = sigmoid,
) -> Float[Array, "*batch p n n"]:
    """Each neuron times a number that invariants s of all neurons give: `Y_p = X_p · f(Σ_r,k w_prk s_rk + b_p)`.

    It commutes with what leaves the invariants alone:

    - `"trace_powers"`, `tr X^k / (√k · n^(k/2))`: with `X -> G X G⁻¹`, G invertible;
    - `"squared_determinant_ratios"`, `√p · d²` of `determinant_ratios`, from which their mean is subtracted: with
      `X -> G X H`, G and H invertible, so that f(X G) = f(X) G;
    - `"determinant_ratios"`, `√p · d`: the same for det G · det H > 0;
    - `"frobenius_norm"`, `‖X‖_F / n`: with `X -> U X V`, U and V orthogonal.

    **Arguments:** `weight`: `(p, p, powers)`, with one power but for `"trace_powers"`; `x`: `(*batch, p, n, n)`;
    `bias`: `(p)`; `invariant`: one of these; `activation`: f, of each number by itself.
    **Returns:** `(*batch, p, n, n)`, of the dtype that the inputs have in common; half precision is computed in
    float32.
    **Raises:** `ContractError` if the shapes do not fit; `ValueError` for more than one power of an invariant that has
    one.
    **Source:** Favoni et al. 2022, arXiv 2012.12901, L-Act, of which the invariant is the trace.
    """
    weight, x = jnp.asarray(weight), jnp.asarray(x)
    wide = widen(x)
    known = _invariants(wide, invariant, weight.shape[-1])
    logits = jnp.einsum("prk,...rk->...p", widen(weight), known, precision="highest")
    if bias is not None:
        logits = logits + bias
    dtype = jnp.result_type(weight, x) if bias is None else jnp.result_type(weight, x, bias)
    return (wide * activation(logits)[..., None, None]).astype(dtype)


def require_powers(invariant: Invariant, powers: int) -> None:
    """Refuses more than one power of an invariant that has one.

    **Raises:** `ValueError`.
    """
    if invariant != "trace_powers" and powers != 1:
        raise ValueError(
            f"`powers` (={powers}) must be 1 for `invariant` (={invariant!r}): choose 'trace_powers' for more."
        )


def _invariants(x: Array, invariant: Invariant, powers: int) -> Array:
    """`(*batch, p, n, n)` to `(*batch, p, powers)`."""
    require_powers(invariant, powers)
    p, _, n = x.shape[-3:]
    if invariant == "trace_powers":
        return trace_powers(x, powers, scaled=True)
    if invariant == "frobenius_norm":
        return frobenius_norm(x)[..., None] / n
    ratios = determinant_ratios(x)[..., None]
    if invariant == "determinant_ratios":
        return math.sqrt(p) * ratios
    return math.sqrt(p) * (jnp.square(ratios) - 1 / p)
