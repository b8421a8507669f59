"""Downloads: published files, fetched into the cache by pooch and kept only if their SHA-256 is the one known."""

import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from matrinox.data.folders import cache_folder, data_folder
from matrinox.io.atomic import write_atomically


@dataclass(frozen=True)
class RemoteFile:
    """A published file: its path within a folder, where it is published, and its SHA-256 in hexadecimal."""

    file: str
    url: str
    sha256: str

    @property
    def place(self) -> str:
        """Where it is fetched from: `url`, or the same path on the mirror whose address `MATRINOX_MIRROR` holds."""
        mirror = os.environ.get("MATRINOX_MIRROR")
        return f"{mirror.rstrip('/')}/{self.file}" if mirror else self.url


@dataclass(frozen=True)
class Holding:
    """A data set, or something else, that lies in files.

    **Arguments:** `name`: as users write it; `forms`: the files that together hold it, in each of the forms that are
    read; `contents`: what they must hold, in words; `sources`: what is downloaded, the files of one of the forms, or
    nothing; `origin`: then, what a person can make them of; `what`: it is.
    """

    name: str
    forms: tuple[tuple[str, ...], ...]
    contents: str
    sources: tuple[RemoteFile, ...] = ()
    origin: str = ""
    what: str = "data set"


def files_of(holding: Holding, *, download: bool) -> tuple[Path, ...]:
    """The files of a data set: those in `MATRINOX_DATA`, or else those in the cache, or else downloaded into it.

    **Returns:** paths, in the order of that form.
    **Raises:** `FileNotFoundError`, with every way to get them, if there are none; `NotADirectoryError` as
    `data_folder`.
    """
    # The cache only where it is needed: pooch, which knows the platform's, is slow to import, and warns in notebooks.
    for find in (data_folder, cache_folder):
        if (folder := find()) is None:
            continue
        for form in holding.forms:
            paths = tuple(folder / file for file in form)
            if all(path.is_file() for path in paths):
                return paths
    if not download:
        raise _not_found(holding, "download=False was passed")
    if not holding.sources:
        raise _not_found(
            holding, "there is no download, as no published file of it with a known SHA-256 is safe to read"
        )
    return tuple(fetch(holding, source) for source in holding.sources)


def fetch(holding: Holding, source: RemoteFile) -> Path:
    """The file in the cache, downloaded unless it is there and whole; a download that fails leaves nothing behind.

    A process that is killed in the middle may leave a folder `.unfinished-…` in the cache, which nothing reads.

    **Raises:** `FileNotFoundError`, with every way to get the file.
    """
    try:
        import pooch
    except ImportError as error:
        raise _not_found(holding, 'pooch is not installed: pip install "matrinox[data]"') from error
    target = _cached(source.file)
    try:
        if target.is_file() and pooch.file_hash(str(target)) == source.sha256:
            return target
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unfinished-", dir=target.parent) as folder:
            done = pooch.retrieve(source.place, f"sha256:{source.sha256}", target.name, folder)
            # The file of pooch is readable to its user alone, and a cache may be shared.
            write_atomically(target, [Path(done).read_bytes()])
    except (OSError, ValueError) as error:
        raise _not_found(holding, f"the download of {source.place} failed: {error}") from error
    return target


def _cached(file: str) -> Path:
    return (cache_folder() or Path("$MATRINOX_CACHE")) / file


def _not_found(holding: Holding, why: str) -> FileNotFoundError:
    forms = ", or ".join(_listed(form) for form in holding.forms)
    ways = [f"your own copy: put {forms} ({holding.contents}) into a folder, and name it in MATRINOX_DATA."]
    if holding.sources:
        host = urlsplit(holding.sources[0].place).netloc
        ways += [
            f'the download: pip install "matrinox[data]", pass download=True, and let this machine reach {host}, '
            "or a mirror of these files, whose address is in MATRINOX_MIRROR.",
            "by hand: "
            + "; ".join(f"fetch {source.url} and save it as {_cached(source.file)}" for source in holding.sources)
            + ".",
        ]
    else:
        ways.append(f"by hand: make it of {holding.origin}, and save it in {_cached('')}.")
    data, cache = data_folder() or "not set", cache_folder() or "no MATRINOX_CACHE, and no pooch"
    return FileNotFoundError(
        f"the {holding.what} {holding.name!r} is neither in MATRINOX_DATA ({data}) nor in the cache ({cache}), and was "
        f"not downloaded: {why}. {'Three' if holding.sources else 'Two'} ways to get it:"
        + "".join(f"\n  {number}. {way}" for number, way in enumerate(ways, 1))
    )


def _listed(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
