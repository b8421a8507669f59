from typing import Any

import equinox as eqx
import jax

from layer_table.compose import OF_DENSE, dense
from layer_table.row import Row
from matrinox import nn


def tied(key: jax.Array, dtype: Any) -> eqx.Module:
    encoder, decoder = jax.random.split(key)
    layers = [dense(encoder, dtype, q=4), nn.Tanh(), dense(decoder, dtype, p=4, transposed=True)]
    return nn.Tied(nn.Sequential(layers), {"layers[2].weight": "layers[0].weight"})


def constrained(key: jax.Array, dtype: Any) -> eqx.Module:
    layers = [dense(key, dtype) for key in jax.random.split(key)]
    laws = {
        "layers[0].weight": nn.Orthogonal(),
        "layers[0].bias": nn.Symmetric(),
        "layers[1].weight": nn.SpectralNorm(bound=0.5, per="matrix"),
        "layers[1].bias": nn.Triangular(diagonal="positive"),
    }
    return nn.Constrained(nn.Sequential(layers), laws)


ROWS = {
    "Constrained": Row(constrained, *OF_DENSE),
    "Tied": Row(tied, *OF_DENSE),
}
