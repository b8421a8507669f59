"""Downloads, from a real server on this machine."""

import functools
import hashlib
import http.server
import sys
import threading
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest

from matrinox.data.download import Holding, RemoteFile, fetch, files_of

CONTENT = np.random.RandomState(0).bytes(300_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder; of those under `cut/`, half, with the length of the whole. `watched` is told what it holds."""

    watched: ClassVar[dict[Path, list[str]]] = {}

    def do_GET(self):
        for folder, seen in self.watched.items():
            seen += [file.name for file in folder.iterdir()]
        if not self.path.startswith("/cut/"):
            return super().do_GET()
        content = Path(self.directory, self.path.removeprefix("/cut/")).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])

    def log_message(self, format, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """A mirror of `set.bin` and `deep/set.bin`, named in MATRINOX_MIRROR: its address and its folder."""
    folder = tmp_path / "mirror"
    (folder / "deep").mkdir(parents=True)
    for place in ("set.bin", "deep/set.bin"):
        (folder / place).write_bytes(CONTENT)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as running:
        threading.Thread(target=running.serve_forever, args=(0.01,), daemon=True).start()
        address = f"http://127.0.0.1:{running.server_port}"
        monkeypatch.setenv("MATRINOX_MIRROR", address)
        yield address, folder
        running.shutdown()


def holding(file="set.bin", sha256=SHA256, url="http://127.0.0.1:9/set.bin") -> Holding:
    return Holding("noise", ((file,),), "300,000 bytes", (RemoteFile(file, url, sha256),))


def test_a_file_is_downloaded_from_its_own_address_or_the_mirrors(cache, server, monkeypatch):
    address, _ = server
    (path,) = files_of(holding("deep/set.bin"), download=True)
    assert path == cache / "deep" / "set.bin"
    assert path.read_bytes() == CONTENT
    monkeypatch.delenv("MATRINOX_MIRROR")
    (path,) = files_of(holding(url=f"{address}/deep/set.bin"), download=True)
    assert path == cache / "set.bin"
    assert path.read_bytes() == CONTENT
    assert sorted(file.name for file in cache.iterdir()) == ["deep", "set.bin"]


def test_a_download_is_under_way_in_a_folder_that_says_so_and_its_file_is_as_any_that_is_written(
    cache, server, tmp_path, monkeypatch
):
    monkeypatch.setitem(Handler.watched, cache, seen := [])
    (path,) = files_of(holding(), download=True)
    assert len(seen) == 1
    assert seen[0].startswith(".unfinished-")
    (tmp_path / "written").touch()
    assert path.stat().st_mode == (tmp_path / "written").stat().st_mode


def test_what_is_in_the_cache_is_not_downloaded_again(cache, server):
    _, folder = server
    files_of(holding(), download=True)
    (folder / "set.bin").unlink()
    assert files_of(holding(), download=True) == files_of(holding(), download=False) == (cache / "set.bin",)


def test_the_folder_of_data_comes_before_the_cache(cache, server, tmp_path, monkeypatch):
    files_of(holding(), download=True)
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("MATRINOX_DATA", str(tmp_path / "own"))
    assert files_of(holding(), download=False) == (cache / "set.bin",)
    (tmp_path / "own" / "set.bin").write_bytes(b"another copy")
    assert files_of(holding(), download=False) == (tmp_path / "own" / "set.bin",)


def test_the_cache_is_not_looked_for_where_the_folder_of_data_has_the_files(tmp_path, monkeypatch):
    monkeypatch.setenv("MATRINOX_DATA", str(tmp_path))
    (tmp_path / "set.bin").write_bytes(b"a copy")
    monkeypatch.setattr("matrinox.data.download.cache_folder", lambda: pytest.fail("the cache was looked for"))
    assert files_of(holding(), download=False) == (tmp_path / "set.bin",)


def test_a_form_counts_only_with_all_its_files(cache):
    cache.mkdir()
    whole = Holding("noise", (("a", "b"), ("c",)), "bytes")
    (cache / "a").touch()
    with pytest.raises(FileNotFoundError, match=r"put a and b, or c \(bytes\) into a folder"):
        files_of(whole, download=False)
    (cache / "c").touch()
    assert files_of(whole, download=False) == (cache / "c",)
    (cache / "b").touch()
    assert files_of(whole, download=False) == (cache / "a", cache / "b")


def test_a_file_of_another_hash_is_refused_and_not_kept(cache, server):
    with pytest.raises(FileNotFoundError, match=rf"(?s)set.bin failed: SHA256.*does not match.*{SHA256}.*Three ways"):
        files_of(holding(sha256="0" * 64), download=True)
    assert list(cache.iterdir()) == []


def test_a_download_that_is_cut_leaves_nothing(cache, server, monkeypatch):
    address, _ = server
    monkeypatch.setenv("MATRINOX_MIRROR", f"{address}/cut")
    with pytest.raises(FileNotFoundError, match=r"(?s)/cut/set.bin failed: .*IncompleteRead.*Three ways"):
        files_of(holding(), download=True)
    assert list(cache.iterdir()) == []


def test_a_cached_file_survives_a_download_that_fails(cache, server):
    cache.mkdir()
    (cache / "set.bin").write_bytes(b"older")
    with pytest.raises(FileNotFoundError, match="does not match"):
        fetch(holding(), RemoteFile("set.bin", "", "0" * 64))
    assert (cache / "set.bin").read_bytes() == b"older"
    assert fetch(holding(), RemoteFile("set.bin", "", SHA256)).read_bytes() == CONTENT


def test_a_file_that_the_server_lacks_is_refused(cache, server):
    with pytest.raises(FileNotFoundError, match=r"gone\.bin failed: 404"):
        files_of(holding("gone.bin"), download=True)


def test_a_mirror_that_is_no_address_is_told(cache, monkeypatch):
    monkeypatch.setenv("MATRINOX_MIRROR", "mirror")
    with pytest.raises(FileNotFoundError, match=r"(?s)the download of mirror/set.bin failed: .*protocol.*Three ways"):
        files_of(holding(), download=True)


def test_without_a_server_the_error_lists_three_ways(cache):
    with pytest.raises(FileNotFoundError) as raised:
        files_of(holding(), download=True)
    first, *ways = str(raised.value).splitlines()
    assert first.startswith(
        f"the data set 'noise' is neither in MATRINOX_DATA (not set) nor in the cache ({cache}), and"
    )
    assert "was not downloaded: the download of http://127.0.0.1:9/set.bin failed: " in first
    assert first.endswith("Three ways to get it:")
    assert ways == [
        "  1. your own copy: put set.bin (300,000 bytes) into a folder, and name it in MATRINOX_DATA.",
        '  2. the download: pip install "matrinox[data]", pass download=True, and let this machine reach 127.0.0.1:9, '
        "or a mirror of these files, whose address is in MATRINOX_MIRROR.",
        f"  3. by hand: fetch http://127.0.0.1:9/set.bin and save it as {cache}/set.bin.",
    ]


def test_a_cache_that_cannot_be_written_is_told(cache, server):
    cache.write_text("a file in its place")
    with pytest.raises(FileNotFoundError, match=r"set.bin failed: .*cache"):
        files_of(holding(), download=True)


def test_nothing_is_downloaded_where_that_is_refused(cache, server):
    with pytest.raises(FileNotFoundError, match="was not downloaded: download=False was passed"):
        files_of(holding(), download=False)
    assert not cache.exists()


def test_what_has_no_known_hash_is_never_downloaded_and_the_error_lists_two_ways(cache, server):
    with pytest.raises(FileNotFoundError) as raised:
        files_of(Holding("noise", (("set.bin",),), "300,000 bytes", origin="what is published"), download=True)
    first, *ways = str(raised.value).splitlines()
    assert first.endswith(
        "there is no download, as no published file of it with a known SHA-256 is safe to read. Two ways to get it:"
    )
    assert ways == [
        "  1. your own copy: put set.bin (300,000 bytes) into a folder, and name it in MATRINOX_DATA.",
        f"  2. by hand: make it of what is published, and save it in {cache}.",
    ]


def test_without_pooch_the_error_names_the_extra(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "pooch", None)
    with pytest.raises(FileNotFoundError, match=r'pooch is not installed: pip install "matrinox\[data\]".*Three ways'):
        files_of(holding(), download=True)
    monkeypatch.delenv("MATRINOX_CACHE")
    with pytest.raises(FileNotFoundError, match=r"nor in the cache \(no MATRINOX_CACHE, and no pooch\)"):
        files_of(holding(), download=True)
