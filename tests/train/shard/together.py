"""Run as a program: a run of `fit`, whole or as one of several processes; what it made as JSON on standard output."""

import argparse
import json
import sys
from pathlib import Path

import equinox as eqx
import jax
import numpy as np

from matrinox import nn
from matrinox.data import DataSet
from matrinox.train import AdamW, Checkpoints, Fitted, Hooks, JsonLines, Recipe, Round, Step, fit, join_processes

STEPS, PER_ROUND = 20, 5


def run(folder: Path, *, mesh=None, stop=None, resume: bool = False, hooks: Hooks | None = None) -> Fitted:
    """Trains a small model, with files in `folder`; when asked for the `stop`-th time, this process wants to stop."""
    random = np.random.RandomState(0)
    inputs, targets = random.normal(size=(96, 3, 2, 2)).astype(np.float32), random.randint(4, size=96)
    train, validation = DataSet(inputs[:64], targets[:64]), DataSet(inputs[64:], targets[64:])
    keys = jax.random.split(jax.random.key(0), 2)
    layers = [
        nn.Dense(p=3, q=8, n=2, key=keys[0]),
        nn.Tanh(),
        nn.Dropout(0.2),
        nn.FlattenLinear(p=8, features=4, n=2, key=keys[1]),
    ]
    asked = 0

    def should_stop() -> bool:
        nonlocal asked
        asked += 1
        return asked == stop

    return fit(
        nn.Sequential(layers),
        train,
        validation,
        Recipe(steps=STEPS, batch=16, steps_per_round=PER_ROUND, average=0.9, optimiser=AdamW(learning_rate=1e-2)),
        key=jax.random.key(1),
        hooks=JsonLines(folder / "log.jsonl") + (hooks or Hooks()),
        checkpoints=Checkpoints(folder),
        resume=resume,
        should_stop=should_stop,
        mesh=mesh,
    )


def main() -> None:
    """Takes part in a run as one of two processes."""
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("index", type=int)
    parser.add_argument("coordinator")
    parser.add_argument("--stop", type=int)
    parser.add_argument("--fails", action="store_true")
    asked = parser.parse_args()
    join_processes(2, asked.index, asked.coordinator, seconds=30)
    told: list[str] = []

    def on_step(step: Step) -> None:
        told.append(f"step {step.step}")

    def on_round(model, now: Round) -> None:
        told.append(f"round {now.step}")
        # Whole, and of this process alone: neither would work on a part.
        assert np.isfinite(np.asarray(eqx.nn.inference_mode(model)(np.ones((1, 3, 2, 2), np.float32)))).all()
        if asked.fails:
            raise OSError(28, "no space left on device", "a file")

    fitted = run(
        asked.folder, mesh={"data": 2, "model": 2}, stop=asked.stop, hooks=Hooks(on_step=on_step, on_round=on_round)
    )
    found = {
        "devices": jax.device_count(),
        "reason": fitted.reason,
        "losses": [row.loss for row in fitted.rounds],
        "told": told,
        "weight": np.asarray(fitted.model.layers[0].weight, np.float64).tolist(),
    }
    json.dump(found, sys.stdout)


if __name__ == "__main__":
    main()
