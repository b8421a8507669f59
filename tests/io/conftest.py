"""What the tests of model files share: a small architecture, the forger, the runner that starts limited processes."""

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import pytest

import matrinox.io

_HERE = Path(__file__).parent


def _module(name: str) -> ModuleType:
    if name not in sys.modules:
        spec = importlib.util.spec_from_file_location(name, _HERE / f"{name.removeprefix('io_')}.py")
        assert spec is not None
        assert spec.loader is not None
        sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(sys.modules[name])
    return sys.modules[name]


@pytest.fixture(scope="session")
def tiny() -> ModuleType:
    return _module("io_tiny")


@pytest.fixture(scope="session")
def forge() -> ModuleType:
    return _module("io_forge")


@pytest.fixture(scope="session")
def tiny_net(tiny: ModuleType) -> Any:
    return tiny.TinyNet(tiny.TinyConfig(), key=jax.random.key(0))


@pytest.fixture(scope="session")
def tiny_file(tiny_net: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tiny") / "model.safetensors"
    matrinox.io.save(path, tiny_net, notes={"task": "none"})
    return path


@pytest.fixture(scope="session")
def run_limited() -> Callable[..., list[dict[str, Any]]]:
    """Runs jobs in forked children of one process that has imported the package: 2 s of CPU and 500 MB for each."""

    def run(jobs: list[dict[str, Any]]) -> list[dict[str, Any]]:
        done = subprocess.run(
            [sys.executable, str(_HERE / "runner.py")],
            input=json.dumps(jobs),
            capture_output=True,
            text=True,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run
