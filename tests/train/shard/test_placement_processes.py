"""Two real processes on this machine, of two virtual devices each, train together."""

import contextlib
import importlib.util
import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from matrinox.train import read_events
from matrinox.train.log.events import StepEvent

PROGRAM = Path(__file__).parent / "together.py"
SECONDS = 120


def together():
    spec = importlib.util.spec_from_file_location("together", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def two_processes(folder: Path, *options: tuple[str, ...]) -> list[tuple[int, str, str]]:
    """Return code, standard output and standard error of each, neither of which outlives this call."""
    coordinator = f"127.0.0.1:{free_port()}"
    environment = {
        **os.environ,
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2",
        "JAX_PLATFORMS": "cpu",
    }
    with contextlib.ExitStack() as stack:
        running = []
        for index, own in enumerate(options):
            command = [sys.executable, str(PROGRAM), str(folder), str(index), coordinator, *own]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            process = subprocess.Popen(command, env=environment, **pipes)
            stack.callback(end, process)
            running.append(process)
        said = [process.communicate(timeout=SECONDS) for process in running]
    return [(process.returncode, *pair) for process, pair in zip(running, said, strict=True)]


def end(process: subprocess.Popen) -> None:
    if process.poll() is None:
        process.kill()
        process.communicate()


def steps_in(folder: Path) -> list[StepEvent]:
    return [event for event in read_events(folder / "log.jsonl") if isinstance(event, StepEvent)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The run without a break on one device, in this process, and its folder."""
    folder = tmp_path_factory.mktemp("alone")
    return together().run(folder), folder


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """What two processes made until the second was asked to stop, and their folder."""
    folder = tmp_path_factory.mktemp("together")
    # The first question comes before the first round.
    ended = two_processes(folder, (), ("--stop", "3"))
    assert [code for code, *_ in ended] == [0, 0], ended
    return [json.loads(out.splitlines()[-1]) for _, out, _ in ended], folder


@pytest.mark.slow
def test_two_processes_train_together_and_stop_together(alone, stopped):
    first, second = stopped[0]
    assert [each["devices"] for each in (first, second)] == [4, 4]
    assert [each["reason"] for each in (first, second)] == ["interrupted", "interrupted"]
    assert first["losses"] == second["losses"]
    assert first["weight"] == second["weight"]
    assert first["losses"] == pytest.approx([row.loss for row in alone[0].rounds[:2]], abs=1e-5)


@pytest.mark.slow
def test_of_two_processes_one_calls_hooks_and_writes_files(stopped):
    (first, second), folder = stopped
    steps = [f"step {step}" for step in range(1, 11)]
    assert first["told"] == [*steps[:5], "round 5", *steps[5:], "round 10"]
    assert second["told"] == []
    assert [event.step for event in steps_in(folder)] == list(range(1, 11))
    assert sorted(path.name for path in folder.iterdir()) == [
        "checkpoint.safetensors",
        "log.jsonl",
        "model.safetensors",
    ]


@pytest.mark.slow
def test_what_two_processes_began_one_device_ends_with_the_curve_of_a_run_without_a_break(alone, stopped):
    whole, folder = alone
    ended = together().run(stopped[1], resume=True)
    assert ended.reason == "complete"
    assert [row.loss for row in ended.rounds] == pytest.approx([row.loss for row in whole.rounds], abs=1e-5)
    losses = [event.loss for event in steps_in(folder)]
    assert len(losses) == 20
    assert [event.loss for event in steps_in(stopped[1])] == pytest.approx(losses, abs=1e-5)
    weights = (np.asarray(each.model.layers[0].weight) for each in (ended, whole))
    assert next(weights) == pytest.approx(next(weights), abs=1e-5)


@pytest.mark.slow
def test_what_fails_in_the_process_that_writes_ends_both_at_once_each_saying_why(tmp_path):
    (code, _, why), (other_code, _, other_why) = two_processes(tmp_path, ("--fails",), ("--fails",))
    assert code != 0
    assert "no space left on device" in why
    assert other_code != 0
    assert "RuntimeError: process 0 has ended the run: it says why." in other_why
