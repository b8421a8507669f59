"""`ConvTranspose1d`, `ConvTranspose2d`, `ConvTranspose3d`: the adjoints of convolutions, as layers."""

from typing import Any

import equinox as eqx
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import contract
from matrinox.functional import matrix_conv_transpose1d, matrix_conv_transpose2d, matrix_conv_transpose3d
from matrinox.functional.conv_transpose import require_output_padding
from matrinox.functional.layout import Layout
from matrinox.functional.precision import Precision
from matrinox.functional.window import Padding, Sizes, per_axis
from matrinox.initializers import Initializer
from matrinox.nn.conv import ConvLayer, keeps_variance


@contract
class _ConvTranspose(ConvLayer):
    output_padding: tuple[int, ...] = eqx.field(static=True)

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        kernel: Sizes,
        *,
        stride: Sizes = 1,
        padding: Padding = "VALID",
        output_padding: Sizes = 0,
        dilation: Sizes = 1,
        groups: int = 1,
        layout: Layout = "channel_last",
        precision: Precision = None,
        accumulation_dtype: DTypeLike | None = None,
        use_bias: bool = True,
        initializer: Initializer | None = None,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        self.output_padding = per_axis("output_padding", output_padding, self._axes, least=0)
        strides = per_axis("stride", stride, self._axes)
        require_output_padding(self.output_padding, strides)
        super().__init__(
            *(p, q, n, kernel),
            stride=stride,
            padding=padding,
            dilation=dilation,
            groups=groups,
            layout=layout,
            precision=precision,
            accumulation_dtype=accumulation_dtype,
            use_bias=use_bias,
            initializer=keeps_variance(strides) if initializer is None else initializer,
            dtype=dtype,
            key=key,
        )

    @property
    def _options(self) -> dict[str, Any]:
        return super()._options | {"output_padding": self.output_padding}


@contract
class ConvTranspose1d(_ConvTranspose):
    """Transposed convolution of a sequence of matrix neurons: the adjoint of a `Conv1d` from q to p neurons.

    **Arguments:** as for `ConvTranspose2d`, with one axis. The weight is
    `(q, p / groups, r, n, n)`.
    **Raises:** as `ConvTranspose2d`.
    **Source:** Equinox, `nn.ConvTranspose1d`.

    >>> import jax, jax.numpy as jnp
    >>> layer = ConvTranspose1d(p=2, q=3, n=4, kernel=3, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 8, 2, 4, 4))).shape
    (32, 10, 3, 4, 4)
    """

    weight: Float[Array, "q p r n n"]
    _axes = 1
    _function = staticmethod(matrix_conv_transpose1d)
    __init__ = _ConvTranspose.__init__


@contract
class ConvTranspose2d(_ConvTranspose):
    """Transposed convolution of an image of matrix neurons: the adjoint of a `Conv2d` from q to p neurons.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `kernel`: an int, or one for each axis;
    `stride`, `padding`, `output_padding`, `dilation`, `groups`, `layout`, `precision`, `accumulation_dtype`: as for
    `functional.matrix_conv_transpose2d`; `use_bias`, `dtype`, `key`: as for `Dense`; `initializer`: of the weight
    `(q, p / groups, kernel_h, kernel_w, n, n)`, with a draw for each group, under `jax.vmap`; where `None`, one under
    which entries keep their variance, the zeros that the stride puts between them not counted as inputs.
    **Raises:** `ValueError` for a size below 1 or of another count of axes, for a p or q that `groups` does not divide,
    for an `output_padding` that is negative or not less than the stride, for padding that is negative or of a wrong
    name or count, and for `layout`, `precision` and `accumulation_dtype` as `Conv2d`.
    **Source:** Equinox, `nn.ConvTranspose2d`.

    >>> import jax, jax.numpy as jnp
    >>> layer = ConvTranspose2d(p=2, q=3, n=4, kernel=3, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 8, 8, 2, 4, 4))).shape
    (32, 10, 10, 3, 4, 4)
    >>> layer = ConvTranspose2d(p=2, q=3, n=4, kernel=2, stride=2, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 8, 8, 2, 4, 4))).shape
    (32, 16, 16, 3, 4, 4)
    """

    weight: Float[Array, "q p kernel_h kernel_w n n"]
    _axes = 2
    _function = staticmethod(matrix_conv_transpose2d)
    __init__ = _ConvTranspose.__init__


@contract
class ConvTranspose3d(_ConvTranspose):
    """Transposed convolution of a volume of matrix neurons: the adjoint of a `Conv3d` from q to p neurons.

    **Arguments:** as for `ConvTranspose2d`, with three axes. The weight is
    `(q, p / groups, kernel_d, kernel_h, kernel_w, n, n)`.
    **Raises:** as `ConvTranspose2d`.
    **Source:** Equinox, `nn.ConvTranspose3d`.

    >>> import jax, jax.numpy as jnp
    >>> layer = ConvTranspose3d(p=2, q=3, n=4, kernel=3, key=jax.random.key(0))
    >>> layer(jnp.ones((8, 6, 6, 6, 2, 4, 4))).shape
    (8, 8, 8, 8, 3, 4, 4)
    """

    weight: Float[Array, "q p kernel_d kernel_h kernel_w n n"]
    _axes = 3
    _function = staticmethod(matrix_conv_transpose3d)
    __init__ = _ConvTranspose.__init__
