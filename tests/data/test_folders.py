"""The folders of data sets."""

import sys
from pathlib import Path

import pytest

from matrinox.data.folders import cache_folder, data_folder


def test_the_data_folder_is_the_one_named(tmp_path, monkeypatch):
    monkeypatch.setenv("MATRINOX_DATA", str(tmp_path))
    assert data_folder() == tmp_path
    monkeypatch.setenv("HOME", str(tmp_path.parent))
    monkeypatch.setenv("MATRINOX_DATA", f"~/{tmp_path.name}")
    assert data_folder() == tmp_path


@pytest.mark.parametrize("named", [None, ""])
def test_there_is_no_data_folder_unless_one_is_named(monkeypatch, named):
    monkeypatch.delenv("MATRINOX_DATA", raising=False)
    if named is not None:
        monkeypatch.setenv("MATRINOX_DATA", named)
    assert data_folder() is None


def test_a_data_folder_that_does_not_exist_is_refused(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    for named in (tmp_path / "gone", tmp_path / "file"):
        monkeypatch.setenv("MATRINOX_DATA", str(named))
        with pytest.raises(
            NotADirectoryError, match=r"MATRINOX_DATA \(='.*'\) must name a folder that exists: create it"
        ):
            data_folder()


def test_the_cache_is_the_platforms_unless_one_is_named(tmp_path, monkeypatch):
    monkeypatch.delenv("MATRINOX_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "platform"))
    found = cache_folder()
    assert found is not None
    assert found.name == "matrinox"
    if sys.platform == "linux":
        assert found == tmp_path / "platform" / "matrinox"
    monkeypatch.setenv("MATRINOX_CACHE", str(tmp_path / "own"))
    assert cache_folder() == tmp_path / "own"
    assert not Path(tmp_path / "own").exists()


def test_without_pooch_there_is_a_cache_only_if_it_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    monkeypatch.delenv("MATRINOX_CACHE", raising=False)
    assert cache_folder() is None
    monkeypatch.setenv("MATRINOX_CACHE", str(tmp_path))
    assert cache_folder() == tmp_path
