"""`Conv1d`, `Conv2d`, `Conv3d`: convolutions whose kernels are matrices."""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import matrix_conv1d, matrix_conv2d, matrix_conv3d
from matrinox.functional.conv import require_groups, require_one_grouping
from matrinox.functional.layout import Layout, axes_given, axes_taken, layouts_of
from matrinox.functional.precision import Precision, require_precision, sum_dtype
from matrinox.functional.window import Padding, Sizes, pad_pairs, per_axis
from matrinox.initializers import Initializer, variance_scaling
from matrinox.nn.linear import check_sizes
from matrinox.params import MatrixParams


@contract
class ConvLayer(eqx.Module):
    """What a convolution and its adjoint hold alike: a weight with kernel axes, and how it meets the input."""

    weight: Float[Array, "q p *kernel n n"]
    bias: Float[Array, "q n n"] | None
    stride: tuple[int, ...] = eqx.field(static=True)
    padding: Padding = eqx.field(static=True)
    dilation: tuple[int, ...] = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    layout: Layout = eqx.field(static=True)
    precision: Precision = eqx.field(static=True)
    accumulation_dtype: str | None = eqx.field(static=True)
    _axes: ClassVar[int]
    _function: ClassVar[Callable[..., Array]]

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        kernel: Sizes,
        *,
        stride: Sizes,
        padding: Padding,
        dilation: Sizes,
        groups: int,
        batch_groups: int = 1,
        layout: Layout,
        precision: Precision,
        accumulation_dtype: DTypeLike | None,
        use_bias: bool,
        initializer: Initializer,
        dtype: DTypeLike | None,
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, q=q, n=n)
        require_groups(groups, p=p)
        require_one_grouping(groups, batch_groups, q)
        sizes = per_axis("kernel", kernel, self._axes)
        self.stride = per_axis("stride", stride, self._axes)
        self.dilation = per_axis("dilation", dilation, self._axes)
        pad_pairs(padding, sizes)
        layouts_of(layout, self._axes)
        require_precision(precision)
        self.padding = padding
        self.groups = groups
        self.layout = layout
        self.precision = precision
        self.accumulation_dtype = sum_dtype(accumulation_dtype)
        maps = groups * batch_groups
        shape = (q // maps, p // groups, *sizes, n, n)
        if maps == 1:
            self.weight = initializer(key, shape, dtype)
        else:
            # Each group is a map of its own: what an initializer makes of a whole weight would mix their neurons.
            # Traced once, as a depthwise convolution has hundreds.
            drawn = jax.vmap(lambda key: initializer(key, shape, dtype))(jax.random.split(key, maps))
            self.weight = drawn.reshape(q, *shape[1:])
        self.bias = jnp.zeros((q, n, n), self.weight.dtype) if use_bias else None

    @property
    def p(self) -> int:
        """Neurons in, of all groups together."""
        return self.weight.shape[-3 - self._axes] * self.groups

    @property
    def q(self) -> int:
        """Neurons out."""
        return self.weight.shape[-4 - self._axes]

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self.weight.shape[-1]

    @property
    def kernel(self) -> tuple[int, ...]:
        """Sizes of the kernel axes."""
        return self.weight.shape[-2 - self._axes : -2]

    @property
    def params(self) -> MatrixParams:
        """Weight `(q, p / groups, *kernel, n, n)` and bias `(q, n, n)`, as `functional` takes them."""
        return MatrixParams(self.weight, self.bias)

    @property
    def _taken(self) -> str:
        return axes_taken(self._axes, self.layout, self.p, self.n, self._options.get("batch_groups", 1))

    @property
    def _given(self) -> str:
        return axes_given(self._axes, self.layout, self.q, self.n, self._options.get("batch_groups", 1))

    @property
    def _options(self) -> dict[str, Any]:
        names = ("stride", "padding", "dilation", "groups", "layout", "precision", "accumulation_dtype")
        return {name: getattr(self, name) for name in names}

    def __call__(
        self, x: Float[AnyArray, "*batch {self._taken}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch {self._given}"]:
        """Applies the layer.

        **Arguments:** `x`: `(*batch, *space, p, n, n)`, in the order of `layout`; `key`: not used.
        **Returns:** `(*batch, *space', q, n, n)`, in the order of `layout`.
        **Raises:** `ContractError` if the trailing axes are others; `ValueError` as the function of the same name.
        """
        return self._function(self.params, x, **self._options)


def keeps_variance(spread: tuple[int, ...]) -> Initializer:
    """An initializer that counts as inputs what a kernel meets on the average, of which zeros in between are no part.

    **Arguments:** `spread`: along each axis, one in so many places of the input is no zero.
    """
    return variance_scaling(math.sqrt(math.prod(spread)))


@contract
class _Conv(ConvLayer):
    input_dilation: tuple[int, ...] = eqx.field(static=True)
    batch_groups: int = eqx.field(static=True)

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        kernel: Sizes,
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
        use_bias: bool = True,
        initializer: Initializer | None = None,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        self.input_dilation = per_axis("input_dilation", input_dilation, self._axes)
        self.batch_groups = batch_groups
        super().__init__(
            *(p, q, n, kernel),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            batch_groups=batch_groups,
            layout=layout,
            precision=precision,
            accumulation_dtype=accumulation_dtype,
            use_bias=use_bias,
            initializer=keeps_variance(self.input_dilation) if initializer is None else initializer,
            dtype=dtype,
            key=key,
        )

    @property
    def _options(self) -> dict[str, Any]:
        return super()._options | {"input_dilation": self.input_dilation, "batch_groups": self.batch_groups}


@contract
class Conv1d(_Conv):
    """Convolution of a sequence of matrix neurons: `y_t,q = Σ_r,p W_qp,r @ x_(t+r),p + B_q`.

    **Arguments:** as for `Conv2d`, with one axis. The weight is
    `(q, p / groups, r, n, n)`.
    **Raises:** as `Conv2d`.
    **Source:** MATNETS 1.1.0, `matrix_conv1d`.

    >>> import jax, jax.numpy as jnp
    >>> layer = Conv1d(p=2, q=3, n=4, kernel=3, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 8, 2, 4, 4))).shape
    (32, 6, 3, 4, 4)
    """

    weight: Float[Array, "q p r n n"]
    _axes = 1
    _function = staticmethod(matrix_conv1d)
    __init__ = _Conv.__init__


@contract
class Conv2d(_Conv):
    """Convolution of an image of matrix neurons: `y_hw,q = Σ_ij,p W_qp,ij @ x_(h+i)(w+j),p + B_q`.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `kernel`: an int, or one for each axis;
    `stride`, `padding`, `dilation`, `input_dilation`, `groups`, `batch_groups`, `layout`, `precision`,
    `accumulation_dtype`: as for `functional.matrix_conv2d`; `use_bias`, `dtype`, `key`: as for `Dense`; `initializer`:
    of the weight `(q, p / groups, kernel_h, kernel_w, n, n)`, with a draw for each group, under `jax.vmap`; where
    `None`, one under which entries keep their variance, the zeros of `input_dilation` not counted as inputs.
    **Raises:** `ValueError` for a size below 1 or of another count of axes, for a p or q that `groups` or
    `batch_groups` does not divide, for both of these above 1, for padding that is negative or of a wrong name or count,
    for a `layout` that does not name each axis, for an unknown `precision`, and for an `accumulation_dtype` that is not
    of floats.
    **Source:** MATNETS 1.1.0, `matrix_conv2d`; mlax, `Conv`.

    >>> import jax, jax.numpy as jnp
    >>> layer = Conv2d(p=2, q=3, n=4, kernel=3, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 8, 8, 2, 4, 4))).shape
    (32, 6, 6, 3, 4, 4)
    >>> layer = Conv2d(p=2, q=3, n=4, kernel=3, layout="channel_first", key=jax.random.key(0))
    >>> layer(jnp.ones((32, 2, 8, 8, 4, 4))).shape
    (32, 3, 6, 6, 4, 4)
    """

    weight: Float[Array, "q p kernel_h kernel_w n n"]
    _axes = 2
    _function = staticmethod(matrix_conv2d)
    __init__ = _Conv.__init__


@contract
class Conv3d(_Conv):
    """Convolution of a volume of matrix neurons: `y_dhw,q = Σ_ijk,p W_qp,ijk @ x_(d+i)(h+j)(w+k),p + B_q`.

    **Arguments:** as for `Conv2d`, with three axes. The weight is
    `(q, p / groups, kernel_d, kernel_h, kernel_w, n, n)`.
    **Raises:** as `Conv2d`.
    **Source:** MATNETS 1.1.0, `matrix_conv2d`, in three dimensions.

    >>> import jax, jax.numpy as jnp
    >>> layer = Conv3d(p=2, q=3, n=4, kernel=3, key=jax.random.key(0))
    >>> layer(jnp.ones((8, 6, 6, 6, 2, 4, 4))).shape
    (8, 4, 4, 4, 3, 4, 4)
    """

    weight: Float[Array, "q p kernel_d kernel_h kernel_w n n"]
    _axes = 3
    _function = staticmethod(matrix_conv3d)
    __init__ = _Conv.__init__
