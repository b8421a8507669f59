"""Runs each job of a list in a forked child with 2 s of CPU and 500 MB, and says what became of it; JSON in, JSON out.

Started as a process of its own; JAX is imported before the first fork, and no backend of it is ever started here.
"""

import errno
import gc
import json
import os
import resource
import signal
import sys
import tempfile
import time
import traceback
import warnings
from typing import Any

import equinox as eqx
import jax
import numpy as np
from tiny import TinyConfig, TinyNet

import matrinox.io

CPU_SECONDS = 2
MEMORY = 500 * 10**6
# What code from a file would have to go through: any of these during a load is an alarm.
ALARMS = ("exec", "compile", "import", "pickle.", "marshal.", "os.", "subprocess.", "socket.", "ctypes.", "shutil.")
HARMLESS = ("os.stat", "os.fstat", "os.lstat")


def limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    # RLIMIT_AS would count the half gigabyte of address space that importing jaxlib maps and never touches
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def load(job: dict[str, Any]) -> dict[str, Any]:
    """Loads one file, watched for whatever it makes Python do."""
    alarms: list[str] = []
    watching = True

    def watch(event: str, arguments: Any) -> None:
        if not watching:
            return
        writes = event == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
        if writes or (event.startswith(ALARMS) and event not in HARMLESS):
            alarms.append(f"{event} {arguments!r}"[:200])

    sys.addaudithook(watch)
    outcome = attempt(job["path"])
    watching = False
    gc.collect()
    # Equinox itself keeps the empty shell of the last module whose __init__ raised: count what has any field
    built = sum(isinstance(thing, TinyNet) and bool(vars(thing)) for thing in gc.get_objects())
    return {**outcome, "alarms": alarms, "built": built}


def attempt(path: str) -> dict[str, Any]:
    try:
        matrinox.io.load(path, {"TinyNet": TinyNet})
    except matrinox.io.ModelFileError as error:
        return {"outcome": "ModelFileError", "message": str(error)}
    except BaseException as error:
        return {"outcome": type(error).__name__, "message": str(error)[:500]}
    return {"outcome": "loaded", "message": ""}


def damage(job: dict[str, Any]) -> dict[str, Any]:
    """Loads many damaged copies of one file: bytes xored by a mask, or the file cut."""
    with open(job["path"], "rb") as file:
        good = file.read()
    survivors = []
    for at, mask in job["flips"]:
        bad = bytearray(good)
        bad[at] ^= mask
        survivors += unharmed(job["scratch"], bytes(bad), [at, mask])
    for length in job["cuts"]:
        survivors += unharmed(job["scratch"], good[:length], length)
    return {"outcome": "done", "survivors": survivors}


def unharmed(scratch: str, raw: bytes, case: Any) -> list[Any]:
    with open(scratch, "wb") as file:
        file.write(raw)
    outcome = attempt(scratch)
    return [] if outcome["outcome"] == "ModelFileError" else [[case, outcome]]


def numpy_net(seed: int, size: int) -> Any:
    """A plain tree of NumPy arrays, which needs no JAX backend to be saved."""
    values = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    return {"seed": seed, "weight": values, "bias": values[:7] * 2}


def save_and_die(job: dict[str, Any]) -> dict[str, Any]:
    """Saves over an old file and is killed at one point inside."""
    step, when = job["point"]
    original = getattr(os, step)
    calls = 0

    def dying(*arguments: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls < job["call"]:
            return original(*arguments)
        if when == "inside":
            file, part = arguments
            original(file, bytes(part)[: len(part) // 2])
        elif when == "after":
            original(*arguments)
        os.kill(os.getpid(), signal.SIGKILL)

    setattr(os, step, dying)
    matrinox.io.save(job["path"], numpy_net(job["seed"], job["size"]))
    return {"outcome": "saved"}


def save_again_and_again(job: dict[str, Any]) -> dict[str, Any]:
    """Saves two models in turn over one file until it is killed from outside."""
    nets = [numpy_net(seed, job["size"]) for seed in job["seeds"]]
    while True:
        for net in nets:
            matrinox.io.save(job["path"], net)


def save_with_a_full_disk(job: dict[str, Any]) -> dict[str, Any]:
    """Saves where no file may grow beyond a few bytes, which the kernel enforces in the middle of a write."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (job["most"], job["most"]))
    try:
        matrinox.io.save(job["path"], numpy_net(job["seed"], job["size"]))
    except matrinox.io.ModelFileError as error:
        return {"outcome": "ModelFileError", "message": str(error), "full": os.strerror(errno.EFBIG) in str(error)}
    return {"outcome": "saved"}


WORK = {
    "load": load,
    "damage": damage,
    "die": save_and_die,
    "loop": save_again_and_again,
    "full": save_with_a_full_disk,
}


def in_child(job: dict[str, Any]) -> dict[str, Any]:
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            limit()
            result = WORK[job["work"]](job)
            usage = resource.getrusage(resource.RUSAGE_SELF)
            result |= {"cpu": usage.ru_utime + usage.ru_stime, "megabytes": usage.ru_maxrss / 1024}
            os.write(write, json.dumps(result).encode())
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(write)
    if "kill_after" in job:
        time.sleep(job["kill_after"])
        os.kill(child, signal.SIGKILL)
    with open(read, "rb") as answer:
        text = answer.read()
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return {"outcome": signal.Signals(os.WTERMSIG(status)).name}
    return json.loads(text) if text else {"outcome": f"status {status}"}


def warm_up() -> None:
    """Goes all the way of a load once, up to the data: what Python imports lazily on that way is no alarm later."""
    shapes = eqx.filter_eval_shape(lambda: TinyNet(TinyConfig(), key=jax.random.key(0)))
    net = jax.tree.map(lambda x: np.zeros(x.shape, x.dtype) if isinstance(x, jax.ShapeDtypeStruct) else x, shapes)
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "model.safetensors")
        matrinox.io.save(path, net)
        with open(path, "r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\1")
        assert "the arrays are damaged" in attempt(path)["message"]


def main() -> None:
    warnings.simplefilter("ignore")
    warm_up()
    # what exists by now is left out of the collections and counts below, and its memory is not copied for a mark
    gc.freeze()
    print(json.dumps([in_child(job) for job in json.loads(sys.stdin.read())]))


if __name__ == "__main__":
    main()
