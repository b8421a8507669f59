"""`BasicBlock`, of residual networks, and the two convolutions that it is made of: `conv3x3`, `conv1x1`."""

from functools import partial
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import PRNGKeyArray

from matrinox.contract import contract
from matrinox.functional.window import Sizes, per_axis
from matrinox.initializers import Initializer
from matrinox.nn.activation_choice import Activation, activation_of, initializer_after
from matrinox.nn.block import SpaceAxes, SpaceBlock
from matrinox.nn.branch import Residual
from matrinox.nn.child import Layer
from matrinox.nn.compose import Sequential
from matrinox.nn.conv import ConvLayer
from matrinox.nn.conv_block import CONVOLUTIONS
from matrinox.nn.linear import check_sizes
from matrinox.nn.norm_choice import Norm, norm_of


@contract
def conv3x3(
    p: int,
    q: int,
    n: int,
    *,
    axes: SpaceAxes = 2,
    stride: Sizes = 1,
    use_bias: bool = False,
    initializer: Initializer | None = None,
    dtype: DTypeLike | None = None,
    key: PRNGKeyArray,
) -> ConvLayer:
    """A convolution with a kernel of 3 along every axis and a padding of 1, which keeps the space at a stride of 1.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `axes`: 1, 2 or 3 space axes; `stride`: at 2,
    the space is `functional.down2` of what it was; `use_bias`, `initializer`, `dtype`, `key`: as for `Conv2d`.
    **Returns:** a `Conv2d`, or a `Conv1d` or `Conv3d`: `(*batch, h, w, p, n, n)` to `(*batch, h', w', q, n, n)`.
    **Raises:** `ValueError` for a size below 1, or for another count of strides than of axes.
    **Source:** TorchLean, `conv3x3`; He et al. 2016, arXiv 1512.03385.

    >>> import jax, jax.numpy as jnp
    >>> conv3x3(p=2, q=3, n=4, stride=2, key=jax.random.key(0))(jnp.ones((7, 8, 2, 4, 4))).shape
    (4, 4, 3, 4, 4)
    """
    conv = partial(CONVOLUTIONS[axes], p, q, n, kernel=3, stride=stride, padding=1)
    return conv(use_bias=use_bias, initializer=initializer, dtype=dtype, key=key)


@contract
def conv1x1(
    p: int,
    q: int,
    n: int,
    *,
    axes: SpaceAxes = 2,
    stride: Sizes = 1,
    use_bias: bool = False,
    initializer: Initializer | None = None,
    dtype: DTypeLike | None = None,
    key: PRNGKeyArray,
) -> ConvLayer:
    """A convolution with a kernel of 1 along every axis and no padding: a dense layer of every place it comes to.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `axes`: 1, 2 or 3 space axes; `stride`: at 2,
    the space is `functional.down2` of what it was; `use_bias`, `initializer`, `dtype`, `key`: as for `Conv2d`.
    **Returns:** a `Conv2d`, or a `Conv1d` or `Conv3d`: `(*batch, h, w, p, n, n)` to `(*batch, h', w', q, n, n)`.
    **Raises:** `ValueError` for a size below 1, or for another count of strides than of axes.
    **Source:** TorchLean, `conv1x1`; He et al. 2016, arXiv 1512.03385.

    >>> import jax, jax.numpy as jnp
    >>> conv1x1(p=2, q=3, n=4, stride=2, key=jax.random.key(0))(jnp.ones((7, 8, 2, 4, 4))).shape
    (4, 4, 3, 4, 4)
    """
    conv = partial(CONVOLUTIONS[axes], p, q, n, kernel=1, stride=stride, padding=0)
    return conv(use_bias=use_bias, initializer=initializer, dtype=dtype, key=key)


@contract
class BasicBlock(SpaceBlock):
    """`act(norm(conv3x3(act(norm(conv3x3(x))))) + shortcut(x))`, of a residual network.

    The shortcut is x itself; where the block has a stride or changes the count of neurons, `norm(conv1x1(x))`. At a
    stride of 2 the space is `functional.down2` of what it was, in both summands: ⌈h / 2⌉, whether h is odd or even.

    It is a `Sequential` of a `Residual`, with `body` and `shortcut`, and the activation; with a `"batch"` norm it is
    stateful.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `axes`: 1, 2 or 3 space axes; `stride`: of
    the first convolution and of the shortcut; `activation`: a name, a layer or a function, as for `activation_of`;
    `norm`: a name, a function of p and n that gives a layer, or `None`, as for `ConvNormAct`; `zero_last`: whether the
    weight of the last layer of the body, that is of the norm, starts at zero, and the block with it as its shortcut
    alone; `use_bias`: whether the convolutions have a bias; `initializer`: of their weights; where `None`, one under
    which entries keep their variance, with the gain of the activation before it; `dtype`: of all weights and biases,
    the default float where `None`; `key`: one key.
    **Raises:** `ValueError` for a size below 1, for another count of strides than of axes, for an unknown name, with
    the nearest one, and for `zero_last` where the last layer has no weight.
    **Source:** He et al. 2016, arXiv 1512.03385; TorchLean, `BasicBlock`; `zero_last`: Goyal et al. 2017, arXiv
    1706.02677.

    >>> import equinox as eqx, jax, jax.numpy as jnp
    >>> block, state = eqx.nn.make_with_state(BasicBlock)(p=2, q=4, n=3, stride=2, key=jax.random.key(0))
    >>> y, state = block(jnp.ones((32, 7, 8, 2, 3, 3)), state)
    >>> y.shape
    (32, 4, 4, 4, 3, 3)
    """

    def __init__(
        self,
        p: int,
        q: int,
        n: int,
        *,
        axes: SpaceAxes = 2,
        stride: Sizes = 1,
        activation: Activation = "relu",
        norm: Norm | None = "batch",
        zero_last: bool = False,
        use_bias: bool = False,
        initializer: Initializer | None = None,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, q=q, n=n)
        act = activation_of(activation)
        first, last, aside = jax.random.split(key, 3)
        three, one = (partial(conv, axes=axes, use_bias=use_bias, dtype=dtype) for conv in (conv3x3, conv1x1))
        behind = initializer_after(activation) if initializer is None else initializer
        body = [
            three(p, q, n, stride=stride, initializer=initializer, key=first),
            *norm_of(norm, q, n, axes=axes, dtype=dtype),
            act,
            three(q, q, n, initializer=behind, key=last),
            *norm_of(norm, q, n, axes=axes, dtype=dtype),
        ]
        if zero_last:
            body[-1] = _zeroed(body[-1])
        shortcut = None
        if p != q or per_axis("stride", stride, axes) != (1,) * axes:
            projection = one(p, q, n, stride=stride, initializer=initializer, key=aside)
            shortcut = Sequential([projection, *norm_of(norm, q, n, axes=axes, dtype=dtype)])
        super().__init__([Residual(Sequential(body), shortcut), act], axes)

    @property
    def p(self) -> int:
        """Neurons in."""
        return self._convolutions[0].p

    @property
    def q(self) -> int:
        """Neurons out."""
        return self._convolutions[-1].q

    @property
    def n(self) -> int:
        """Side of the matrix that is a neuron."""
        return self._convolutions[0].n

    @property
    def _convolutions(self) -> list[Any]:
        return [layer for layer in self.layers[0].body.layers if hasattr(layer, "q")]


def _zeroed(layer: Layer) -> Layer:
    weight = getattr(layer, "weight", None)
    if weight is None:
        raise ValueError(
            f"`zero_last` (=True) needs a weight in the last layer, and {type(layer).__name__} has none: choose a norm "
            "that has one, such as 'batch'."
        )
    return eqx.tree_at(lambda layer: layer.weight, layer, jnp.zeros_like(weight))
