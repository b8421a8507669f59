"""Training runs that kill their own process: `python killed.py FOLDER MOMENT FOLDER MOMENT …`, one behind the other.

Moments: `never`; `step:N`, when hooks are told of that step; `round:N`, between the files of that step's round;
`write:N`, in the middle of the N-th write of this process; `rename:N`, before its N-th file is put in its place.
Prints how each ended: its exit status, or the negative number of its signal.
"""

import os
import signal
import sys

import jax
import numpy as np

from matrinox import nn
from matrinox.data import DataSet
from matrinox.train import AdamW, Checkpoints, Hooks, JsonLines, Recipe, fit


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def dying(function, number, before):
    """The function, which at its N-th call does what comes before and dies."""
    calls = 0

    def step(*arguments, **options):
        nonlocal calls
        calls += 1
        if calls == number:
            before(*arguments)
            die()
        return function(*arguments, **options)

    return step


def train(folder: str, moment: str) -> None:
    def die_at(reached: str) -> None:
        if reached == moment:
            die()

    kind, _, number = moment.partition(":")
    write = os.write
    if kind == "write":
        os.write = dying(write, int(number), lambda file, part: write(file, bytes(part)[: len(part) // 2]))
    if kind == "rename":
        os.replace = dying(os.replace, int(number), lambda *paths: None)
    targets = np.tile([0, 1, 2], 30)
    points = np.eye(3, 4)[targets] + 0.8 * np.random.RandomState(0).normal(size=(90, 4))
    blobs = DataSet(points.astype(np.float32), targets)
    model = nn.Sequential([nn.Fold(n=2), nn.Dropout(0.1), nn.Dense(p=1, q=3, n=2, key=jax.random.key(0)), nn.Trace()])
    recipe = Recipe(steps=24, batch=8, steps_per_round=4, optimiser=AdamW(learning_rate=0.05), average=0.9)
    moments = Hooks(
        on_step=lambda now: die_at(f"step:{now.step}"), on_round=lambda model, now: die_at(f"round:{now.step}")
    )
    log, checkpoints = JsonLines(f"{folder}/log.jsonl"), Checkpoints(folder)
    key = jax.random.key(1)
    fit(model, blobs, blobs, recipe, key=key, hooks=log + moments, checkpoints=checkpoints, resume=True)


def ending(folder: str, moment: str) -> int:
    """How a run in a process of its own ends: a fork, before JAX has begun, saves the time of all the imports."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    try:
        train(folder, moment)
    except OSError as error:
        print(error, file=sys.stderr, flush=True)
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    for folder, moment in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        print(ending(folder, moment), flush=True)
