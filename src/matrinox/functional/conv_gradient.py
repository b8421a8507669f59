"""Convolution over folded arrays, with gradients that stay fast at every order and inside a loop.

JAX's rules turn the gradients of a convolution into convolutions with exchanged axes; inside `lax.scan`, XLA's CPU
backend runs those tens to hundreds of times slower than outside. Here
- the input's gradient is a convolution in the ordinary layout, with the flipped kernel written out;
- the kernel's gradient is, on the CPU, one product of patches and cotangents for each chunk of the batch.

To few channels out, XLA's CPU backend convolves several times slower than to a few more, which are put in and cut off.

Both are linear in each argument, and so are their own gradients: all are pairings of the one form `Σ g · (x ∗ w)`. So
they are two bilinear primitives, closed under transposition, rather than a `custom_vjp`: that would refuse `jvp`, and
would leave derivatives of second order to JAX's rules.

Arrays are `(batch, *space, channels)`, kernels `(*kernel, channels in / groups, channels out)`, both of one dtype.
What is convolved comes in the dtype of the sums, gradients in that of the operands.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import ceil, prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

from matrinox.functional.precision import Precision
from matrinox.functional.window import spread_size

# Entries in the patches of one chunk: small enough for a core's cache, large enough to keep a product busy.
_CHUNK = 2**19

# What is padded, as measured: 17 channels out take a third of the time of 16 where 1 to 4 come in, and about as long
# from 16 on. Kernels below 3 × 3, one axis and holes in the input, as of a strided gradient, take longer padded; for
# fewer than 4 channels out, the padded output would be too large.
_PADDED_OUT, _MOST_IN, _FEWEST_OUT, _FEWEST_TAPS = 17, 16, 4, 9


@dataclass(frozen=True)
class Geometry:
    """How a kernel meets the input, and how the sums are taken: `accumulation` is their dtype, else the operands'.

    `spread - 1` zeros stand between the entries of the input. A negative padding cuts them off.
    """

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    spread: tuple[int, ...]
    groups: int
    precision: Precision = None
    # By name: NumPy's float64 equals None, so that `jit` would take one geometry for the other.
    accumulation: str | None = None

    def of_input_gradient(self, space: Sequence[int], kernel: Sequence[int], out: Sequence[int]) -> "Geometry":
        """How the flipped kernel meets the cotangent to give the gradient of an input of size `space`."""
        pairs = []
        for axis, (before, _) in enumerate(self.padding):
            extent = spread_size(kernel[axis], self.dilation[axis])
            left = extent - 1 - before
            ends = spread_size(space[axis], self.spread[axis]) - spread_size(out[axis], self.stride[axis])
            pairs.append((left, ends + extent - 1 - left))
        return replace(self, stride=self.spread, padding=tuple(pairs), spread=self.stride)


def convolve(x: Array, w: Array, geometry: Geometry) -> Array:
    """`x ∗ w`: `(batch, *space, c)` and `(*kernel, c / groups, o)` of one dtype to `(batch, *space', o)`."""
    x, w = _varying_alike(x, w)
    return _convolve_p.bind(x, w, geometry=geometry)


def _varying_alike(x: Array, w: Array) -> tuple[Array, Array]:
    # Under `shard_map`, the gradient of an operand that all devices share is summed over them where JAX sees the
    # operand become device-dependent; a zero taken from the other operand makes it see that.
    if not jax.sharding.get_abstract_mesh().manual_axes:
        return x, w
    return x + _zero_of(w), w + _zero_of(x)


def _zero_of(array: Array) -> Array:
    return lax.stop_gradient(jnp.sum(array.ravel()[:0]))


def _convolve(x: Array, w: Array, *, geometry: Geometry) -> Array:
    axes = len(geometry.stride)
    image = (0, axes + 1, *range(1, axes + 1))
    return lax.conv_general_dilated(
        x,
        w,
        geometry.stride,
        geometry.padding,
        lhs_dilation=geometry.spread,
        rhs_dilation=geometry.dilation,
        feature_group_count=geometry.groups,
        dimension_numbers=lax.ConvDimensionNumbers(image, (axes + 1, axes, *range(axes)), image),
        precision=geometry.precision,
        preferred_element_type=None if geometry.accumulation is None else jnp.dtype(geometry.accumulation),
    )


def _convolve_on_cpu(x: Array, w: Array, *, geometry: Geometry) -> Array:
    outputs = w.shape[-1]
    if not (_is_slow(w, geometry) and x.size):
        return _convolve(x, w, geometry=geometry)
    zeros = jnp.zeros((*w.shape[:-1], _PADDED_OUT - outputs), w.dtype)
    return _convolve(x, jnp.concatenate((w, zeros), -1), geometry=geometry)[..., :outputs]


def _is_slow(w: Array, geometry: Geometry) -> bool:
    *kernel, inputs, outputs = w.shape
    return (
        w.dtype == jnp.float32
        and geometry.accumulation in (None, "float32")
        and geometry.groups == 1
        and geometry.dilation == geometry.spread == (1, 1)
        and prod(kernel) >= _FEWEST_TAPS
        and inputs <= _MOST_IN
        and _FEWEST_OUT <= outputs < _PADDED_OUT
    )


def _input_gradient(g: Array, w: Array, *, space: tuple[int, ...], geometry: Geometry) -> Array:
    kernel = w.shape[:-2]
    flipped = jnp.flip(w, tuple(range(len(kernel))))
    each = w.shape[-1] // geometry.groups
    by_group = flipped.reshape(*w.shape[:-1], geometry.groups, each)
    exchanged = jnp.swapaxes(by_group, -3, -1).reshape(*kernel, each, geometry.groups * w.shape[-2])
    of_input = geometry.of_input_gradient(space, kernel, g.shape[1:-1])
    return _convolve_p.bind(g.astype(w.dtype), exchanged, geometry=of_input).astype(w.dtype)


def _kernel_gradient(x: Array, g: Array, *, kernel: tuple[int, ...], geometry: Geometry) -> Array:
    return _kernel_gradient_p.bind(x, g.astype(x.dtype), kernel=kernel, geometry=geometry)


def _kernel_gradient_by_convolution(x: Array, g: Array, *, kernel: tuple[int, ...], geometry: Geometry) -> Array:
    w = jnp.broadcast_to(_zero_of(x), (*kernel, x.shape[-1] // geometry.groups, g.shape[-1]))
    if geometry.accumulation is not None:
        g = g.astype(geometry.accumulation)
    return jax.linear_transpose(lambda w: _convolve(x, w, geometry=geometry), w)(g)[0]


def _kernel_gradient_by_patches(x: Array, g: Array, *, kernel: tuple[int, ...], geometry: Geometry) -> Array:
    batch, groups, taps = x.shape[0], geometry.groups, prod(kernel)
    rows = max(1, _CHUNK // max(1, prod(g.shape[1:-1]) * taps * x.shape[-1]))
    chunks = ceil(batch / rows)
    product = partial(_patch_product, kernel=kernel, geometry=geometry)
    if chunks <= 1:
        total = product(x, g)
    else:
        shape = (groups, g.shape[-1] // groups, taps, x.shape[-1] // groups)
        start = jnp.zeros(shape, _accumulator(x, geometry)) + _zero_of(x)
        parts = _in_chunks(x, chunks), _in_chunks(g, chunks)
        total, _ = lax.scan(lambda total, part: (total + product(*part), None), start, parts)
    return total.transpose(2, 3, 0, 1).reshape(*kernel, x.shape[-1] // groups, g.shape[-1]).astype(x.dtype)


def _in_chunks(array: Array, chunks: int) -> Array:
    rows = ceil(array.shape[0] / chunks)
    missing = chunks * rows - array.shape[0]
    if missing:
        # Rows of zeros add nothing to a sum of products.
        array = jnp.pad(array, ((0, missing),) + ((0, 0),) * (array.ndim - 1))
    return array.reshape(chunks, rows, *array.shape[1:])


def _accumulator(x: Array, geometry: Geometry) -> np.dtype:
    return jnp.dtype(geometry.accumulation or jnp.promote_types(x.dtype, jnp.float32))


def _patch_product(x: Array, g: Array, *, kernel: tuple[int, ...], geometry: Geometry) -> Array:
    """`Σ g_o · patch_kc`, over batch and space: `(groups, o / groups, taps, c / groups)`."""
    zeros = [spread - 1 for spread in geometry.spread]
    edges = ((before, after, inside) for (before, after), inside in zip(geometry.padding, zeros, strict=True))
    x = lax.pad(x, jnp.zeros((), x.dtype), ((0, 0, 0), *edges, (0, 0, 0)))
    spans = [spread_size(size, stride) for size, stride in zip(g.shape[1:-1], geometry.stride, strict=True)]
    taps = []
    for tap in itertools.product(*map(range, kernel)):
        first = [index * dilation for index, dilation in zip(tap, geometry.dilation, strict=True)]
        last = [start + span for start, span in zip(first, spans, strict=True)]
        taps.append(lax.slice(x, (0, *first, 0), (x.shape[0], *last, x.shape[-1]), (1, *geometry.stride, 1)))
    patches = jnp.stack(taps, axis=-2)
    # Sizes are written out: of an empty batch, -1 could not be told.
    positions, groups, inputs, outputs = prod(g.shape[:-1]), geometry.groups, x.shape[-1], g.shape[-1]
    einsum = partial(jnp.einsum, precision=geometry.precision, preferred_element_type=_accumulator(x, geometry))
    if groups == 1:
        # A group axis of length 1 would keep XLA from its plain matrix product.
        rows = patches.reshape(positions, len(taps) * inputs), g.reshape(positions, outputs)
        product = einsum("mk,mo->ok", *rows)
        return product.reshape(1, outputs, len(taps), inputs)
    patches = patches.reshape(positions, len(taps), groups, inputs // groups)
    g = g.reshape(positions, groups, outputs // groups)
    return einsum("mkgc,mgo->gokc", patches, g)


def _convolve_batched(operands: Sequence[Array], dims: Sequence[Any], *, geometry: Geometry) -> tuple[Array, int]:
    (x, w), (x_dim, w_dim) = operands, dims
    if w_dim is None:
        x = jnp.moveaxis(x, x_dim, 0)
        out = _convolve_p.bind(x.reshape(x.shape[0] * x.shape[1], *x.shape[2:]), w, geometry=geometry)
        return out.reshape(*x.shape[:2], *out.shape[1:]), 0
    size = w.shape[w_dim]
    if x_dim is None:
        out = _convolve_p.bind(x, _into_channels(w, w_dim, geometry.groups), geometry=geometry)
        return _out_of_channels(out, size, geometry.groups), 0
    x, w = _into_channels(x, x_dim, 1), _into_channels(w, w_dim, 1)
    out = _convolve_p.bind(x, w, geometry=replace(geometry, groups=size * geometry.groups))
    return _out_of_channels(out, size, 1), 0


def _kernel_gradient_batched(
    operands: Sequence[Array], dims: Sequence[Any], *, kernel: tuple[int, ...], geometry: Geometry
) -> tuple[Array, int]:
    (x, g), (x_dim, g_dim) = operands, dims
    bind = partial(_kernel_gradient_p.bind, kernel=kernel)
    if g_dim is None:
        out = bind(_into_channels(x, x_dim, geometry.groups), g, geometry=geometry)
        size = x.shape[x_dim]
        return out.reshape(*kernel, size, out.shape[-2] // size, g.shape[-1]), len(kernel)
    size = g.shape[g_dim]
    if x_dim is None:
        out = bind(x, _into_channels(g, g_dim, geometry.groups), geometry=geometry)
        return _out_of_channels(out, size, geometry.groups), 0
    x, g = _into_channels(x, x_dim, 1), _into_channels(g, g_dim, 1)
    out = bind(x, g, geometry=replace(geometry, groups=size * geometry.groups))
    return _out_of_channels(out, size, 1), 0


def _into_channels(array: Array, dim: int, groups: int) -> Array:
    """The mapped axis put between the groups and the channels of each, all as one axis at the end."""
    array = jnp.moveaxis(array, dim, 0)
    size, channels = array.shape[0], array.shape[-1]
    array = jnp.moveaxis(array.reshape(*array.shape[:-1], groups, channels // groups), 0, -2)
    return array.reshape(*array.shape[:-3], size * channels)


def _out_of_channels(array: Array, size: int, groups: int) -> Array:
    """Undoes `_into_channels`, with the mapped axis first."""
    channels = array.shape[-1] // size
    array = jnp.moveaxis(array.reshape(*array.shape[:-1], groups, size, channels // groups), -2, 0)
    return array.reshape(*array.shape[:-2], channels)


def _output_of(implementation: Any) -> Any:
    return lambda *avals, **options: jax.make_jaxpr(partial(implementation, **options))(*avals).out_avals[0]


_convolve_p = Primitive("matrix_convolve")
# Through `jit`, so that the lowerings below are those of the platform at hand.
_convolve_p.def_impl(jax.jit(_convolve_p.bind, static_argnames="geometry"))
_convolve_p.def_abstract_eval(_output_of(_convolve))
mlir.register_lowering(_convolve_p, mlir.lower_fun(_convolve, multiple_results=False))
mlir.register_lowering(_convolve_p, mlir.lower_fun(_convolve_on_cpu, multiple_results=False), platform="cpu")
ad.defbilinear(
    _convolve_p,
    lambda g, x, w, *, geometry: _input_gradient(g, w, space=x.aval.shape[1:-1], geometry=geometry),
    lambda g, x, w, *, geometry: _kernel_gradient(x, g, kernel=w.aval.shape[:-2], geometry=geometry),
)
batching.primitive_batchers[_convolve_p] = _convolve_batched

_kernel_gradient_p = Primitive("matrix_convolve_kernel_gradient")
_kernel_gradient_p.def_impl(jax.jit(_kernel_gradient_p.bind, static_argnames=("kernel", "geometry")))
_kernel_gradient_p.def_abstract_eval(_output_of(_kernel_gradient_by_convolution))
# Other backends have kernels of their own for this gradient.
mlir.register_lowering(_kernel_gradient_p, mlir.lower_fun(_kernel_gradient_by_convolution, multiple_results=False))
mlir.register_lowering(
    _kernel_gradient_p, mlir.lower_fun(_kernel_gradient_by_patches, multiple_results=False), platform="cpu"
)
ad.defbilinear(
    _kernel_gradient_p,
    lambda v, x, g, *, kernel, geometry: _input_gradient(g, v, space=x.aval.shape[1:-1], geometry=geometry),
    lambda v, x, g, *, kernel, geometry: _convolve_p.bind(x, v, geometry=geometry).astype(x.dtype),
)
batching.primitive_batchers[_kernel_gradient_p] = _kernel_gradient_batched
