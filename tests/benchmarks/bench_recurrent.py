"""Cells over a sequence, ours beside a scan of matnets' steps: `pytest tests/benchmarks/bench_recurrent.py -s`.

Theirs is one product for each gate and step, ours one for all gates, with the input's part taken out of the loop where
columns meet, as here in an LSTM. The ratios are of one run; nothing is asserted, since times are the machine's.
"""

import functools
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import matnets
import pytest

from matrinox.nn import GRUCell, LSTMCell, Recurrent, RNNCell

# Batch, steps, p, q, n.
SIZES = [(32, 64, 4, 8, 2), (32, 64, 8, 16, 4), (16, 64, 32, 32, 4)]
# Gates that multiply as matrices, as theirs do; the cost of that is in both.
CELLS = {"h": RNNCell, "zrn": GRUCell, "ifgo": functools.partial(LSTMCell, gating="raw_matmul")}
STEPS = {"h": matnets.nn.rnn_step, "zrn": matnets.nn.gru_step, "ifgo": matnets.nn.lstm_step}


def by_matnets(cell, x):
    gates = {1: "h", 3: "zrn", 4: "ifgo"}[cell.gates]
    weights, biases = jnp.split(cell.weight, len(gates)), jnp.split(cell.bias, len(gates))
    params = {name: matnets.MatrixParams(W, B) for name, W, B in zip(gates, weights, biases, strict=True)}
    params = params["h"] if gates == "h" else params
    start = cell.initial_carry()

    def run(x):
        return jax.lax.scan(lambda carry, x: STEPS[gates](params, carry, x), start, x)[1]

    return jax.vmap(run)(x)


def by_matrinox(cell, x):
    return Recurrent(cell)(x)


def gradient(run):
    return lambda cell, x: eqx.filter_grad(lambda cell: jnp.sum(run(cell, x) ** 2))(cell)


def milliseconds(runs, *operands):
    """The best of several rounds of each, taken in turn, so that both meet the same load."""
    compiled = [eqx.filter_jit(run) for run in runs]
    best = [float("inf")] * len(runs)
    for _ in range(10):
        for index, run in enumerate(compiled):
            jax.block_until_ready(jax.tree.leaves(eqx.filter(run(*operands), eqx.is_array)))
            start = time.perf_counter()
            jax.block_until_ready(jax.tree.leaves(eqx.filter(run(*operands), eqx.is_array)))
            best[index] = min(best[index], time.perf_counter() - start)
    return [1e3 * seconds for seconds in best]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("gates", CELLS)
def bench_recurrent(gates, size):
    batch, t, p, q, n = size
    cell = CELLS[gates](p=p, q=q, n=n, key=jax.random.key(0))
    # Small, as raw gates let the state explode, and infinities take longer.
    x = 0.01 * jax.random.normal(jax.random.key(1), (batch, t, p, n, n))
    for name, part in (("forward", lambda run: run), ("gradient", gradient)):
        theirs, ours = milliseconds([part(by_matnets), part(by_matrinox)], cell, x)
        kind = type(cell).__name__
        print(f"\n{kind:8} {name:8} {size}: {theirs:.2f} ms by matnets, {ours:.2f} ours ({theirs / ours:.2f}×)")
