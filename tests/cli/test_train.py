"""`matrinox train`."""

import contextlib
import dataclasses
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from matrinox import cli, io, zoo
from matrinox.train import read_events, read_log

# The same bytes as another process takes the same programs.
pytestmark = pytest.mark.optimised

SHORT = ("train", "mlp-digits", "--steps", "76", "--seed", "3", "--out")


def test_train_writes_a_model_and_its_logs_and_says_so(trained):
    done, folder = trained
    assert (done.returncode, done.stderr) == (0, "")
    files = folder / "runs" / "mlp-digits"
    assert {path.name for path in files.iterdir()} == {
        *("model.safetensors", "checkpoint.safetensors", "log.json", "log.jsonl")
    }
    run = read_log(files / "log.json").runs[0]
    assert (run.seed, run.steps) == (3, 76)
    for shown in (
        "parameters",
        "test accuracy",
        f"{run.test.figures['accuracy']:.2%}",
        "seconds",
        f"{run.seconds:.1f}",
    ):
        assert shown in done.stdout
    assert "runs/mlp-digits/model.safetensors" in done.stdout.replace(os.sep, "/")
    assert "step 76/76, epoch 4" in done.stdout
    assert "\x1b" not in done.stdout


def but_for_the_clock(log):
    return dataclasses.replace(log, runs=tuple(dataclasses.replace(run, seconds=0.0) for run in log.runs))


def test_a_run_stopped_and_resumed_writes_the_bytes_of_one_without_a_break(trained, tmp_path, monkeypatch, capsys):
    whole, out = trained[1] / "runs" / "mlp-digits", tmp_path / "again"
    asked = []
    stop_behind_a_round = contextlib.nullcontext(lambda: asked.append(0) or len(asked) > 1)
    with monkeypatch.context() as patch:
        patch.setattr(sys.modules["matrinox.cli.train"], "ask_to_stop", lambda: stop_behind_a_round)
        assert cli.main([*SHORT, str(out)]) == 130
    assert "stopped at step 38 of 76: " in (err := capsys.readouterr().err)
    assert err.endswith("add --resume to go on\n")
    assert read_log(out / "log.json").runs[0].interrupted
    assert cli.main([*SHORT, str(out), "--resume"]) == 0
    assert "going on behind step 38/76, epoch 2" in capsys.readouterr().out
    assert (out / "model.safetensors").read_bytes() == (whole / "model.safetensors").read_bytes()
    assert read_events(out / "log.jsonl") == read_events(whole / "log.jsonl")
    assert but_for_the_clock(read_log(out / "log.json")) == but_for_the_clock(read_log(whole / "log.json"))


@pytest.mark.parametrize("left", ["model.safetensors", "log.json", "log.jsonl", "checkpoint.safetensors"])
def test_a_run_is_not_overwritten_in_silence(left, refused, tmp_path):
    (tmp_path / left).write_text("of another run")
    status, err = refused("train", "mlp-digits", "--out", str(tmp_path))
    assert status == 2
    due = f"{tmp_path} holds a run ({left}): pass --resume to go on with it, --overwrite to remove it, or another --out"
    assert err == f"matrinox: {due}\n"
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {left: "of another run"}


def test_overwrite_removes_the_run_that_was_there(tmp_path, monkeypatch, capsys):
    """The model before the first step; the log, which is the hooks', when they are told of the start."""
    for name in ("model.safetensors", "log.json"):
        (tmp_path / name).write_text("of another run")

    def fit(*_, **__):
        assert [path.name for path in tmp_path.iterdir()] == ["log.json"]
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["matrinox.zoo.runs"], "fit", fit)
    assert cli.main(["train", "mlp-digits", "--out", str(tmp_path), "--overwrite"]) == 130
    assert capsys.readouterr().err == "matrinox: stopped before the first evaluation: no model was written\n"


def test_ctrl_c_keeps_the_last_complete_file_and_says_so(program, tmp_path):
    out = tmp_path / "out"
    # Tests that run in the background may have been started with Ctrl-C ignored, which a process inherits.
    attentive = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);" + program[-1]
    command = [*program[:-1], attentive, "train", "mlp-digits", "--steps", "1000000", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 240
        while not (out / "model.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        seen, err = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.count("\n") == 1
    assert "stopping after this round; Ctrl-C again stops at once" in seen
    run = read_log(out / "log.json").runs[0]
    assert run.interrupted
    due = f"of 1000000: {out / 'model.safetensors'} is complete and holds the best so far (step {run.best_step}, "
    assert due in err
    assert io.read_header(out / "model.safetensors").notes["step"] == str(run.best_step)
    assert zoo.load(out / "model.safetensors")(np.zeros((1, 64), np.float32)).shape == (1, 10)


def test_ctrl_c_before_there_is_a_file_says_that_there_is_none(tmp_path, monkeypatch, capsys):
    def fit(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["matrinox.zoo.runs"], "fit", fit)
    assert cli.main(["train", "mlp-digits", "--out", str(tmp_path / "out")]) == 130
    assert capsys.readouterr().err == "matrinox: stopped before the first evaluation: no model was written\n"
    assert not list(tmp_path.rglob("*.*"))


def test_a_second_ctrl_c_while_the_file_is_scored_tells_of_the_file(tmp_path, monkeypatch, capsys):
    def evaluate(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(sys.modules["matrinox.zoo.runs"], "evaluate", evaluate)
    assert cli.main(["train", "mlp-digits", "--steps", "2", "--out", str(tmp_path / "out")]) == 130
    file = tmp_path / "out" / "model.safetensors"
    due = f"matrinox: stopped at the end: {file} is complete, but not scored: there is no log\n"
    assert capsys.readouterr().err == due
    assert file.exists()


def test_a_scalar_twin_is_trained_into_a_folder_of_its_own(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["train", "mlp-digits", "--steps", "2", "--twin", "parameters"]) == 0
    assert "mlp-digits, scalar twin of the same parameters, seed 0" in capsys.readouterr().out
    log = read_log(tmp_path / "runs" / "mlp-digits-twin-parameters" / "log.json")
    assert (log.kind, log.architecture) == ("parameters", "ScalarTwin")


def test_a_folder_that_cannot_be_made_is_one_line_and_status_1(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["train", "mlp-digits", "--out", str(tmp_path / "file")]) == 1
    err = capsys.readouterr().err
    assert err.startswith("matrinox: ")
    assert err.count("\n") == 1
    assert str(tmp_path / "file") in err


def test_without_scikit_learn_train_names_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    assert cli.main(["train", "cnn-digits", "--out", str(tmp_path / "out")]) == 1
    err = capsys.readouterr().err
    assert err.endswith('which is not installed: pip install "matrinox[data]"\n')
    assert err.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_cnn_digits_trains_to_its_accuracy(matrinox, tmp_path):
    """The main command as a stranger runs it, in full."""
    done = matrinox("train", "cnn-digits", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    table = json.loads((tmp_path / "runs" / "cnn-digits" / "log.json").read_text())
    assert table["parameters"] <= 20_000
    assert table["runs"][0]["test"]["figures"]["accuracy"] >= 0.98
    assert table["runs"][0]["steps"] == table["recipe"]["steps"]
