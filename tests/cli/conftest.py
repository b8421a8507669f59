"""The command line as a function and as a process."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from matrinox import cli

PROGRAM = [sys.executable, "-c", "import sys; from matrinox.cli import main; sys.exit(main())"]


def matrinox(*words: str, cwd=None, env=None) -> subprocess.CompletedProcess:
    """A real process: `matrinox …`."""
    return subprocess.run([*PROGRAM, *words], capture_output=True, text=True, cwd=cwd, env=env, timeout=300)


@pytest.fixture(scope="session")
def program() -> list[str]:
    return PROGRAM


@pytest.fixture(scope="session", name="matrinox")
def _matrinox() -> Callable[..., subprocess.CompletedProcess]:
    return matrinox


@pytest.fixture
def refused(capsys) -> Callable[..., tuple[int, str]]:
    """Exit status and the one line on standard error of a command line that fails."""

    def run(*words: str) -> tuple[int, str]:
        status = cli.main(words)
        out, err = capsys.readouterr()
        assert out == ""
        assert err.startswith("matrinox: ")
        assert err.count("\n") == 1
        return status, err

    return run


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> tuple[subprocess.CompletedProcess, Path]:
    """A short training run of the command line, in a folder of its own."""
    folder = tmp_path_factory.mktemp("work")
    return matrinox("train", "mlp-digits", "--steps", "76", "--seed", "3", cwd=folder), folder
