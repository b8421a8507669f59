"""`jax.nn.dot_product_attention`, and the choice of what computes it: a GPU's fused kernel where there is one."""

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import jax
import jax.numpy as jnp
from jax import Array

Implementation: TypeAlias = Literal["xla", "cudnn"] | None
"""What computes attention: XLA, cuDNN's fused kernel, or `None` for the latter where it can."""

_FUSED_SINCE = (8, 0)


def fused_attention(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None,
    bias: Array | None,
    *,
    causal: bool,
    implementation: Implementation,
) -> Array:
    """`jax.nn.dot_product_attention`, with 0 where a query sees no key.

    **Arguments:** `query`: `(batch, t, heads, f)`; `key`, `value`: `(batch, s, kv_heads, f)`; `mask`, `bias`: four
    axes that broadcast to `(batch, heads, t, s)`; a bias of −∞ masks too.
    **Returns:** `(batch, t, heads, f)`.
    **Raises:** `ValueError` for `"cudnn"` where that cannot be; JAX's `RuntimeError` on an NVIDIA GPU without cuDNN,
    where `"xla"` can be chosen.
    """

    def by_xla(query: Array, key: Array, value: Array, mask: Array | None, bias: Array | None) -> Array:
        floor = -jnp.finfo(jnp.float32).max / 2
        bias = None if bias is None else jnp.maximum(bias.astype(jnp.float32), floor)
        return jax.nn.dot_product_attention(query, key, value, bias, mask, is_causal=causal, implementation="xla")

    def by_cudnn(query: Array, key: Array, value: Array, mask: Array | None, bias: Array | None) -> Array:
        pairs = query.shape[1], key.shape[1]
        mask, bias = (None if x is None else jnp.broadcast_to(x, (*x.shape[:2], *pairs)) for x in (mask, bias))
        if bias is not None:
            # Above what stands for a masked key there, which in float16 is no more than −2¹⁵.
            floor = -(2.0**14) if query.dtype == jnp.float16 else -(2.0**40)
            bias = jnp.maximum(bias, floor).astype(query.dtype)
        return jax.nn.dot_product_attention(query, key, value, bias, mask, is_causal=causal, implementation="cudnn")

    operands = query, key, value, mask, bias
    obstacle = None if implementation == "xla" else _obstacle(by_cudnn, *operands)
    if implementation == "cudnn" and obstacle:
        raise ValueError(
            f"`implementation` (='cudnn') cannot compute this attention: {obstacle} Leave it None for what can."
        )
    if implementation == "xla" or obstacle:
        y = by_xla(*operands)
    elif implementation == "cudnn":
        y = by_cudnn(*operands)
    else:
        # Both keep for the gradient what either keeps: without `checkpoint`, the weights of all pairs.
        y = jax.lax.platform_dependent(*operands, cuda=by_cudnn, default=jax.checkpoint(by_xla))
    sees = _sees(mask, bias, causal, query.shape[1], key.shape[1])
    return y if sees is None else jnp.where(jnp.swapaxes(sees, 1, 2), y, 0)


def _obstacle(by_cudnn: Callable[..., Array], query: Array, *rest: Array | None) -> str | None:
    """Why cuDNN cannot compute attention and its gradient, or `None` if it can.

    **Raises:** what JAX raises for another reason than that the kernel does not take this: it would hide a fault.
    """
    if query.dtype not in (jnp.float16, jnp.bfloat16):
        return f"it takes half precision, not {query.dtype}."
    capability = compute_capability()
    if capability is None or capability < _FUSED_SINCE:
        return "it needs an NVIDIA GPU of compute capability 8.0 or more."

    def with_gradient(query: Array, *rest: Array | None) -> Any:
        y, pullback = jax.vjp(lambda query: by_cudnn(query, *rest), query)
        return pullback(y)

    try:
        jax.eval_shape(with_gradient, query, *rest)
    except NotImplementedError as refusal:
        return f"{refusal}"
    return None


def compute_capability() -> tuple[int, ...] | None:
    """Of the NVIDIA GPU that programs run on by default; `None` where they run elsewhere."""
    device = jax.devices()[0]
    if device.platform != "gpu" or "cuda" not in device.client.platform_version:
        return None
    return tuple(int(part) for part in device.compute_capability.split("."))


def _sees(mask: Array | None, bias: Array | None, causal: bool, t: int, s: int) -> Array | None:
    """Whether a query sees a key, `(batch, heads, t, 1)`; `None` if every one does."""
    if mask is None and bias is None:
        return None
    seen = jnp.ones((1, 1, 1, 1), bool) if mask is None else mask
    if bias is not None:
        seen = seen & (bias > -jnp.inf)
    if causal:
        seen = seen & jnp.tri(t, s, dtype=bool)
    return jnp.any(seen, axis=-1, keepdims=True)
