"""Rows of a CSV file, each with the number of its line, and where the next one begins, to go on reading there."""

import csv
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Place:
    """Where a row begins: the byte in the file, and how many lines are before it."""

    offset: int = 0
    lines: int = 0


_START = Place()


@dataclass(frozen=True)
class Row:
    """The fields of a row, the number of its first line, counted from 1, and where what follows it begins."""

    fields: list[str]
    line: int
    after: Place


def rows_of(path: PathLike, delimiter: str, place: Place = _START) -> Iterator[Row]:
    """The rows from a place on; lines without anything are passed over.

    **Raises:** `ValueError` naming file and line for quotes that are not closed and for what is no UTF-8; `OSError` if
    the file cannot be read.
    """
    with open(path, "rb") as file:
        lines = _Lines(file, os.fspath(path), place)
        reader = csv.reader(lines, delimiter=delimiter, strict=True)
        while True:
            line = lines.number + 1
            try:
                fields = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                raise ValueError(
                    f"{os.fspath(path)}, line {line}: it cannot be parted into fields: {error}."
                ) from error
            if fields:
                yield Row(fields, line, Place(lines.offset, lines.number))


def column_in(path: PathLike, line: int, column: str) -> str:
    """`data.csv, line 7, column 'age'`: what an error about a field begins with."""
    return f"{os.fspath(path)}, line {line}, column {column!r}"


class _Lines(Iterator[str]):
    """The lines of a file as text, of which no more is read ahead than asked for: `offset` is true at any time."""

    def __init__(self, file: BinaryIO, path: str, place: Place):
        file.seek(place.offset)
        self._file, self._path = file, path
        self.offset, self.number = place.offset, place.lines

    def __next__(self) -> str:
        line = self._file.readline()
        if not line:
            raise StopIteration
        # Spreadsheets put a mark of the encoding before the first line.
        start = 3 if self.offset == 0 and line.startswith(b"\xef\xbb\xbf") else 0
        self.offset += len(line)
        self.number += 1
        try:
            return line[start:].decode()
        except UnicodeDecodeError as error:
            raise ValueError(
                f"{self._path}, line {self.number}: it is not UTF-8 ({error.reason} at byte {error.start + 1}): save "
                "the file in that encoding."
            ) from error
