"""`matrix_conv_transpose1d/2d/3d`: the adjoints of convolutions, from small images to large ones."""

from jax.typing import DTypeLike
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, contract
from matrinox.functional.conv import apply_kernel, require_groups, sums_of
from matrinox.functional.conv_gradient import Geometry
from matrinox.functional.layout import (
    Layout,
    axes_given,  # noqa: F401 - the annotations name it
    axes_taken,  # noqa: F401 - the annotations name it
    from_channel_last,
    layouts_of,
    to_channel_last,
)
from matrinox.functional.precision import Precision
from matrinox.functional.window import LETTERS, Padding, Sizes, pad_pairs, per_axis, spread_size
from matrinox.params import MatrixParams


@contract
def matrix_conv_transpose1d(
    params: MatrixParams,
    x: Float[AnyArray, "*batch {axes_taken(1,layout,max(groups,1)*params.p,params.n)}"],
    *,
    stride: Sizes = 1,
    padding: Padding = "VALID",
    output_padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    layout: Layout = "channel_last",
    precision: Precision = None,
    accumulation_dtype: DTypeLike | None = None,
) -> Float[Array, "*batch {axes_given(1,layout,params.q,params.n)}"]:
    """Transposed convolution of a sequence of matrix neurons: the adjoint of `matrix_conv1d`.

    **Arguments:** `params`: `W` `(q, p / groups, r, n, n)`, `B` `(q, n, n)` or `None`; `x`: `(*batch, t, p, n, n)`;
    the options as for `matrix_conv_transpose2d`, for one axis.
    **Returns:** `(*batch, t', q, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(t, p, n, n)`, or if `W` has not one kernel axis;
    `ValueError` as `matrix_conv_transpose2d`.
    **Source:** Equinox, `nn.ConvTranspose1d`.
    """
    steps = (stride, dilation, output_padding)
    return _matrix_conv_transpose(1, params, x, steps, padding, groups, layout, precision, accumulation_dtype)


@contract
def matrix_conv_transpose2d(
    params: MatrixParams,
    x: Float[AnyArray, "*batch {axes_taken(2,layout,max(groups,1)*params.p,params.n)}"],
    *,
    stride: Sizes = 1,
    padding: Padding = "VALID",
    output_padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    layout: Layout = "channel_last",
    precision: Precision = None,
    accumulation_dtype: DTypeLike | None = None,
) -> Float[Array, "*batch {axes_given(2,layout,params.q,params.n)}"]:
    """Transposed convolution of an image of matrix neurons: the adjoint of `matrix_conv2d`.

    `y_hw,q = Σ_ij,p W_qp,ij @ z_(h+i)(w+j),p + B_q`, where z is x with `stride` − 1 zero neurons between its places and
    e − 1 around them, e being the kernel's extent, less the `padding`. A convolution with the weight V of
    `(p, q / groups, *kernel, n, n)` has the adjoint `W_qp,ij = V_pq,(−i)(−j)ᵀ`, the kernel axes reversed.

    **Arguments:** `params`: `W` `(q, p / groups, kernel_h, kernel_w, n, n)`, `B` `(q, n, n)` or `None`; `x`:
    `(*batch, h, w, p, n, n)`;
    - `stride`, `padding`, `dilation`, `groups`: those of the convolution of which this is the adjoint, as for
      `matrix_conv2d`; so padding takes off, and may be more than e − 1;
    - `output_padding`: an int, or one for each axis, less than the stride: so many places more at the end, since a
      convolution of larger stride takes inputs of several sizes to one;
    - `layout`, `precision`, `accumulation_dtype`: as for `matrix_conv2d`.
    **Returns:** `(*batch, h', w', q, n, n)`, with h' = (h − 1) · stride + e − before − after + output_padding, for
    h ≥ 1.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(h, w, p, n, n)`, in the order of `layout`, or if
    `W` has not two kernel axes; `ValueError` for a size or `groups` below 1, for a `q` that `groups` does not divide,
    for an `output_padding` that is negative or not less than the stride, for padding that is negative, of a wrong name
    or count, or leaves nothing, and for `layout`, `precision` and `accumulation_dtype` as `matrix_conv2d`.
    **Source:** Equinox, `nn.ConvTranspose2d`, with the weight in its order. Its `"SAME"` counts the stride; here
    `"SAME"` is that of `matrix_conv2d`.
    """
    steps = (stride, dilation, output_padding)
    return _matrix_conv_transpose(2, params, x, steps, padding, groups, layout, precision, accumulation_dtype)


@contract
def matrix_conv_transpose3d(
    params: MatrixParams,
    x: Float[AnyArray, "*batch {axes_taken(3,layout,max(groups,1)*params.p,params.n)}"],
    *,
    stride: Sizes = 1,
    padding: Padding = "VALID",
    output_padding: Sizes = 0,
    dilation: Sizes = 1,
    groups: int = 1,
    layout: Layout = "channel_last",
    precision: Precision = None,
    accumulation_dtype: DTypeLike | None = None,
) -> Float[Array, "*batch {axes_given(3,layout,params.q,params.n)}"]:
    """Transposed convolution of a volume of matrix neurons: the adjoint of `matrix_conv3d`.

    **Arguments:** `params`: `W` `(q, p / groups, kernel_d, kernel_h, kernel_w, n, n)`, `B` `(q, n, n)` or `None`; `x`:
    `(*batch, d, h, w, p, n, n)`; the options as for `matrix_conv_transpose2d`, for three axes.
    **Returns:** `(*batch, d', h', w', q, n, n)`.
    **Raises:** `ContractError` if the trailing axes of `x` are not `(d, h, w, p, n, n)`, or if `W` has not three kernel
    axes; `ValueError` as `matrix_conv_transpose2d`.
    **Source:** Equinox, `nn.ConvTranspose3d`.
    """
    steps = (stride, dilation, output_padding)
    return _matrix_conv_transpose(3, params, x, steps, padding, groups, layout, precision, accumulation_dtype)


def require_output_padding(output_padding: tuple[int, ...], stride: tuple[int, ...]) -> None:
    """Refuses what is not less than the stride: a convolution would take the larger input to a larger output.

    **Raises:** `ValueError`.
    """
    if any(extra >= step for extra, step in zip(output_padding, stride, strict=True)):
        raise ValueError(
            f"`output_padding` (={output_padding}) must be less than `stride` (={stride}) along each axis: "
            "choose a smaller one, or less `padding`."
        )


def _matrix_conv_transpose(
    axes: int,
    params: MatrixParams,
    x: AnyArray,
    steps: tuple[Sizes, Sizes, Sizes],
    padding: Padding,
    groups: int,
    layout: Layout,
    precision: Precision,
    accumulation_dtype: DTypeLike | None,
) -> Array:
    params.require_kernel(axes, "matrix_conv_transpose")
    require_groups(groups, q=params.q)
    taken, given = layouts_of(layout, axes)
    x = to_channel_last(x, taken)
    stride, dilation, output_padding = steps
    strides, dilations = per_axis("stride", stride, axes), per_axis("dilation", dilation, axes)
    extras = per_axis("output_padding", output_padding, axes, least=0)
    require_output_padding(extras, strides)
    extents = [spread_size(size, step) for size, step in zip(params.kernel, dilations, strict=True)]
    pairs = pad_pairs(padding, extents)
    for letter, size, step, extent, pair, extra in zip(
        LETTERS[axes], x.shape[-3 - axes : -3], strides, extents, pairs, extras, strict=True
    ):
        whole = spread_size(size, step) + extent - 1 + extra
        if whole <= sum(pair):
            raise ValueError(
                f"`padding` takes {sum(pair)} off {letter}, which comes out {whole} long without it: pad less."
            )
    around = tuple(
        (extent - 1 - before, extent - 1 - after + extra)
        for extent, (before, after), extra in zip(extents, pairs, extras, strict=True)
    )
    wide = sums_of(params, x, precision, accumulation_dtype)
    geometry = Geometry((1,) * axes, around, dilations, strides, groups, precision, wide)
    return from_channel_last(apply_kernel(params, x, geometry), given)
