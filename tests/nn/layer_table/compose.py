from typing import Any

import equinox as eqx
import jax

from layer_table.row import DENSE, WRONG_DENSE, Row, drawn, without
from matrinox import nn


def dense(key: jax.Array, dtype: Any, p: int = 2, q: int = 2, **options: Any) -> nn.Dense:
    return nn.Dense(p=p, q=q, n=3, initializer=drawn, key=key, dtype=dtype, **options)


def chain(key: jax.Array, dtype: Any) -> eqx.Module:
    return nn.Sequential([dense(key, dtype), nn.Tanh()])


def residual(key: jax.Array, dtype: Any) -> eqx.Module:
    body, shortcut = jax.random.split(key)
    return nn.Residual(nn.Sequential([dense(body, dtype, q=4), nn.Tanh()]), shortcut=dense(shortcut, dtype, q=4))


def branch_sum(key: jax.Array, dtype: Any) -> eqx.Module:
    return nn.BranchSum([dense(key, dtype) for key in jax.random.split(key)])


def twice(x: Any) -> tuple[Any, Any]:
    return x, x


def total(x: tuple[Any, ...]) -> Any:
    return sum(x)


def parallel(key: jax.Array, dtype: Any) -> eqx.Module:
    # A pair is what it takes and gives.
    layers = [nn.Sequential([dense(key, dtype), nn.Tanh()]) for key in jax.random.split(key)]
    return nn.Sequential([twice, nn.Parallel(layers), total])


OF_DENSE = (DENSE, (2, 4, 4), "axis -2 is 4, n is 3", "Dense")

ROWS = {
    "BranchSum": Row(branch_sum, *OF_DENSE),
    # Its draws depend on the shape: here in inference, tests/nn/test_dropout.py has the rest.
    "Dropout": Row(without(nn.Dropout, 0.5, inference=True), DENSE, WRONG_DENSE),
    "Lambda": Row(lambda key, dtype: nn.Lambda(dense(key, dtype, q=5)), *OF_DENSE, takes_anything=True),
    "Parallel": Row(parallel, *OF_DENSE),
    "Residual": Row(residual, *OF_DENSE),
    "Sequential": Row(chain, *OF_DENSE),
}
