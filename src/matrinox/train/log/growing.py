"""Files of lines that grow while a run goes on, and are cut back where a run goes on from a checkpoint."""

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import BinaryIO

from matrinox.io.atomic import write_atomically

Place = str | os.PathLike[str]


def whole_lines(path: Place) -> tuple[list[bytes], bytes]:
    """The lines of a file without their ends, and what stands behind the last end: what a killed process had begun."""
    *lines, rest = Path(path).read_bytes().split(b"\n")
    return lines, rest


class GrowingFile:
    """A file that gets a line at a time, each handed to the operating system before the next.

    A killed process so leaves whole lines and at most one that is unfinished.
    """

    def __init__(self, path: Place):
        self.path = Path(path)
        self._file: BinaryIO | None = None

    def begin(self, lines: Sequence[bytes]) -> None:
        """Puts these lines in the place of what the file holds, atomically, and goes on behind them.

        **Raises:** `OSError` if it cannot be written; the file is then as it was.
        """
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path, [line + b"\n" for line in lines])
        # It stays open from the start of a run to its finish, over many calls.
        self._file = open(self.path, "ab", buffering=0)  # noqa: SIM115

    def add(self, line: bytes, *, lasting: bool = False) -> None:
        """Writes one more line.

        **Arguments:** `line`: without its end; `lasting`: whether it must outlive a power cut, for milliseconds more.
        **Raises:** `OSError`, as for a full disk; the file then holds all lines before, and no part of this one.
        """
        if self._file is None:
            raise RuntimeError(f"{self.path} was not begun: `fit` tells the start of a run first.")
        before = os.fstat(self._file.fileno()).st_size
        data = memoryview(line + b"\n")
        try:
            while data:
                data = data[self._file.write(data) :]
            if lasting:
                os.fsync(self._file.fileno())
        except OSError as error:
            with contextlib.suppress(OSError):
                os.ftruncate(self._file.fileno(), before)
            why = f"{error.strerror} (the lines before are kept: make room and resume the run)"
            raise OSError(error.errno, why, os.fspath(self.path)) from error

    def close(self) -> None:
        """Ends the writing."""
        if self._file is not None:
            self._file.close()
            self._file = None
