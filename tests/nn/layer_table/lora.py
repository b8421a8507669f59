from typing import Any

import equinox as eqx
import jax

from layer_table.row import DENSE, Row, drawn
from matrinox import nn


def adapted(key: jax.Array, dtype: Any) -> eqx.Module:
    first, second = jax.random.split(key)
    layers = [
        nn.Dense(p=2, q=4, n=3, initializer=drawn, key=first, dtype=dtype),
        nn.Tanh(),
        nn.Dense(p=4, q=2, n=3, initializer=drawn, transposed=True, key=second, dtype=dtype),
    ]
    return nn.lora(nn.Sequential(layers), 2, "**", alpha=1.0, initializer=drawn, key=key)


ROWS = {"LoRA": Row(adapted, DENSE, (2, 4, 4), "axis -2 is 4, n is 3", "Dense", frozen="model.**")}
