"""`Conv1d`, `Conv2d`, `Conv3d`: convolutions whose kernels are matrices."""

from typing import Any, ClassVar

import equinox as eqx
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, Float, PRNGKeyArray

from matrinox.contract import AnyArray, contract
from matrinox.functional import matrix_conv1d, matrix_conv2d, matrix_conv3d
from matrinox.functional.conv import require_groups
from matrinox.functional.window import Padding, Sizes, pad_pairs, per_axis
from matrinox.initializers import Initializer, lecun_normal
from matrinox.nn.linear import check_sizes
from matrinox.params import MatrixParams


@contract
class _Conv(eqx.Module):
    weight: Float[Array, "q p *kernel n n"]
    bias: Float[Array, "q n n"] | None
    stride: tuple[int, ...] = eqx.field(static=True)
    padding: Padding = eqx.field(static=True)
    dilation: tuple[int, ...] = eqx.field(static=True)
    groups: int = eqx.field(static=True)
    _axes: ClassVar[int]

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
        groups: int = 1,
        use_bias: bool = True,
        initializer: Initializer = lecun_normal,
        dtype: DTypeLike | None = None,
        key: PRNGKeyArray,
    ):
        check_sizes(p=p, q=q, n=n)
        require_groups(groups, p=p, q=q)
        sizes = per_axis("kernel", kernel, self._axes)
        self.stride = per_axis("stride", stride, self._axes)
        self.dilation = per_axis("dilation", dilation, self._axes)
        pad_pairs(padding, sizes)
        self.padding = padding
        self.groups = groups
        shape = (q // groups, p // groups, *sizes, n, n)
        # Each group is a map of its own: what an initializer makes of a whole weight would mix their neurons.
        keys = [key] if groups == 1 else jax.random.split(key, groups)
        self.weight = jnp.concatenate([initializer(key, shape, dtype) for key in keys])
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
    def _options(self) -> dict[str, Any]:
        return {"stride": self.stride, "padding": self.padding, "dilation": self.dilation, "groups": self.groups}


@contract
class Conv1d(_Conv):
    """Convolution of a sequence of matrix neurons: `y_t,q = Σ_r,p W_qp,r @ x_(t+r),p + B_q`.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `kernel`, `stride`, `dilation`: an int, or
    one for each axis; `padding`, `groups`: as for `functional.matrix_conv1d`; `use_bias`, `initializer`, `dtype`,
    `key`: as for `Dense`, with a draw for each group. The weight is `(q, p / groups, r, n, n)`.
    **Raises:** `ValueError` for a size below 1 or of another count of axes, for a p or q that `groups` does not divide,
    and for padding that is negative or of a wrong name or count.
    **Source:** MATNETS 1.1.0, `matrix_conv1d`.

    >>> import jax, jax.numpy as jnp
    >>> layer = Conv1d(p=2, q=3, n=4, kernel=3, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 8, 2, 4, 4))).shape
    (32, 6, 3, 4, 4)
    """

    weight: Float[Array, "q p r n n"]
    _axes = 1
    __init__ = _Conv.__init__

    def __call__(
        self, x: Float[AnyArray, "*batch t {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch _ {self.q} {self.n} {self.n}"]:
        """Applies the layer.

        **Arguments:** `x`: `(*batch, t, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, t', q, n, n)`.
        **Raises:** `ContractError` if the trailing axes are not `(t, p, n, n)`; `ValueError` for a kernel longer
        than the padded axis.
        """
        return matrix_conv1d(self.params, x, **self._options)


@contract
class Conv2d(_Conv):
    """Convolution of an image of matrix neurons: `y_hw,q = Σ_ij,p W_qp,ij @ x_(h+i)(w+j),p + B_q`.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `kernel`, `stride`, `dilation`: an int, or
    one for each axis; `padding`, `groups`: as for `functional.matrix_conv2d`; `use_bias`, `initializer`, `dtype`,
    `key`: as for `Dense`, with a draw for each group. The weight is `(q, p / groups, h, w, n, n)`.
    **Raises:** `ValueError` for a size below 1 or of another count of axes, for a p or q that `groups` does not divide,
    and for padding that is negative or of a wrong name or count.
    **Source:** MATNETS 1.1.0, `matrix_conv2d`.

    >>> import jax, jax.numpy as jnp
    >>> layer = Conv2d(p=2, q=3, n=4, kernel=3, key=jax.random.key(0))
    >>> layer(jnp.ones((32, 8, 8, 2, 4, 4))).shape
    (32, 6, 6, 3, 4, 4)
    """

    weight: Float[Array, "q p h w n n"]
    _axes = 2
    __init__ = _Conv.__init__

    def __call__(
        self, x: Float[AnyArray, "*batch h w {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch _ _ {self.q} {self.n} {self.n}"]:
        """Applies the layer.

        **Arguments:** `x`: `(*batch, h, w, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, h', w', q, n, n)`.
        **Raises:** `ContractError` if the trailing axes are not `(h, w, p, n, n)`; `ValueError` for a kernel
        longer than a padded axis.
        """
        return matrix_conv2d(self.params, x, **self._options)


@contract
class Conv3d(_Conv):
    """Convolution of a volume of matrix neurons: `y_dhw,q = Σ_ijk,p W_qp,ijk @ x_(d+i)(h+j)(w+k),p + B_q`.

    **Arguments:** `p`, `q`, `n`: neurons in, neurons out and matrix side; `kernel`, `stride`, `dilation`: an int, or
    one for each axis; `padding`, `groups`: as for `functional.matrix_conv3d`; `use_bias`, `initializer`, `dtype`,
    `key`: as for `Dense`, with a draw for each group. The weight is `(q, p / groups, d, h, w, n, n)`.
    **Raises:** `ValueError` for a size below 1 or of another count of axes, for a p or q that `groups` does not divide,
    and for padding that is negative or of a wrong name or count.
    **Source:** MATNETS 1.1.0, `matrix_conv2d`, in three dimensions.

    >>> import jax, jax.numpy as jnp
    >>> layer = Conv3d(p=2, q=3, n=4, kernel=3, key=jax.random.key(0))
    >>> layer(jnp.ones((8, 6, 6, 6, 2, 4, 4))).shape
    (8, 4, 4, 4, 3, 4, 4)
    """

    weight: Float[Array, "q p d h w n n"]
    _axes = 3
    __init__ = _Conv.__init__

    def __call__(
        self, x: Float[AnyArray, "*batch d h w {self.p} {self.n} {self.n}"], *, key: PRNGKeyArray | None = None
    ) -> Float[Array, "*batch _ _ _ {self.q} {self.n} {self.n}"]:
        """Applies the layer.

        **Arguments:** `x`: `(*batch, d, h, w, p, n, n)`; `key`: not used.
        **Returns:** `(*batch, d', h', w', q, n, n)`.
        **Raises:** `ContractError` if the trailing axes are not `(d, h, w, p, n, n)`; `ValueError` for a kernel
        longer than a padded axis.
        """
        return matrix_conv3d(self.params, x, **self._options)
