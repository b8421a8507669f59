from typing import Any

import equinox as eqx
import jax

from layer_table.row import DENSE, WRONG_DENSE, Row, drawn, without
from matrinox import nn


def chain(key: jax.Array, dtype: Any) -> eqx.Module:
    return nn.Sequential([nn.Dense(p=2, q=2, n=3, initializer=drawn, key=key, dtype=dtype), nn.Tanh()])


ROWS = {
    # Its draws depend on the shape: here in inference, tests/nn/test_dropout.py has the rest.
    "Dropout": Row(without(nn.Dropout, 0.5, inference=True), DENSE, WRONG_DENSE),
    "Lambda": Row(
        lambda key, dtype: nn.Lambda(nn.Dense(p=2, q=5, n=3, initializer=drawn, key=key, dtype=dtype)),
        DENSE,
        (2, 4, 4),
        "axis -2 is 4, n is 3",
        "Dense",
        takes_anything=True,
    ),
    "Sequential": Row(chain, DENSE, (2, 4, 4), "axis -2 is 4, n is 3", "Dense"),
}
