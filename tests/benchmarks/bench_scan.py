"""Scans at once beside step by step, and what their gradients hold: `pytest tests/benchmarks/bench_scan.py -s`.

Nothing is asserted, since times are the machine's: an associative scan does more work in fewer steps, which pays where
there is much to do at once.
"""

import time

import jax
import jax.numpy as jnp
import pytest

from matrinox.functional import diagonal_scan, matrix_scan, scan, selective_scan

SCANS = {"diagonal": diagonal_scan, "matrix": matrix_scan}
# Batch, p, n.
SIZE = (8, 16, 4)
STEPS = (16, 128, 1024)
STATE = 16
WAYS = [("associative", None), ("associative", 32), ("sequential", None), ("sequential", 32)]


def gradient(run):
    def of_all(*operands):
        return jax.grad(lambda operands: jnp.sum(run(*operands) ** 2))(operands)

    return of_all


def milliseconds(runs, *operands):
    """The best of several rounds of each, taken in turn, so that all meet the same load; and the MB they hold."""
    compiled = [jax.jit(run).lower(*operands).compile() for run in runs]
    best = [float("inf")] * len(runs)
    for _ in range(3):
        for index, run in enumerate(compiled):
            jax.block_until_ready(run(*operands))
            start = time.perf_counter()
            jax.block_until_ready(run(*operands))
            best[index] = min(best[index], time.perf_counter() - start)
    held = [run.memory_analysis().temp_size_in_bytes / 1e6 for run in compiled]
    return [1e3 * seconds for seconds in best], held


@pytest.mark.parametrize("t", STEPS)
@pytest.mark.parametrize("name", SCANS)
def bench_scan(name, t):
    batch, p, n = SIZE
    scan = SCANS[name]
    a, u = jax.random.normal(jax.random.key(0), (2, batch, t, p, n, n))
    # Products that neither vanish nor explode: infinities take longer.
    a = jnp.linalg.qr(a)[0] if name == "matrix" else jnp.tanh(a)
    for kind, part in (("forward", lambda run: run), ("gradient", gradient)):
        runs = [part(lambda a, u, way=way: scan(a, u, method=way)) for way in ("associative", "sequential")]
        (at_once, in_turn), held = milliseconds(runs, a, u)
        print(
            f"\n{name:8} {kind:8} t={t:4}: {at_once:.2f} ms at once, {in_turn:.2f} in turn ({in_turn / at_once:.2f}×); "
            f"{held[0]:.1f} and {held[1]:.1f} MB"
        )


@pytest.mark.parametrize("n", range(2, 9))
def bench_products_of_small_matrices(n, monkeypatch):
    batch, p, _ = SIZE
    a, u = jax.random.normal(jax.random.key(0), (2, batch, 64, p, n, n))
    a = jnp.linalg.qr(a)[0]
    for method in ("associative", "sequential"):
        for kind, part in (("forward", lambda run: run), ("gradient", gradient)):
            (ours,), _ = milliseconds([part(lambda a, u, m=method: matrix_scan(a, u, method=m))], a, u)
            with monkeypatch.context() as patch:
                patch.setattr(scan, "matrix_product", jnp.matmul)
                (theirs,), _ = milliseconds([part(lambda a, u, m=method: matrix_scan(a, u, method=m))], a, u)
            print(f"\nn={n} {method:11} {kind:8}: {ours:.2f} ms, {theirs:.2f} by matmul ({theirs / ours:.1f}×)")


@pytest.mark.parametrize("t", STEPS)
def bench_selective_scan(t):
    batch, p, n = 2, SIZE[1], SIZE[2]
    u, delta = jax.random.normal(jax.random.key(0), (2, batch, t, p, n, n))
    B, C = jax.random.normal(jax.random.key(1), (2, batch, t, STATE, n, n))
    A = -jnp.broadcast_to(jnp.arange(1.0, STATE + 1)[:, None, None], (p, STATE, n, n))
    for kind, part in (("forward", lambda run: run), ("gradient", gradient)):
        runs = [
            part(
                lambda u, delta, B, C, way=way, chunk=chunk: selective_scan(
                    u, jax.nn.softplus(delta), A, B, C, method=way, chunk=chunk
                )[1]
            )
            for way, chunk in WAYS
        ]
        times, held = milliseconds(runs, u, delta, B, C)
        for (way, chunk), taken, megabytes in zip(WAYS, times, held, strict=True):
            chunks = "whole" if chunk is None else f"chunks of {chunk}"
            print(f"\nselective {kind:8} t={t:4} {way:11} {chunks:12}: {taken:8.2f} ms, {megabytes:7.1f} MB")
