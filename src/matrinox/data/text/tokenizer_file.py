"""The file of a tokenizer: JSON with a format, a version, a kind, what it holds and a SHA-256 of that."""

import hashlib
import os
import stat
from collections.abc import Mapping
from typing import Any

from matrinox.io.atomic import write_atomically
from matrinox.io.errors import ModelFileError, show
from matrinox.io.files import one_error
from matrinox.io.plain import dump, parse

_FORMAT = "matrinox tokenizer"
_VERSION = 1
_LARGEST = 2**28
_FIELDS = {"format": str, "version": int, "kind": str, "sha256": str, "holds": dict}


def write_tokenizer_file(path: str | os.PathLike[str], kind: str, holds: Mapping[str, Any]) -> None:
    """Writes the file, atomically.

    **Raises:** `ModelFileError` if it cannot be written; an existing file is then as it was.
    """
    whole = {"format": _FORMAT, "version": _VERSION, "kind": kind, "sha256": _digest(kind, holds), "holds": holds}
    with one_error(f"cannot save {os.fspath(path)!r}"):
        write_atomically(path, [dump(whole).encode()])


def read_tokenizer_file(path: str | os.PathLike[str]) -> tuple[str, dict[str, Any]]:
    """The kind, and what the file holds, as they were written.

    **Raises:** `ModelFileError` if it cannot be read, is damaged, or is another file.
    """
    # Before opening, because opening a pipe would wait for a writer.
    status = os.stat(path)
    if not stat.S_ISREG(status.st_mode):
        raise ModelFileError("it is a folder or a device, not a file")
    if status.st_size > _LARGEST:
        raise ModelFileError(f"it has {status.st_size} bytes, more than a tokenizer's {_LARGEST}")
    with open(path, "rb") as file:
        data = file.read()
    try:
        whole = parse(data.decode("ascii"), dict, "it")
    except UnicodeDecodeError:
        raise ModelFileError("it is not JSON: it holds bytes that are no ASCII") from None
    if whole.get("format") != _FORMAT:
        raise ModelFileError("it is not the file of a tokenizer: write one by `save` of a tokenizer")
    if whole.get("version") != _VERSION:
        raise ModelFileError(f"its version is {show(whole.get('version'))}, and this library reads {_VERSION}")
    if whole.keys() != _FIELDS.keys() or any(type(whole[name]) is not kind for name, kind in _FIELDS.items()):
        raise ModelFileError(f"it must hold {', '.join(_FIELDS)}: it is damaged")
    if _digest(whole["kind"], whole["holds"]) != whole["sha256"]:
        raise ModelFileError("it is damaged: it does not match its SHA-256")
    return whole["kind"], whole["holds"]


def _digest(kind: str, holds: Mapping[str, Any]) -> str:
    return hashlib.sha256(dump([kind, holds]).encode()).hexdigest()
