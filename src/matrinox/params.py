"""`MatrixParams`, the pair of weight and bias that `matrinox.functional` computes with, and `init`, its plain start."""

import equinox as eqx
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, ContractError, contract
from matrinox.initializers import glorot_uniform

_KERNEL = {0: "", 1: "r, ", 2: "kernel_h, kernel_w, ", 3: "kernel_d, kernel_h, kernel_w, "}


@contract
class MatrixParams(eqx.Module):
    """Weight and bias of a map between matrix neurons, such as `y_q = Σ_p W_qp @ x_p + B_q`.

    **Arguments:** `W`: `(q, p, *kernel, n, n)`, with no kernel axes for a dense layer; `B`: `(q, n, n)`, or `None`
    for no bias.
    **Raises:** `ContractError` if `W` is not square in its last two axes, or if `B` has another `q` or `n`.
    **Source:** MATNETS 1.1.0, `MatrixParams`.
    """

    W: Float[Array, "q p *kernel n n"]
    B: Float[Array, "q n n"] | None

    def __init__(self, W: Float[AnyArray, "q p *kernel n n"], B: Float[AnyArray, "q n n"] | None = None):
        self.W = jnp.asarray(W)
        self.B = None if B is None else jnp.asarray(B)

    @property
    def p(self) -> int:
        """Neurons in; with `groups`, neurons in of each group."""
        return self.W.shape[1]

    @property
    def q(self) -> int:
        """Neurons out."""
        return self.W.shape[0]

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.W.shape[-1]

    @property
    def kernel(self) -> tuple[int, ...]:
        """Sizes of the kernel axes; `()` for a dense weight."""
        return self.W.shape[2:-2]

    def require_kernel(self, axes: int, taker: str = "matrix_conv") -> None:
        """Refuses a weight whose count of kernel axes is not `axes`.

        **Arguments:** `axes`: 0 for a dense weight, 1 to 3 for a convolution; `taker`: the functions that take kernels
        of 1 to 3 axes, by the name that they share.
        **Raises:** `ContractError`, naming the function that takes this weight.
        """
        found = len(self.kernel)
        if found != axes:
            names = {0: "dense"} | {count: f"{taker}{count}d" for count in (1, 2, 3)}
            where = f"use `{names[found]}`" if found in names else "give it fewer kernel axes"
            raise ContractError(
                f"`{names[axes]}` takes W (q, p, {_KERNEL[axes]}n, n), got W {self.W.shape} with "
                f"{found} kernel {'axis' if found == 1 else 'axes'}: {where}."
            )


@contract
def init(key: PRNGKeyArray, p: int, q: int, n: int, *, dtype: DTypeLike = jnp.float32) -> MatrixParams:
    """Dense parameters to start from: Glorot-uniform `W` within `±sqrt(6 / (p n + q n))`, and `B = 0`.

    **Arguments:** `key`: one key; `p`, `q`, `n`: neurons in, neurons out and matrix side, each at least 1;
    `dtype`: of both arrays.
    **Returns:** `MatrixParams` with `W` `(q, p, n, n)` and `B` `(q, n, n)`.
    **Raises:** `ValueError` for a size below 1, or for a `dtype` that is not of floats.
    **Source:** MATNETS 1.1.0, `init`.
    """
    for name, size in (("p", p), ("q", q), ("n", n)):
        if size < 1:
            raise ValueError(f"`{name}` (={size}) must be at least 1: choose a positive number.")
    W = glorot_uniform(key, (q, p, n, n), dtype)
    return MatrixParams(W=W, B=jnp.zeros((q, n, n), W.dtype))
