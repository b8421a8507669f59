"""Arrays on top of each other, and apart again: `jnp.stack` and `jnp.unstack`, each the transpose of the other.

The gradient of `jnp.stack` takes each array out by a slice of its own. On a CPU every slice is a kernel to be compiled,
of all leaves of all layers, which takes longer than the layers themselves. Here one kernel takes out all of a leaf.
Arrays on a mesh of devices go by `jnp.stack`, whose rules keep their sharding.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.core import ShapedArray
from jax.extend.core import Primitive
from jax.interpreters import ad, batching, mlir

_stack_p = Primitive("stack_layers")
_unstack_p = Primitive("unstack_layers")
_unstack_p.multiple_results = True


def stacked(arrays: Sequence[jax.Array]) -> jax.Array:
    """The arrays, of one shape and dtype, along a new axis in front."""
    on_mesh = any(not jax.typeof(array).sharding.mesh.empty for array in arrays)
    if on_mesh or not jax.sharding.get_abstract_mesh().empty or not jnp.issubdtype(arrays[0].dtype, jnp.inexact):
        return jnp.stack(arrays)
    return _stack_p.bind(*arrays)


def _stack(*arrays: jax.Array) -> jax.Array:
    if arrays[0].ndim == 0:
        return jnp.stack(arrays)
    # One operation, where `jnp.stack` has one more for every array.
    return jax.lax.concatenate(arrays, 0).reshape(len(arrays), *arrays[0].shape)


def _unstack(stack: jax.Array, *, count: int) -> list[jax.Array]:
    return [jax.lax.index_in_dim(stack, index, keepdims=False) for index in range(count)]


def _unstack_in_one_kernel(stack: jax.Array, *, count: int) -> list[jax.Array]:
    flat = stack.reshape(count, -1)
    # A reduction is the one operation with many results, and of two equal rows the latter is either. A single row would
    # be simplified to slices.
    rows = [jnp.broadcast_to(row, (2, *row.shape)) for row in _unstack(flat, count=count)]
    zeros = [jnp.zeros((), stack.dtype)] * count
    taken = jax.lax.reduce(rows, zeros, lambda before, row: row, (0,))
    return [row.reshape(stack.shape[1:]) for row in taken]


def _stack_shape(*arrays: Any) -> ShapedArray:
    return ShapedArray((len(arrays), *arrays[0].shape), arrays[0].dtype)


def _unstack_shape(stack: Any, *, count: int) -> list[ShapedArray]:
    return [ShapedArray(stack.shape[1:], stack.dtype)] * count


def _stack_transpose(cotangent: Any, *arrays: Any) -> list[Any]:
    return _unstack_p.bind(cotangent, count=len(arrays))


def _unstack_transpose(cotangents: Any, stack: Any, *, count: int) -> list[Any]:
    return [_stack_p.bind(*(ad.instantiate_zeros(cotangent) for cotangent in cotangents))]


def _stack_batched(arrays: Any, axes: Any) -> tuple[Any, int]:
    size = next(array.shape[axis] for array, axis in zip(arrays, axes, strict=True) if axis is not None)
    fronted = [
        jnp.broadcast_to(array, (size, *array.shape)) if axis is None else jnp.moveaxis(array, axis, 0)
        for array, axis in zip(arrays, axes, strict=True)
    ]
    return _stack_p.bind(*fronted), 1


def _unstack_batched(stacks: Any, axes: Any, *, count: int) -> tuple[list[Any], list[int]]:
    stack = jnp.moveaxis(stacks[0], axes[0], 1)
    return _unstack_p.bind(stack, count=count), [0] * count


_stack_p.def_impl(_stack)
_stack_p.def_abstract_eval(_stack_shape)
ad.deflinear2(_stack_p, _stack_transpose)
batching.primitive_batchers[_stack_p] = _stack_batched
mlir.register_lowering(_stack_p, mlir.lower_fun(_stack, multiple_results=False))
_unstack_p.def_impl(_unstack)
_unstack_p.def_abstract_eval(_unstack_shape)
ad.deflinear2(_unstack_p, _unstack_transpose)
batching.primitive_batchers[_unstack_p] = _unstack_batched
mlir.register_lowering(_unstack_p, mlir.lower_fun(_unstack, multiple_results=True))
mlir.register_lowering(_unstack_p, mlir.lower_fun(_unstack_in_one_kernel, multiple_results=True), platform="cpu")
