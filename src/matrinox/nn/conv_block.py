"""`ConvAct`, `ConvNormAct`, `ConvNormActPool`: a convolution and what comes behind it."""

from collections.abc import Callable

from jax.typing import DTypeLike
from jaxtyping import PRNGKeyArray

from matrinox.contract import contract
from matrinox.contract.nearest import guess
from matrinox.functional.precision import Precision
from matrinox.functional.window import Padding, Sizes
from matrinox.initializers import Initializer
from matrinox.nn.activation_choice import Activation, activation_of
from matrinox.nn.block import SpaceAxes, SpaceBlock, dropout_of
from matrinox.nn.child import Layer
from matrinox.nn.conv import Conv1d, Conv2d, Conv3d, ConvLayer
from matrinox.nn.determinant_pool import AvgdPool1d, AvgdPool2d, AvgdPool3d, MaxdPool1d, MaxdPool2d, MaxdPool3d
from matrinox.nn.dropout import Dropout
from matrinox.nn.norm_choice import Norm, norm_of
from matrinox.nn.pool import AvgPool1d, AvgPool2d, AvgPool3d, MaxPool1d, MaxPool2d, MaxPool3d

CONVOLUTIONS: dict[SpaceAxes, Callable[..., ConvLayer]] = {1: Conv1d, 2: Conv2d, 3: Conv3d}
_POOLS: dict[str, dict[SpaceAxes, Callable[..., Layer]]] = {
    "max": {1: MaxPool1d, 2: MaxPool2d, 3: MaxPool3d},
    "avg": {1: AvgPool1d, 2: AvgPool2d, 3: AvgPool3d},
    "maxd": {1: MaxdPool1d, 2: MaxdPool2d, 3: MaxdPool3d},
    "avgd": {1: AvgdPool1d, 2: AvgdPool2d, 3: AvgdPool3d},
}


@contract
class ConvAct(SpaceBlock):
    """`activation(conv(x))`, and dropout: `(*batch, *space, p, n, n)` to `(*batch, *space', q, n, n)`.

    They are `layers`, in a row, as in a `Sequential`, which it is.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `kernel`: an int, or one for each axis;
    `axes`: 1, 2 or 3 space axes, before p; `stride`, `padding`, `dilation`, `input_dilation`, `groups`, `precision`,
    `accumulation_dtype`, `use_bias`, `initializer`: of the convolution, as for `Conv2d`, in the layout
    `"channel_last"`, since what stands behind it takes no other; `activation`: a name, a layer or a function, as for
    `activation_of`; `dropout`: the share of entries dropped behind it, or a `Dropout`; `dtype`: of all weights and
    biases, the default float where `None`; `key`: one key.
    **Raises:** `ValueError` as `Conv2d`, for a rate out of range, and for an unknown name, with the nearest one.
    **Source:** TorchLean, `Conv2dAct`.

    >>> import jax, jax.numpy as jnp
    >>> block = ConvAct(p=2, q=3, n=4, kernel=3, activation="relud", key=jax.random.key(0))
    >>> block(jnp.ones((32, 8, 8, 2, 4, 4))).shape
    (32, 6, 6, 3, 4, 4)
    """

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        kernel: Sizes,
        *,
        axes: SpaceAxes = 2,
        stride: Sizes = 1,
        padding: Padding = "VALID",
        dilation: Sizes = 1,
        input_dilation: Sizes = 1,
        groups: int = 1,
        precision: Precision = None,
        accumulation_dtype: DTypeLike | None = None,
        use_bias: bool = True,
        initializer: Initializer | None = None,
        activation: Activation = "relu",
        dropout: float | Dropout = 0.0,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        conv = CONVOLUTIONS[axes](
            *(p, q, n, kernel),
            stride=stride,
            padding=padding,
            dilation=dilation,
            input_dilation=input_dilation,
            groups=groups,
            precision=precision,
            accumulation_dtype=accumulation_dtype,
            use_bias=use_bias,
            initializer=initializer,
            dtype=dtype,
            key=key,
        )
        super().__init__([conv, activation_of(activation), *dropout_of(dropout)], axes)


@contract
class ConvNormAct(SpaceBlock):
    """`activation(norm(conv(x)))`, and dropout: `(*batch, *space, p, n, n)` to `(*batch, *space', q, n, n)`.

    They are `layers`, in a row, as in a `Sequential`, which it is; with a `"batch"` norm it is stateful.

    **Arguments:** as for `ConvAct`, without a bias of the convolution by default; `norm`: `"batch"`, `"layer"` or
    `"rms"`, of each place, `"group"` of gcd(q, 32) groups, or `"instance"`, over the space axes too; a function of p
    and n that gives a layer, such as `functools.partial(nn.BatchNorm, axis_name="batch")`; or `None`.
    **Raises:** `ValueError` as `Conv2d`, for a rate out of range, and for an unknown name, with the nearest one;
    `TypeError` for a `norm` that gives no layer.
    **Source:** TorchLean, `Conv2dNormAct`.

    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> block, state = eqx.nn.make_with_state(ConvNormAct)(p=2, q=3, n=4, kernel=3, key=jax.random.key(0))
    >>> y, state = block(jnp.ones((32, 8, 8, 2, 4, 4)), state)
    >>> y.shape
    (32, 6, 6, 3, 4, 4)
    """

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        kernel: Sizes,
        *,
        axes: SpaceAxes = 2,
        stride: Sizes = 1,
        padding: Padding = "VALID",
        dilation: Sizes = 1,
        input_dilation: Sizes = 1,
        groups: int = 1,
        precision: Precision = None,
        accumulation_dtype: DTypeLike | None = None,
        use_bias: bool = False,
        initializer: Initializer | None = None,
        norm: Norm | None = "batch",
        activation: Activation = "relu",
        dropout: float | Dropout = 0.0,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        conv = CONVOLUTIONS[axes](
            *(p, q, n, kernel),
            stride=stride,
            padding=padding,
            dilation=dilation,
            input_dilation=input_dilation,
            groups=groups,
            precision=precision,
            accumulation_dtype=accumulation_dtype,
            use_bias=use_bias,
            initializer=initializer,
            dtype=dtype,
            key=key,
        )
        normalisation = norm_of(norm, q, n, axes=axes, dtype=dtype)
        super().__init__([conv, *normalisation, activation_of(activation), *dropout_of(dropout)], axes)


@contract
class ConvNormActPool(SpaceBlock):
    """`pool(activation(norm(conv(x))))`: `(*batch, *space, p, n, n)` to `(*batch, *space', q, n, n)`.

    They are `layers`, in a row, as in a `Sequential`, which it is, with dropout before the pool; with a `"batch"` norm
    it is stateful.

    **Arguments:** as for `ConvNormAct`; `pool`: `"max"` or `"avg"` of entries, `"maxd"` or `"avgd"` of whole matrices
    by their determinants; `window`, `pool_stride`, `pool_padding`: of the pool, as for `MaxPool2d`, with a stride of
    the window's size where `None`.
    **Raises:** as `ConvNormAct`, and `ValueError` as the pool.
    **Source:** TorchLean, `Conv2dNormActPool`.

    >>> import jax, jax.numpy as jnp
    >>> block = ConvNormActPool(p=2, q=3, n=4, kernel=3, padding="SAME", norm="rms", key=jax.random.key(0))
    >>> block(jnp.ones((32, 8, 8, 2, 4, 4))).shape
    (32, 4, 4, 3, 4, 4)
    """

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        kernel: Sizes,
        *,
        axes: SpaceAxes = 2,
        stride: Sizes = 1,
        padding: Padding = "VALID",
        dilation: Sizes = 1,
        input_dilation: Sizes = 1,
        groups: int = 1,
        precision: Precision = None,
        accumulation_dtype: DTypeLike | None = None,
        use_bias: bool = False,
        initializer: Initializer | None = None,
        norm: Norm | None = "batch",
        activation: Activation = "relu",
        dropout: float | Dropout = 0.0,
        pool: str = "max",
        window: Sizes = 2,
        pool_stride: Sizes | None = None,
        pool_padding: Padding = "VALID",
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        conv = CONVOLUTIONS[axes](
            *(p, q, n, kernel),
            stride=stride,
            padding=padding,
            dilation=dilation,
            input_dilation=input_dilation,
            groups=groups,
            precision=precision,
            accumulation_dtype=accumulation_dtype,
            use_bias=use_bias,
            initializer=initializer,
            dtype=dtype,
            key=key,
        )
        normalisation = norm_of(norm, q, n, axes=axes, dtype=dtype)
        pooling = _pool_of(pool, axes)(window, pool_stride, pool_padding)
        super().__init__([conv, *normalisation, activation_of(activation), *dropout_of(dropout), pooling], axes)


def _pool_of(pool: str, axes: SpaceAxes) -> Callable[..., Layer]:
    if pool not in _POOLS:
        raise ValueError(f"`pool` (={pool!r}) must be one of {', '.join(_POOLS)}{guess(pool, _POOLS) or '.'}")
    return _POOLS[pool][axes]
