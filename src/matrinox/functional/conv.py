"""`matrix_conv1d`, `matrix_conv2d`, `matrix_conv3d`: convolutions whose kernels are matrices."""

from math import prod

import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.conv_gradient import Geometry, convolve
from matrinox.functional.layout import (
    Layout,
    axes_given,  # noqa: F401 - the annotations name it
    axes_taken,  # noqa: F401 - the annotations name it
    from_channel_last,
    layouts_of,
    to_channel_last,
)
from matrinox.functional.precision import Precision, require_precision, sum_dtype_of
from matrinox.functional.window import Padding, Sizes, pad_pairs, per_axis, require_fit, spread_size
from matrinox.params import MatrixParams


@contract
def matrix_conv1d(
    params: MatrixParams,
    x: Float[AnyArray, "*batch {axes_taken(1,layout,max(groups,1)*params.p,params.n,batch_groups)}"],
    *,
    stride: Sizes = 1,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
    groups: int = 1,
    batch_groups: int = 1,
    layout: Layout = "channel_last",
    precision: Precision = None,
    accumulation_dtype: DTypeLike | None = None,
) -> Float[Array, "*batch {axes_given(1,layout,params.q,params.n,batch_groups)}"]:
    """Convolution of a sequence of matrix neurons: `y_t,q = Σ_r,p W_qp,r @ x_(t+r),p + B_q`.

    **Arguments:** `params`: `W` `(q, p / groups, r, n, n)`, `B` `(q, n, n)` or `None`; `x`: `(*batch, t, p, n, n)`;
    the options as for `matrix_conv2d`, for one axis.
    **Returns:** `(*batch, t', q, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(t, p, n, n)`, or if `W` has not one kernel axis;
    `ValueError` as `matrix_conv2d`.
    **Source:** MATNETS 1.1.0, `matrix_conv1d`.
    """
    steps = (stride, dilation, input_dilation)
    return _matrix_conv(1, params, x, steps, padding, groups, batch_groups, layout, precision, accumulation_dtype)


@contract
def matrix_conv2d(
    params: MatrixParams,
    x: Float[AnyArray, "*batch {axes_taken(2,layout,max(groups,1)*params.p,params.n,batch_groups)}"],
    *,
    stride: Sizes = 1,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
    groups: int = 1,
    batch_groups: int = 1,
    layout: Layout = "channel_last",
    precision: Precision = None,
    accumulation_dtype: DTypeLike | None = None,
) -> Float[Array, "*batch {axes_given(2,layout,params.q,params.n,batch_groups)}"]:
    """Convolution of an image of matrix neurons: `y_hw,q = Σ_ij,p W_qp,ij @ x_(h+i)(w+j),p + B_q`.

    **Arguments:** `params`: `W` `(q, p / groups, kernel_h, kernel_w, n, n)`, `B` `(q, n, n)` or `None`; `x`:
    `(*batch, h, w, p, n, n)`;
    - `stride`, `dilation`, `input_dilation`: an int, or one for each axis: steps of the kernel, of its entries, and of
      the entries of `x`, between which stand `input_dilation` − 1 zeros;
    - `padding`: `"VALID"`; `"SAME"`, which puts (e − 1) // 2 zero neurons before and the rest of e − 1 after, for a
      kernel of extent e = dilation · (size − 1) + 1; an int for all sides; or an int or a pair `(before, after)` for
      each axis; it comes around the dilated input;
    - `groups`: neurons in and out fall into so many groups in order, and each group sees its own: x has
      `groups · params.p` neurons;
    - `batch_groups`: the last batch axis and the neurons out fall into so many groups in order, and each group of
      neurons sees its own examples: `(*batch, b, …)` becomes `(*batch, b / batch_groups, …)`;
    - `layout`: `"channel_last"`; `"channel_first"`, `(*batch, p, h, w, n, n)`; axis letters in the order in which they
      stand behind `*batch`, such as `"p n n h w"`; or a pair of these for input and output, whose neurons are `q`;
    - `precision`: as for `jax.lax.conv_general_dilated`; `accumulation_dtype`: the dtype in which the sums are taken,
      not narrower than the inputs; the compiler's choice where `None`. Both hold for the gradients too.
    **Returns:** `(*batch, h', w', q, n, n)`, of the dtype that the inputs have in common.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(h, w, p, n, n)`, in the order of `layout`, or if
    `W` has not two kernel axes; `ValueError` for a size, `groups` or `batch_groups` below 1, for `groups` and
    `batch_groups` both above 1, for a `q` that one of them does not divide, for examples that `batch_groups` does not
    divide, for padding that is negative or of a wrong name or count, for a kernel longer than a padded axis, for a
    `layout` that does not name each axis, for an unknown `precision`, and for an `accumulation_dtype` that is not of
    floats or narrower than the inputs.
    **Source:** MATNETS 1.1.0, `matrix_conv2d`; the options from mlax, `Conv`.
    """
    steps = (stride, dilation, input_dilation)
    return _matrix_conv(2, params, x, steps, padding, groups, batch_groups, layout, precision, accumulation_dtype)


@contract
def matrix_conv3d(
    params: MatrixParams,
    x: Float[AnyArray, "*batch {axes_taken(3,layout,max(groups,1)*params.p,params.n,batch_groups)}"],
    *,
    stride: Sizes = 1,
    padding: Padding = "VALID",
    dilation: Sizes = 1,
    input_dilation: Sizes = 1,
    groups: int = 1,
    batch_groups: int = 1,
    layout: Layout = "channel_last",
    precision: Precision = None,
    accumulation_dtype: DTypeLike | None = None,
) -> Float[Array, "*batch {axes_given(3,layout,params.q,params.n,batch_groups)}"]:
    """Convolution of a volume of matrix neurons: `y_dhw,q = Σ_ijk,p W_qp,ijk @ x_(d+i)(h+j)(w+k),p + B_q`.

    **Arguments:** `params`: `W` `(q, p / groups, kernel_d, kernel_h, kernel_w, n, n)`, `B` `(q, n, n)` or `None`; `x`:
    `(*batch, d, h, w, p, n, n)`; the options as for `matrix_conv2d`, for three axes.
    **Returns:** `(*batch, d', h', w', q, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(d, h, w, p, n, n)`, or if `W` has not three kernel
    axes; `ValueError` as `matrix_conv2d`.
    **Source:** MATNETS 1.1.0, `matrix_conv2d`, in three dimensions.
    """
    steps = (stride, dilation, input_dilation)
    return _matrix_conv(3, params, x, steps, padding, groups, batch_groups, layout, precision, accumulation_dtype)


def require_groups(groups: int, name: str = "groups", **counts: int) -> None:
    """Refuses a `groups` below 1, or one that does not divide the counts of what it groups.

    **Arguments:** `groups`; `name`: what the message calls it; the counts, by the names to give them there.
    **Raises:** `ValueError`, naming the first at fault.
    """
    if groups < 1:
        raise ValueError(f"`{name}` (={groups}) must be at least 1: choose 1 for a single group.")
    for what, count in counts.items():
        if count % groups:
            raise ValueError(
                f"`{what}` (={count}) must be divisible by `{name}` (={groups}): "
                f"choose `{what}` as a multiple of {groups}."
            )


def require_one_grouping(groups: int, batch_groups: int, q: int) -> None:
    """Refuses `groups` and `batch_groups` that do not divide the neurons out, or are both above 1.

    **Raises:** `ValueError`, naming the first at fault.
    """
    require_groups(groups, q=q)
    require_groups(batch_groups, "batch_groups", q=q)
    if groups > 1 and batch_groups > 1:
        raise ValueError(
            f"`groups` (={groups}) and `batch_groups` (={batch_groups}) must not both be above 1: choose 1 for one."
        )


def _matrix_conv(
    axes: int,
    params: MatrixParams,
    x: AnyArray,
    steps: tuple[Sizes, Sizes, Sizes],
    padding: Padding,
    groups: int,
    batch_groups: int,
    layout: Layout,
    precision: Precision,
    accumulation_dtype: DTypeLike | None,
) -> Array:
    params.require_kernel(axes)
    require_one_grouping(groups, batch_groups, params.q)
    taken, given = layouts_of(layout, axes)
    x = to_channel_last(x, taken)
    names = ("stride", "dilation", "input_dilation")
    strides, dilations, spreads = (per_axis(name, step, axes) for name, step in zip(names, steps, strict=True))
    extents = [spread_size(size, step) for size, step in zip(params.kernel, dilations, strict=True)]
    space = [spread_size(size, step) for size, step in zip(x.shape[-3 - axes : -3], spreads, strict=True)]
    pairs = pad_pairs(padding, extents)
    require_fit("kernel", extents, space, pairs)
    wide = sums_of(params, x, precision, accumulation_dtype)
    geometry = Geometry(strides, pairs, dilations, spreads, groups * batch_groups, precision, wide)
    if batch_groups > 1:
        x = _batch_groups_beside_neurons(x, axes, batch_groups)
    return from_channel_last(apply_kernel(params, x, geometry), given)


def sums_of(params: MatrixParams, x: Array, precision: Precision, accumulation_dtype: DTypeLike | None) -> str | None:
    """The dtype in which the sums are taken, by name; `None` leaves it to the compiler.

    **Raises:** `ValueError` for an unknown `precision`, and for a dtype that is not of floats or too narrow.
    """
    require_precision(precision)
    return sum_dtype_of(accumulation_dtype, jnp.result_type(x, params.W))


def apply_kernel(params: MatrixParams, x: Array, geometry: Geometry) -> Array:
    """The convolution and the bias of a channel-last `x`: folded to ordinary channels, convolved, unfolded.

    **Arguments:** `params`; `x`: `(*batch, *space, p, n, n)`; `geometry`: of the kernel's way over it.
    **Returns:** `(*batch, *space', q, n, n)`.
    """
    axes, dtype = len(geometry.stride), jnp.result_type(x, params.W)
    y = convolve(_fold(x.astype(dtype), axes), _fold_kernel(params.W.astype(dtype)), geometry)
    y = _unfold(y, x.shape[: -3 - axes], params.q, params.n)
    if params.B is None:
        return y.astype(dtype)
    return (y + params.B).astype(jnp.result_type(dtype, params.B))


def _batch_groups_beside_neurons(x: Array, axes: int, batch_groups: int) -> Array:
    """`(*batch, b, *space, p, n, n)` to `(*batch, b / batch_groups, *space, batch_groups · p, n, n)`."""
    *batch, examples = x.shape[: -3 - axes]
    require_groups(batch_groups, "batch_groups", examples=examples)
    rest = x.shape[-3 - axes :]
    x = x.reshape(*batch, batch_groups, examples // batch_groups, *rest)
    x = jnp.moveaxis(x, -5 - axes, -4)
    return x.reshape(*x.shape[:-4], batch_groups * rest[-3], *rest[-2:])


def _fold(x: Array, axes: int) -> Array:
    """`(*batch, *space, p, n, n)` to `(batch · n, *space, p · n)`: each column is an example of its own."""
    # Sizes are written out: of an axis of length 0, -1 could not be told.
    examples, n = prod(x.shape[: -3 - axes]), x.shape[-1]
    x = x.reshape(examples, *x.shape[-3 - axes : -3], x.shape[-3] * n, n)
    x = jnp.moveaxis(x, -1, 1)
    return x.reshape(examples * n, *x.shape[2:])


def _fold_kernel(W: Array) -> Array:
    """`(q, p, *kernel, n, n)` to `(*kernel, p · n, q · n)`."""
    q, p, *kernel, n, _ = W.shape
    W = jnp.moveaxis(W, (1, -1, 0, -2), (-4, -3, -2, -1))
    return W.reshape(*kernel, p * n, q * n)


def _unfold(y: Array, batch: tuple[int, ...], q: int, n: int) -> Array:
    y = y.reshape(-1, n, *y.shape[1:-1], q, n)
    y = jnp.moveaxis(y, 1, -1)
    return y.reshape(*batch, *y.shape[1:])
