"""Atomic writing: at every instant the path holds the old file or the new one, whole, even if the process is killed."""

import contextlib
import errno
import os
import secrets
import stat
from collections.abc import Iterable

_CHUNK = 16 * 2**20
# Some network file systems cannot flush a folder and say so with one of these.
_NO_FOLDER_FLUSH = {errno.EINVAL, errno.ENOTSUP}


def write_atomically(path: str | os.PathLike[str], parts: Iterable[bytes | memoryview]) -> None:
    """Writes the parts to a temporary file beside `path`, flushes it to disk, and renames it onto `path`.

    A symbolic link is followed, and an existing file keeps its permissions. If anything fails the temporary file is
    removed; only a killed process leaves one (`.NAME.….tmp`), never a damaged `path`.

    **Arguments:** `path`: where to write; `parts`: the bytes, in order.
    **Raises:** `OSError` as the operating system gives it; `path` is then untouched, unless the message says otherwise.
    """
    target = os.path.realpath(path)
    folder, name = os.path.split(target)
    mode = _mode_of(target)
    temporary = os.path.join(folder, f".{name[:200]}.{secrets.token_hex(6)}.tmp")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        try:
            if mode is not None:
                os.chmod(temporary, mode)
            for part in parts:
                _write(file, memoryview(part))
            os.fsync(file)
        finally:
            os.close(file)
        os.replace(temporary, target)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise
    _flush_folder(folder)


def _mode_of(target: str) -> int | None:
    try:
        status = os.stat(target)
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder; name a file inside it", target)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "it is a device or a pipe, not a file", target)
    return stat.S_IMODE(status.st_mode)


def _write(file: int, part: memoryview) -> None:
    at = 0
    while at < len(part):
        at += os.write(file, part[at : at + _CHUNK])


def _flush_folder(folder: str) -> None:
    # The rename is in the folder, not in the file: without this a power cut can undo it. Windows cannot open a folder.
    if os.name != "posix":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno not in _NO_FOLDER_FLUSH:
            why = (
                f"{error.strerror} (the new file is in place, but its folder was not flushed: a power cut may undo it)"
            )
            raise OSError(error.errno, why, folder) from error
    finally:
        os.close(handle)
