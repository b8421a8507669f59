"""Maps that commute with `X -> G X G⁻¹`: of first degree, `conjugation_dense`, and second, `conjugation_bilinear`."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.precision import Precision, require_precision, widen


@contract
def conjugation_dense(
    weight: Float[AnyArray, "q p"],
    trace_weight: Float[AnyArray, "q p"],
    x: Float[AnyArray, "*batch p n n"],
    bias: Float[AnyArray, "q"] | None = None,
    *,
    precision: Precision = "highest",
) -> Float[Array, "*batch q n n"]:
    """Mixes neurons and their traces: `Y_q = Σ_p (w_qp (X_p − t_p I) + v_qp t_p I) + b_q I`, with `t_p = tr X_p / n`.

    For `G X_p G⁻¹` with any invertible G it gives `G Y_q G⁻¹`. Every affine map that does so can be written like this:
    conjugation leaves two spaces alone, matrices without trace and multiples of I, and each has its own weights. For
    n = 1 there are no matrices without trace: w has no part in it, and no gradient.

    **Arguments:** `weight`: w, `(q, p)`; `trace_weight`: v, `(q, p)`; `x`: `(*batch, p, n, n)`; `bias`: b, `(q)`;
    `precision`: as for `dense`; the law holds to rounding in the precision chosen.
    **Returns:** `(*batch, q, n, n)`, of the dtype that the inputs have in common; sums of half precision are taken in
    float32.
    **Raises:** `ContractError` if the shapes do not fit; `ValueError` for an unknown `precision`.
    **Source:** Schur's lemma; Lin et al. 2024, arXiv 2310.04521, LN-Linear, for matrices without trace.
    """
    require_precision(precision)
    weight, trace_weight, x = jnp.asarray(weight), jnp.asarray(trace_weight), jnp.asarray(x)
    n, dtype = x.shape[-1], jnp.result_type(weight, trace_weight, x)
    mixed = jnp.einsum("qp,...pij->...qij", widen(weight), widen(x), precision=precision)
    means = jnp.trace(widen(x), axis1=-2, axis2=-1) / n
    scalars = jnp.einsum("qp,...p->...q", widen(trace_weight) - widen(weight), means, precision=precision)
    if bias is not None:
        scalars, dtype = scalars + bias, jnp.result_type(dtype, bias)
    return (mixed + scalars[..., None, None] * jnp.eye(n, dtype=mixed.dtype)).astype(dtype)


@contract
def conjugation_bilinear(
    left: Float[AnyArray, "q p rank"],
    right: Float[AnyArray, "q p rank"],
    x: Float[AnyArray, "*batch p n n"],
    *,
    commutator: bool = False,
    precision: Precision = "highest",
) -> Float[Array, "*batch q n n"]:
    """Products of mixed neurons: `Y_q = Σ_k A_qk @ B_qk`, with `A_qk = Σ_p u_qpk X_p` and `B_qk = Σ_p v_qpk X_p`.

    For `G X_p G⁻¹` with any invertible G it gives `G Y_q G⁻¹`. The rank is a dial: at p every sum of products of two
    neurons, `Σ_p,r c_qpr X_p @ X_r`, can be written so.

    **Arguments:** `left`, `right`: u and v, `(q, p, rank)`; `x`: `(*batch, p, n, n)`; `commutator`: take
    `A @ B − B @ A` in place of `A @ B`, which is 0 for a single neuron and has trace 0; `precision`: as for `dense`;
    the law holds to rounding in the precision chosen.
    **Returns:** `(*batch, q, n, n)`, of the dtype that the inputs have in common; half precision is computed in
    float32.
    **Raises:** `ContractError` if the shapes do not fit; `ValueError` for an unknown `precision`.
    **Source:** Favoni et al. 2022, arXiv 2012.12901, L-Bilin; Lin et al. 2024, arXiv 2310.04521, LN-Bracket.
    """
    require_precision(precision)
    left, right, x = jnp.asarray(left), jnp.asarray(right), jnp.asarray(x)
    A, B = (jnp.einsum("qpk,...pij->...qkij", widen(weight), widen(x), precision=precision) for weight in (left, right))
    y = jnp.einsum("...qkij,...qkjl->...qil", A, B, precision=precision)
    if commutator:
        y = y - jnp.einsum("...qkij,...qkjl->...qil", B, A, precision=precision)
    return y.astype(jnp.result_type(left, right, x))
