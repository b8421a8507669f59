"""Atomic writing: killed, refused or interrupted at any point, the path holds the old file or the new one."""

import errno
import hashlib
import os
import re
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.io import ModelFileError, save
from matrinox.io.atomic import write_atomically

OLD, NEW, SIZE = 1, 2, 50_000

# (step, when) of the kill, which call of that step, and what must be there afterwards
POINTS = {
    "before the first write": ("write", "before", 1, OLD),
    "inside the first write": ("write", "inside", 1, OLD),
    "between two writes": ("write", "before", 2, OLD),
    "inside the second write": ("write", "inside", 2, OLD),
    "after the last write": ("write", "after", 3, OLD),
    "before the flush of the file": ("fsync", "before", 1, OLD),
    "after the flush of the file": ("fsync", "after", 1, OLD),
    "before the rename": ("replace", "before", 1, OLD),
    "after the rename": ("replace", "after", 1, NEW),
    "before the flush of the folder": ("fsync", "before", 2, NEW),
    "after the flush of the folder": ("fsync", "after", 2, NEW),
}


def tree(seed: int, size: int = SIZE) -> dict[str, Any]:
    """As the runner makes it."""
    values = np.random.default_rng(seed).normal(size=size).astype(np.float32)
    return {"seed": seed, "weight": values, "bias": values[:7] * 2}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def digests(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    path = tmp_path_factory.mktemp("digests") / "model.safetensors"
    found = {}
    for seed in (OLD, NEW):
        save(path, tree(seed))
        found[seed] = digest(path)
    assert found[OLD] != found[NEW]
    return found


@pytest.fixture(scope="module")
def killed(run_limited: Any, tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, dict[str, Any]]]:
    paths, jobs = [], []
    for step, when, call, _ in POINTS.values():
        path = tmp_path_factory.mktemp("killed") / "model.safetensors"
        save(path, tree(OLD))
        paths.append(path)
        job = {"work": "die", "path": str(path), "point": [step, when], "call": call, "seed": NEW, "size": SIZE}
        jobs.append(job)
    return dict(zip(POINTS, zip(paths, run_limited(jobs), strict=True), strict=True))


@pytest.mark.parametrize("point", POINTS)
def test_a_process_killed_while_saving_leaves_the_old_file_or_the_new(killed: Any, digests: Any, point: str) -> None:
    path, answer = killed[point]
    assert answer["outcome"] == "SIGKILL"
    assert digest(path) == digests[POINTS[point][-1]]


def test_killed_at_any_moment_it_leaves_one_of_the_two(digests: Any, run_limited: Any, tmp_path: Path) -> None:
    moments = np.random.default_rng(0).uniform(0.01, 0.06, 12)
    jobs = []
    for i, moment in enumerate(moments):
        path = tmp_path / str(i) / "model.safetensors"
        path.parent.mkdir()
        save(path, tree(OLD))
        jobs.append({"work": "loop", "path": str(path), "seeds": [NEW, OLD], "size": SIZE, "kill_after": float(moment)})
    assert [answer["outcome"] for answer in run_limited(jobs)] == ["SIGKILL"] * len(jobs)
    assert {digest(Path(job["path"])) for job in jobs} <= set(digests.values())


def test_a_disk_full_in_the_middle_of_a_write_leaves_the_old_file(
    digests: Any, run_limited: Any, tmp_path: Path
) -> None:
    path = tmp_path / "model.safetensors"
    save(path, tree(OLD))
    (answer,) = run_limited([{"work": "full", "path": str(path), "seed": NEW, "size": SIZE, "most": 100_000}])
    assert answer["outcome"] == "ModelFileError"
    assert answer["full"], answer["message"]
    assert digest(path) == digests[OLD]
    assert os.listdir(tmp_path) == ["model.safetensors"]


def failing(error: BaseException, call: int = 1, function: Callable[..., Any] | None = None) -> Callable[..., Any]:
    """Fails at one call and works at the others."""
    calls = 0

    def step(*arguments: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call or function is None:
            raise error
        return function(*arguments, **options)

    return step


@pytest.mark.parametrize(
    ("step", "call", "number", "message"),
    [
        ("open", 1, errno.EACCES, "Permission denied"),
        ("open", 1, errno.EROFS, "Read-only file system"),
        ("write", 1, errno.ENOSPC, "No space left on device"),
        ("write", 2, errno.ENOSPC, "No space left on device"),
        ("fsync", 1, errno.EIO, "Input/output error"),
        ("replace", 1, errno.EPERM, "Operation not permitted"),
    ],
)
def test_a_step_that_fails_is_one_clear_error_and_leaves_the_old_file(
    step: str, call: int, number: int, message: str, digests: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    save(path, tree(OLD))
    with monkeypatch.context() as patch:
        patch.setattr(os, step, failing(OSError(number, os.strerror(number)), call, getattr(os, step)))
        with pytest.raises(ModelFileError, match=re.escape(f"cannot save '{path}': {message}") + "$"):
            save(path, tree(NEW))
    assert digest(path) == digests[OLD]
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_an_interrupt_passes_through_and_leaves_the_old_file(
    digests: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    save(path, tree(OLD))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", failing(KeyboardInterrupt(), 2, os.write))
        with pytest.raises(KeyboardInterrupt):
            save(path, tree(NEW))
    assert digest(path) == digests[OLD]
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_a_folder_that_cannot_be_flushed_is_told_apart_from_a_failed_write(
    digests: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "model.safetensors"
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", failing(OSError(errno.EIO, os.strerror(errno.EIO)), 2, os.fsync))
        with pytest.raises(
            ModelFileError, match=r"Input/output error .the new file is in place, but its folder was not"
        ):
            save(path, tree(NEW))
        patch.setattr(os, "fsync", failing(OSError(errno.EINVAL, os.strerror(errno.EINVAL)), 2, os.fsync))
        save(path, tree(NEW))
    assert digest(path) == digests[NEW]


def test_a_folder_is_not_overwritten(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="it is a folder; name a file inside it"):
        save(tmp_path, tree(NEW))


def test_a_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ModelFileError, match="No such file or directory"):
        save(tmp_path / "none" / "model.safetensors", tree(NEW))


def test_a_pipe_is_not_replaced_by_a_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(ModelFileError, match="it is a device or a pipe, not a file"):
        save(tmp_path / "pipe", tree(NEW))
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)


def test_a_symbolic_link_is_followed(digests: Any, tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "far" / "model.safetensors")
    save(tmp_path / "link", tree(NEW))
    assert (tmp_path / "link").is_symlink()
    assert digest(tmp_path / "far" / "model.safetensors") == digests[NEW]


@pytest.fixture
def umask() -> Iterator[None]:
    before = os.umask(0o027)
    yield
    os.umask(before)


@pytest.mark.usefixtures("umask")
def test_a_new_file_gets_the_usual_permissions_and_an_old_one_keeps_its_own(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(path, tree(OLD))
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    path.chmod(0o600)
    save(path, tree(NEW))
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_writes_that_take_only_a_part_are_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, part: write(file, part[:3]))
    write_atomically(tmp_path / "x", [b"0123456789", memoryview(b"abcdefg"), b""])
    assert (tmp_path / "x").read_bytes() == b"0123456789abcdefg"


def test_a_path_as_long_as_the_file_system_allows_is_written(tmp_path: Path) -> None:
    path = tmp_path / ("x" * 255)
    save(path, {"w": jnp.zeros(1)})
    assert path.exists()
