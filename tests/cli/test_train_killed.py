"""`matrinox train`, killed from outside with SIGKILL while it runs, and resumed."""

import dataclasses
import signal
import subprocess
import time

import pytest

from matrinox import cli, io
from matrinox.train import read_events, read_log

# The same bytes as another process takes the same programs.
pytestmark = pytest.mark.optimised


@pytest.mark.slow
def test_a_run_killed_from_outside_and_resumed_leaves_the_files_of_one_without_a_break(trained, program, tmp_path):
    whole, cut = trained[1] / "runs" / "mlp-digits", tmp_path / "cut"
    words = ["train", "mlp-digits", "--steps", "76", "--seed", "3", "--out", str(cut), "--resume"]
    process = subprocess.Popen([*program, *words], stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 240
        while process.poll() is None and time.monotonic() < deadline:
            if (cut / "log.jsonl").exists() and '"round"' in (cut / "log.jsonl").read_text():
                break
            time.sleep(0.001)
    finally:
        process.kill()
    assert process.wait() == -signal.SIGKILL
    assert '"finish"' not in (cut / "log.jsonl").read_text()
    assert cli.main(words) == 0
    assert (cut / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    states = [io.read_header(run / "checkpoint.safetensors") for run in (cut, whole)]
    # The notes tell the seconds that the run took, which is all that may differ.
    assert states[0].data_sha256 == states[1].data_sha256
    assert read_events(cut / "log.jsonl") == read_events(whole / "log.jsonl")
    logs = [read_log(run / "log.json") for run in (cut, whole)]
    cut_run, whole_run = (dataclasses.replace(log.runs[0], seconds=0.0) for log in logs)
    assert cut_run == whole_run
