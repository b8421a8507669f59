from typing import Any

import equinox as eqx
import jax

from layer_table.row import DENSE, IMAGE, WRONG_DENSE, WRONG_IMAGE, Row
from matrinox import nn


class InInference(eqx.Module):
    """A stateful layer with its state, in inference: a layer as the table takes it."""

    layer: Any
    state: eqx.nn.State

    def __call__(self, x, *, key=None):
        # A layer spends the state it is given.
        state = jax.tree.map(lambda leaf: leaf, self.state)
        return self.layer(x, state, key=key)[0]


def sized(layer, *args, **options):
    return lambda key, dtype: layer(*args, dtype=dtype, **options)


def in_inference(layer, *args, **options):
    def make(key, dtype):
        return InInference(*eqx.nn.make_with_state(layer)(*args, inference=True, dtype=dtype, **options))

    return make


ROWS = {
    "LayerNorm": Row(sized(nn.LayerNorm, p=2, n=3), DENSE, (2, 4, 4), "axis -2 is 4, n is 3"),
    "RMSNorm": Row(sized(nn.RMSNorm, p=2, n=3), DENSE, (5, 3, 3), "axis -3 is 5, p is 2"),
    "GroupNorm": Row(sized(nn.GroupNorm, groups=2, p=2, n=3, axes=2), IMAGE, WRONG_IMAGE, "axis -1 is 4, n is 3"),
    "InstanceNorm": Row(sized(nn.InstanceNorm, p=2, n=3, axes=2), IMAGE, WRONG_IMAGE, "axis -1 is 4, n is 3"),
    "FrobeniusNormalization": Row(sized(nn.FrobeniusNormalization, p=2, n=3), DENSE, WRONG_DENSE, "axis -1 is 4"),
    "SpectralNormalization": Row(sized(nn.SpectralNormalization, p=2, n=3), DENSE, WRONG_DENSE, "axis -1 is 4"),
    "BatchNorm": Row(in_inference(nn.BatchNorm, p=2, n=3), DENSE, WRONG_DENSE, "axis -1 is 4", "BatchNorm"),
    "ZNorm": Row(
        in_inference(nn.ZNorm, p=2, n=3, axis="channel_last"), DENSE, (5, 3, 3), "axis -3 is 5, p is 2", "ZNorm"
    ),
}
