"""What the contract costs an eager call: `pytest tests/benchmarks/bench_contract.py`."""

import equinox as eqx
import jax
import jax.numpy as jnp
import jaxtyping
import pytest

from matrinox.nn import Dense


@pytest.mark.parametrize("checks", ["on", "off"])
def bench_dense_eager(benchmark, checks):
    layer, x = Dense(p=2, q=3, n=4, key=jax.random.key(0)), jnp.ones((2, 4, 4))
    jaxtyping.config.update("jaxtyping_disable", checks == "off")
    try:
        benchmark(lambda: layer(x).block_until_ready())
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)


@pytest.mark.parametrize("checks", ["on", "off"])
def bench_dense_compiled(benchmark, checks):
    layer, x = Dense(p=2, q=3, n=4, key=jax.random.key(0)), jnp.ones((2, 4, 4))
    jaxtyping.config.update("jaxtyping_disable", checks == "off")
    try:
        compiled = eqx.filter_jit(layer)
        compiled(x)
        benchmark(lambda: compiled(x).block_until_ready())
    finally:
        jaxtyping.config.update("jaxtyping_disable", False)
