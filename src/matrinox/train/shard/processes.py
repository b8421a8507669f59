"""Several processes of one run, on one machine or many: the same command in each, joined before JAX begins.

They make the same calls in the same order: those marked "together" wait for the others.
"""

import socket
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from matrinox.contract import contract

_LOOPBACK = ("127.0.0.1", "localhost", "[::1]")
_PAUSE = 0.1


@contract
def join_processes(
    count: int | None = None, index: int | None = None, coordinator: str | None = None, *, seconds: int = 60
) -> None:
    """Makes this process one of several, whose devices are then one set: call it before anything of JAX's is computed.

    With no arguments, JAX finds out from the cluster that started the processes: Slurm, Open MPI, Kubernetes, a TPU's.
    A process that is killed ends the others, and one that is done waits for them, for five minutes at most.

    **Arguments:** `count`: of processes; `index`: of this one, from 0; `coordinator`: where the first one listens, such
    as `"127.0.0.1:12345"`, the same in all, with a free port; `seconds`: how long to wait for the others.
    **Raises:** `ValueError` for some of the three without the others, an `index` out of range, and a `coordinator`
    without a port; `TimeoutError` if none listens; `RuntimeError` as JAX gives it, if something was computed already
    or the port is taken.
    """
    given = {"count": count, "index": index, "coordinator": coordinator}
    if any(value is None for value in given.values()) and any(value is not None for value in given.values()):
        raise ValueError(
            f"`count` (={count}), `index` (={index}) and `coordinator` (={coordinator}) must be given together: give "
            "all three, or none on a cluster that tells them."
        )
    if count is None or index is None or coordinator is None:
        jax.distributed.initialize(initialization_timeout=seconds)
        return
    if not 0 <= index < count:
        raise ValueError(f"`index` (={index}) must be from 0 to below `count` (={count}): number the processes so.")
    host, colon, port = coordinator.rpartition(":")
    if not (host and colon and port.isdigit() and 0 < int(port) < 2**16):
        raise ValueError(f"`coordinator` (={coordinator!r}) must be a host and a port: such as '127.0.0.1:12345'.")
    if index > 0:
        _wait_for(host, int(port), seconds)
    jax.distributed.initialize(
        coordinator,
        count,
        index,
        # What is told needs no guess, which would ask the network.
        cluster_detection_method="deactivate",
        initialization_timeout=seconds,
        # By default it listens to the whole network.
        coordinator_bind_address=coordinator if host in _LOOPBACK else None,
    )


def is_main() -> bool:
    """Whether this process is the one that writes and prints: the first, or the only one."""
    return jax.process_index() == 0


def any_of(happened: bool) -> bool:
    """Together: whether it happened in any process, such as that Ctrl-C came."""
    if jax.process_count() == 1:
        return happened
    return bool(np.any(multihost_utils.process_allgather(np.asarray(happened))))


def in_main(act: Callable[[], Any]) -> None:
    """Together: the main process acts, such as writes a file, and the others wait.

    **Arguments:** `act`: what to do, without a call that is "together".
    **Raises:** in the main process what `act` raises; then `RuntimeError` in all others.
    """
    if jax.process_count() == 1:
        act()
        return
    failure = None
    if is_main():
        try:
            act()
        except BaseException as error:
            failure = error
    failed = any_of(failure is not None)
    if failure is not None:
        raise failure
    if failed:
        raise RuntimeError("process 0 has ended the run: it says why.")


def _wait_for(host: str, port: int, seconds: int) -> None:
    """Waits until somebody listens there: where nobody does, JAX would end the process with a trace of its own."""
    until = time.monotonic() + seconds
    while True:
        try:
            socket.create_connection((host.strip("[]"), port), timeout=max(_PAUSE, until - time.monotonic())).close()
            return
        except OSError as error:
            if time.monotonic() + _PAUSE > until:
                raise TimeoutError(
                    f"`coordinator` (={host}:{port}) must listen within {seconds} s: start process 0 there. {error}"
                ) from error
        time.sleep(_PAUSE)
