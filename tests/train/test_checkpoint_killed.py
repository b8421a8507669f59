"""Runs killed with SIGKILL, in processes of their own, and disks that take no more."""

import dataclasses
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from matrinox import io
from matrinox.train import read_events

PROGRAM = Path(__file__).parent / "killed.py"
MOMENTS = ["step:2", "write:12", "rename:4", "round:12", "step:18", "never"]
"""Before the first file; in the middle of a file; before a file is in place; between two files; in a later round."""


def endings(*runs: tuple[Path, str]) -> list[int]:
    words = [str(word) for run in runs for word in run]
    done = subprocess.run([sys.executable, PROGRAM, *words], timeout=300, check=True, capture_output=True, text=True)
    return [int(line) for line in done.stdout.split()]


@pytest.mark.slow
def test_a_run_killed_at_any_moment_ends_as_one_that_never_was(tmp_path):
    """The last state to the bit, the best model, and every line of the log but for the clock."""
    runs = [(tmp_path / "cut", moment) for moment in MOMENTS]
    killed = [-signal.SIGKILL] * (len(MOMENTS) - 1)
    assert endings((tmp_path / "whole", "never"), *runs) == [0, *killed, 0]
    files = ("checkpoint.safetensors", "model.safetensors")
    whole, cut = ([io.read_header(tmp_path / run / file).data_sha256 for file in files] for run in ("whole", "cut"))
    assert cut == whole
    whole, cut = (
        [dataclasses.replace(event, seconds=0.0) for event in read_events(tmp_path / folder / "log.jsonl")]
        for folder in ("whole", "cut")
    )
    assert cut == whole
    assert {path.name for path in (tmp_path / "cut").iterdir()} == {*files, "log.jsonl"}


IN_A_FULL_FOLDER = """
set -e
mount -t tmpfs -o size={size} tmpfs {folder}
test "$({python} {program} {folder} round:12)" = -9
cp {folder}/checkpoint.safetensors {folder}/model.safetensors {out}
{spoil}
test "$({python} {program} {folder} never 2> {out}/said)" = 1
for name in checkpoint model; do cmp {folder}/$name.safetensors {out}/$name.safetensors; done
ls -A {folder} > {out}/left
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        ("dd if=/dev/zero of={folder}/ballast bs=1k 2> /dev/null || true", "No space left on device"),
        ("mount -o remount,ro {folder}", "Read-only file system"),
    ],
    ids=["full", "read-only"],
)
def test_a_disk_that_takes_no_more_is_one_clear_error_and_keeps_every_file(tmp_path, spoil, said):
    """On a small file system of its own, as a user who may mount nothing else."""
    if shutil.which("unshare") is None or subprocess.run(["unshare", "-rm", "true"], check=False).returncode:
        pytest.skip("this machine lets no process mount a file system of its own")
    folder, out = tmp_path / "small", tmp_path / "out"
    folder.mkdir()
    out.mkdir()
    names = {"folder": folder, "out": out, "python": sys.executable, "program": PROGRAM, "size": "1m"}
    script = IN_A_FULL_FOLDER.format(**names, spoil=spoil.format(**names))
    done = subprocess.run(["unshare", "-rm", "bash", "-c", script], timeout=300, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    complaint = (out / "said").read_text().splitlines()[-1]
    assert said in complaint
    assert str(folder) in complaint
    assert not [name for name in (out / "left").read_text().split() if name.endswith(".tmp")]
