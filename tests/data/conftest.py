"""Fixtures of the data room: folders of a test's own, and the published data sets where they are at hand."""

import os
from pathlib import Path

import pytest


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    """A cache that is empty, with no folder of data and no mirror named: what lies on this machine is not found."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("MATRINOX_CACHE", str(folder))
    monkeypatch.delenv("MATRINOX_DATA", raising=False)
    monkeypatch.delenv("MATRINOX_MIRROR", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


_NAMED = os.environ.get("MATRINOX_DATA")


@pytest.fixture
def published(cache, monkeypatch) -> Path:
    """The folder with mnist.npz, mnist1d.npz and tinyshakespeare.txt.gz, named in MATRINOX_DATA."""
    folder = Path(_NAMED or Path(__file__).parents[3] / "shared" / "data")
    if not folder.is_dir():
        pytest.skip("the published data sets are not here: name their folder in MATRINOX_DATA")
    monkeypatch.setenv("MATRINOX_DATA", str(folder))
    return folder
