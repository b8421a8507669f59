"""A chain of which every weight is constrained, and what tells whether the weights obey."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
from layer_table.row import drawn

from matrinox import nn

KEYS = jax.random.split(jax.random.key(0), 4)
LAWS = {
    "layers[0].weight": nn.Orthogonal(),
    "layers[0].bias": nn.Symmetric(),
    "layers[1].weight": nn.SpectralNorm(bound=0.8),
    "layers[1].bias": nn.Antisymmetric(),
    "layers[2].weight": nn.Orthogonal(per="matrix"),
    "layers[2].bias": nn.Triangular(diagonal="positive"),
}


def chain(layers=3, p=2):
    dense = [nn.Dense(p=p, q=p, n=2, initializer=drawn, key=key) for key in KEYS[:layers]]
    return jax.tree.map(lambda leaf: 3 * leaf + 0.1 if eqx.is_inexact_array(leaf) else leaf, nn.Sequential(dense))


def draw(*shape):
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), jnp.float32)


def transposed(x):
    return np.swapaxes(x, -1, -2)


def require_laws(model):
    """That the weights obey `LAWS`, in float64."""
    model = jax.tree.map(lambda leaf: np.asarray(leaf, np.float64) if eqx.is_array(leaf) else leaf, model)
    first, second, third = model.layers
    matrix = flat(first.weight)
    np.testing.assert_allclose(matrix @ matrix.T, np.eye(4), atol=1e-5)
    np.testing.assert_array_equal(first.bias, transposed(first.bias))
    assert np.linalg.svd(flat(second.weight), compute_uv=False)[0] <= 0.8 * (1 + 1e-5)
    np.testing.assert_array_equal(second.bias, -transposed(second.bias))
    np.testing.assert_allclose(
        third.weight @ transposed(third.weight), np.broadcast_to(np.eye(2), (2, 2, 2, 2)), atol=1e-5
    )
    np.testing.assert_array_equal(third.bias[:, 0, 1], 0)
    assert (third.bias[:, [0, 1], [0, 1]] > 0).all()


def flat(weight):
    """The map `(q·n × p·k·n)`, by the indices of its definition."""
    weight = np.asarray(weight, np.float64)
    q, n, m = weight.shape[0], *weight.shape[-2:]
    weight = weight.reshape(q, -1, n, m)
    out = np.zeros((q * n, weight.shape[1] * m))
    for (i, p), block in ((index, weight[index]) for index in np.ndindex(weight.shape[:2])):
        out[i * n : (i + 1) * n, p * m : (p + 1) * m] = block
    return out
