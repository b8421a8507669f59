"""A transformer in NumPy and float64, written out from its formulas."""

import math

import numpy as np


def dense(layer, x):
    y = np.einsum("qpij,...pjk->...qik", np.float64(layer.weight), x)
    return y if layer.bias is None else y + np.float64(layer.bias)


def layer_norm(layer, x):
    mean = x.mean(axis=(-3, -2, -1), keepdims=True)
    variance = ((x - mean) ** 2).mean(axis=(-3, -2, -1), keepdims=True)
    return (x - mean) / np.sqrt(variance + layer.eps) * np.float64(layer.weight) + np.float64(layer.bias)


def gelu(x):
    return 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


def attention(layer, x, memory, *, causal=False, mask=None):
    """Of one example: `x` `(t, p, n, n)`, `memory` `(s, p, n, n)`, `mask` `(t, s)`."""
    heads = []
    Q, K, V = dense(layer.query_proj, x), dense(layer.key_proj, memory), dense(layer.value_proj, memory)
    seen = np.ones((len(x), len(memory)), bool) if mask is None else np.array(mask)
    seen = np.tril(seen) if causal else seen
    for head in range(layer.heads):
        width = Q.shape[1] // layer.heads
        q, k, v = (tokens[:, head * width : (head + 1) * width] for tokens in (Q, K, V))
        scores = np.einsum("tpij,spij->ts", q, k) / math.sqrt(q[0].size)
        weights = np.exp(np.where(seen, scores, -np.inf))
        heads.append(np.einsum("ts,spij->tpij", weights / weights.sum(axis=1, keepdims=True), v))
    return dense(layer.output_proj, np.concatenate(heads, axis=1))


def feed_forward(layer, x):
    return dense(layer.layers[-1], gelu(dense(layer.layers[0], x)))


def branch(x, norm, f, pre_norm):
    return x + f(layer_norm(norm, x)) if pre_norm else layer_norm(norm, x + f(x))
