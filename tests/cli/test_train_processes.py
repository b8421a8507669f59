"""`matrinox train` over a mesh, and the same command in two processes."""

import contextlib
import os
import socket
import subprocess

import pytest

from matrinox import cli
from matrinox.train import read_log


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--mesh", "data"), "--mesh (='data') must name each axis once with its size: write it as data=4,model=2"),
        (("--mesh", "data=2,data=2"), "--mesh (='data=2,data=2') must name each axis once"),
        (("--mesh", "data=0"), "--mesh (='data=0') must name each axis once with its size"),
        (("--processes", "2", "--mesh", "data=2"), "--processes needs --coordinator: name the host and a free port"),
        (("--process", "1"), "--process needs --coordinator"),
        (("--coordinator", "127.0.0.1:1"), "--coordinator needs --mesh: say over how many devices of all processes"),
        (
            ("--mesh", "data=2", "--processes", "2", "--process", "2", "--coordinator", "localhost:1"),
            "`index` (=2) must be",
        ),
    ],
    ids=["no size", "twice", "size 0", "no coordinator", "no coordinator for one", "no mesh", "no such process"],
)
def test_train_refuses_a_mesh_or_processes_that_cannot_be(words, message, refused, tmp_path):
    status, said = refused("train", "mlp-digits", "--out", str(tmp_path / "out"), *words)
    assert status in (1, 2)
    assert message in said
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("mesh", "message"),
    [("data=512", "takes 512 devices, and there are"), ("dta=1", "did you mean 'data'?")],
    ids=["too many devices", "no rule"],
)
def test_train_refuses_a_mesh_that_does_not_fit_devices_or_model(mesh, message, tmp_path, capsys):
    assert cli.main(["train", "mlp-digits", "--out", str(tmp_path / "out"), "--mesh", mesh]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_the_same_command_in_two_processes_is_one_run_with_the_figures_of_one_process(
    trained, program, quick_environment, tmp_path
):
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        coordinator = f"127.0.0.1:{found.getsockname()[1]}"
    out = tmp_path / "out"
    words = ["train", "mlp-digits", "--steps", "76", "--seed", "3", "--out", str(out)]
    words += ["--mesh", "data=2,model=2", "--processes", "2", "--coordinator", coordinator]
    flags = f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=2"
    environment = {**os.environ, "XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"}
    with contextlib.ExitStack() as stack:
        running = []
        for index in ("0", "1"):
            command = [*program, *words, "--process", index]
            pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
            process = stack.enter_context(subprocess.Popen(command, env=environment, **pipes))
            stack.callback(process.kill)
            running.append(process)
        said = [process.communicate(timeout=240) for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert "test accuracy" in said[0][0]
    # The library that joins processes tells of its connections on standard output.
    assert not [line for line in said[1][0].splitlines() if "peer ranks" not in line]
    alone, both = (read_log(folder / "log.json").runs[0] for folder in (trained[1] / "runs" / "mlp-digits", out))
    assert both.rounds["step"] == alone.rounds["step"]
    assert both.rounds["loss"] == pytest.approx(alone.rounds["loss"], abs=1e-5)
    assert both.test.figures == pytest.approx(alone.test.figures, abs=1e-5)
    assert sorted(path.name for path in out.iterdir()) == sorted(
        path.name for path in (trained[1] / "runs" / "mlp-digits").iterdir()
    )
    assert cli.main([*words[:8], "--resume"]) == 0
