from typing import Any

import equinox as eqx
import jax
import numpy as np

from layer_table.row import DENSE, IMAGE, SEQUENCE, WRONG_DENSE, WRONG_IMAGE, WRONG_SEQUENCE, Row, with_weights, without
from matrinox import nn


class OverExamples(eqx.Module):
    """FlattenBatch, mapped over all axes in front of the four that it takes: it has one batch axis, not any number."""

    layer: nn.FlattenBatch

    def __call__(self, x: Any, *, key: Any = None) -> Any:
        layer = self.layer
        for _ in range(np.ndim(x) - 4):
            layer = jax.vmap(layer)
        return layer(x)


ROWS = {
    "Mean": Row(without(nn.Mean), DENSE, WRONG_DENSE),
    "Trace": Row(without(nn.Trace), DENSE, WRONG_DENSE),
    "FrobeniusNorm": Row(without(nn.FrobeniusNorm), DENSE, WRONG_DENSE),
    "Flatten": Row(without(nn.Flatten), DENSE, WRONG_DENSE),
    "FlattenBatch": Row(
        lambda key, dtype: OverExamples(nn.FlattenBatch()), (2, *DENSE), (2, *WRONG_DENSE), refuser="FlattenBatch"
    ),
    "FlattenSpace": Row(without(nn.FlattenSpace), IMAGE, WRONG_IMAGE),
    "Sum": Row(without(nn.Sum), DENSE, WRONG_DENSE),
    "LastStep": Row(without(nn.LastStep), SEQUENCE, WRONG_SEQUENCE),
    "ClassificationHead": Row(with_weights(nn.ClassificationHead, 2, 3, 3), DENSE, WRONG_DENSE),
    "RegressionHead": Row(with_weights(nn.RegressionHead, 2, 3, 3), DENSE, WRONG_DENSE),
    "FlattenLinear": Row(with_weights(nn.FlattenLinear, 2, 3, 3), DENSE, WRONG_DENSE),
    "Prototypes": Row(with_weights(nn.Prototypes, 2, 3, 3), DENSE, WRONG_DENSE),
}
