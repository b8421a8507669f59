"""`matrix_conv1d`, `matrix_conv2d`, `matrix_conv3d`: convolutions whose kernels are matrices."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.conv_gradient import convolve
from matrinox.functional.window import Padding, Sizes, pad_pairs, per_axis, require_fit
from matrinox.params import MatrixParams


@contract
def matrix_conv1d(
    params: MatrixParams,
    x: Float[AnyArray, "*batch t p={max(groups,1)}*{params.p} {params.n} {params.n}"],
    *,
    stride: Sizes = 1,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    groups: int = 1,
) -> Float[Array, "*batch _ {params.q} {params.n} {params.n}"]:
    """Convolution of a sequence of matrix neurons: `y_t,q = Σ_r,p W_qp,r @ x_(t+r),p + B_q`.

    **Arguments:** `params`: `W` `(q, p / groups, r, n, n)`, `B` `(q, n, n)` or `None`; `x`: `(*batch, t, p, n, n)`;
    `stride`, `dilation`: an int, or one in a tuple; `padding`: `"VALID"`; `"SAME"`, which puts (e − 1) // 2 zero
    neurons before and the rest of e − 1 after, for a kernel of extent e = dilation · (r − 1) + 1; an int for both
    sides; or `((before, after),)`; `groups`: neurons in and out fall into so many groups in order, and each group
    sees its own: x has `groups · params.p` neurons.
    **Returns:** `(*batch, t', q, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(t, p, n, n)`, or if `W` has not one kernel axis;
    `ValueError` for a size or `groups` below 1, for a `q` that `groups` does not divide, for padding that is negative
    or of a wrong name or count, and for a kernel longer than the padded axis.
    **Source:** MATNETS 1.1.0, `matrix_conv1d`.
    """
    return _matrix_conv(params, jnp.asarray(x), 1, stride, padding, dilation, groups)


@contract
def matrix_conv2d(
    params: MatrixParams,
    x: Float[AnyArray, "*batch h w p={max(groups,1)}*{params.p} {params.n} {params.n}"],
    *,
    stride: Sizes = 1,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    groups: int = 1,
) -> Float[Array, "*batch _ _ {params.q} {params.n} {params.n}"]:
    """Convolution of an image of matrix neurons: `y_hw,q = Σ_ij,p W_qp,ij @ x_(h+i)(w+j),p + B_q`.

    **Arguments:** `params`: `W` `(q, p / groups, h, w, n, n)`, `B` `(q, n, n)` or `None`; `x`:
    `(*batch, h, w, p, n, n)`; `stride`, `dilation`: an int, or one for each axis; `padding`: `"VALID"`; `"SAME"`, which
    puts (e − 1) // 2 zero neurons before and the rest of e − 1 after, for a kernel of extent
    e = dilation · (size − 1) + 1; an int for all sides; or an int or a pair `(before, after)` for each axis; `groups`:
    neurons in and out fall into so many groups in order, and each group sees its own: x has `groups · params.p`
    neurons.
    **Returns:** `(*batch, h', w', q, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(h, w, p, n, n)`, or if `W` has not two kernel
    axes; `ValueError` for a size or `groups` below 1, for a `q` that `groups` does not divide, for padding that is
    negative or of a wrong name or count, and for a kernel longer than a padded axis.
    **Source:** MATNETS 1.1.0, `matrix_conv2d`.
    """
    return _matrix_conv(params, jnp.asarray(x), 2, stride, padding, dilation, groups)


@contract
def matrix_conv3d(
    params: MatrixParams,
    x: Float[AnyArray, "*batch d h w p={max(groups,1)}*{params.p} {params.n} {params.n}"],
    *,
    stride: Sizes = 1,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    groups: int = 1,
) -> Float[Array, "*batch _ _ _ {params.q} {params.n} {params.n}"]:
    """Convolution of a volume of matrix neurons: `y_dhw,q = Σ_ijk,p W_qp,ijk @ x_(d+i)(h+j)(w+k),p + B_q`.

    **Arguments:** `params`: `W` `(q, p / groups, d, h, w, n, n)`, `B` `(q, n, n)` or `None`; `x`:
    `(*batch, d, h, w, p, n, n)`; `stride`, `padding`, `dilation`, `groups`: as for `matrix_conv2d`, for three axes.
    **Returns:** `(*batch, d', h', w', q, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(d, h, w, p, n, n)`, or if `W` has not three kernel
    axes; `ValueError` as `matrix_conv2d`.
    **Source:** MATNETS 1.1.0, `matrix_conv2d`, in three dimensions.
    """
    return _matrix_conv(params, jnp.asarray(x), 3, stride, padding, dilation, groups)


def require_groups(groups: int, **neurons: int) -> None:
    """Refuses a `groups` below 1, or one that does not divide the counts of neurons.

    **Arguments:** `groups`; the counts, by the names to give them in the message.
    **Raises:** `ValueError`, naming the first at fault.
    """
    if groups < 1:
        raise ValueError(f"`groups` (={groups}) must be at least 1: choose 1 for a single group.")
    for name, count in neurons.items():
        if count % groups:
            raise ValueError(
                f"`{name}` (={count}) must be divisible by `groups` (={groups}): "
                f"choose `{name}` as a multiple of {groups}."
            )


def _matrix_conv(
    params: MatrixParams, x: Array, axes: int, stride: Sizes, padding: Padding, dilation: Sizes, groups: int
) -> Array:
    params.require_kernel(axes)
    require_groups(groups, q=params.q)
    strides, dilations = per_axis("stride", stride, axes), per_axis("dilation", dilation, axes)
    extents = [(size - 1) * step + 1 for size, step in zip(params.kernel, dilations, strict=True)]
    pairs = pad_pairs(padding, extents)
    space = x.shape[-3 - axes : -3]
    require_fit("kernel", extents, space, pairs)
    dtype = jnp.result_type(x, params.W)
    y = convolve(
        _fold(x.astype(dtype), axes),
        _fold_kernel(params.W.astype(dtype)),
        stride=strides,
        padding=pairs,
        dilation=dilations,
        groups=groups,
    )
    y = _unfold(y, x.shape[: -3 - axes], params.q, params.n)
    return y if params.B is None else y + params.B


def _fold(x: Array, axes: int) -> Array:
    """`(*batch, *space, p, n, n)` to `(batch · n, *space, p · n)`: each column is an example of its own."""
    n = x.shape[-1]
    x = x.reshape(-1, *x.shape[-3 - axes : -3], x.shape[-3] * n, n)
    x = jnp.moveaxis(x, -1, 1)
    return x.reshape(-1, *x.shape[2:])


def _fold_kernel(W: Array) -> Array:
    """`(q, p, *kernel, n, n)` to `(*kernel, p · n, q · n)`."""
    q, p, *kernel, n, _ = W.shape
    W = jnp.moveaxis(W, (1, -1, 0, -2), (-4, -3, -2, -1))
    return W.reshape(*kernel, p * n, q * n)


def _unfold(y: Array, batch: tuple[int, ...], q: int, n: int) -> Array:
    y = y.reshape(-1, n, *y.shape[1:-1], q, n)
    y = jnp.moveaxis(y, 1, -1)
    return y.reshape(*batch, *y.shape[1:])
