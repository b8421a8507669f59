"""Damage of every kind is noticed: a flipped bit anywhere, a file cut anywhere."""

from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest

from matrinox.io import load, save

ALL_BITS, LETTER_CASE = 0xFF, 0x20


@pytest.fixture(scope="module")
def file(tiny: ModuleType, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("damage") / "model.safetensors"
    save(path, tiny.TinyNet(tiny.TinyConfig(p=3, n=3), key=jax.random.key(0)))
    return path


def header_size(file: Path) -> int:
    return 8 + int.from_bytes(file.read_bytes()[:8], "little")


def survivors(run_limited: Any, file: Path, batch: int, flips: list[Any] = (), cuts: list[int] = ()) -> list[Any]:
    """The damaged copies that were not refused; a whole batch keeps the limits that are meant for one."""
    jobs = [
        {"work": "damage", "path": str(file), "scratch": f"{file}.damaged", "flips": f, "cuts": c}
        for f, c in [(flips[i : i + batch], []) for i in range(0, len(flips), batch)]
        + [([], cuts[i : i + batch]) for i in range(0, len(cuts), batch)]
    ]
    answers = run_limited(jobs)
    assert [answer["outcome"] for answer in answers] == ["done"] * len(jobs)
    return [survivor for answer in answers for survivor in answer["survivors"]]


def test_the_file_is_whole_before_it_is_damaged(file: Path, tiny: ModuleType) -> None:
    assert load(file, tiny.TinyNet).config == tiny.TinyConfig(p=3, n=3)


def test_every_flipped_byte_of_the_header_is_refused(file: Path, run_limited: Any) -> None:
    """One bit of each byte in turn, all its bits, and the bit that makes a letter or hexadecimal digit a capital."""
    flips = [[at, mask] for at in range(header_size(file)) for mask in (1 << at % 8, ALL_BITS, LETTER_CASE)]
    assert survivors(run_limited, file, 1000, flips=flips) == []


def test_a_thousand_flipped_bits_of_the_data_are_refused(file: Path, run_limited: Any) -> None:
    start, end = header_size(file), file.stat().st_size
    bits = np.random.default_rng(0).choice((end - start) * 8, 1000, replace=False)
    flips = [[start + int(bit) // 8, 1 << int(bit) % 8] for bit in bits]
    assert survivors(run_limited, file, 50, flips=flips) == []


def test_a_file_cut_at_every_64th_byte_is_refused(file: Path, run_limited: Any) -> None:
    size = file.stat().st_size
    cuts = [*range(0, size, 64), header_size(file) - 1, header_size(file), size - 1]
    assert survivors(run_limited, file, 100, cuts=cuts) == []
