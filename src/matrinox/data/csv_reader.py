"""CSV files read by a schema: as a whole (`read_csv`), or row by row where they are larger than memory (`CsvFile`)."""

import hashlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from matrinox.contract import contract
from matrinox.contract.nearest import guess
from matrinox.data.csv_rows import PathLike, Place, Row, column_in, rows_of
from matrinox.data.csv_schema import SPELT, CsvSchema, number_in
from matrinox.data.examples import DataSet
from matrinox.data.loader import Batch
from matrinox.data.source import Stream

_BLOCK = 256
_MOST_SHOWN = 10


class CsvFile(Stream):
    """Examples in a CSV file, read row by row: of the file, one place in 256 rows alone is kept in memory.

    **Arguments:** `path`: the file, UTF-8; `schema`: what its columns mean, as `fit_csv` finds it; `name`: what the
    examples are called in logs, by default the file.
    **Raises:** `ValueError` naming file and line for a row of another number of fields, naming the column too for
    another name in the header, and, when the row is read, for a field that is missing, no number or no known category.
    `OSError` if the file cannot be read.
    """

    @contract
    def __init__(self, path: PathLike, schema: CsvSchema, *, name: str | None = None):
        self.name, self.schema = Path(path).stem if name is None else name, schema
        self._path, self._count = path, 0
        self._places: list[Place] = []
        before = first_place(path, schema)
        for row in _rows(path, schema, before):
            if self._count % _BLOCK == 0:
                self._places.append(before)
            self._count, before = self._count + 1, row.after

    def __len__(self) -> int:
        return self._count

    def blocks(self, first: int = 0) -> Iterator[Batch]:
        """The examples in order, in pieces, from the example `first` on.

        **Arguments:** `first`: from 0 to the number of examples.
        **Returns:** an iterator of inputs `(some, features)` and targets `(some,)`, `(some, 1)` or `None`.
        """
        if first >= self._count:
            return
        rows = itertools.islice(_rows(self._path, self.schema, self._places[first // _BLOCK]), first % _BLOCK, None)
        while block := list(itertools.islice(rows, _BLOCK)):
            yield _batch_of(self._path, self.schema, block)

    def fingerprint(self) -> str:
        """SHA-256 of the file and the schema, in hexadecimal."""
        with open(self._path, "rb") as file:
            digest = hashlib.file_digest(file, "sha256")
        digest.update(self.schema.dump().encode())
        return digest.hexdigest()


@contract
def read_csv(path: PathLike, schema: CsvSchema, *, name: str | None = None) -> DataSet:
    """The examples in a CSV file, read into memory.

    **Arguments:** `path`, `schema`, `name`: as `CsvFile` takes them; `schema.without_target()` reads a file that lacks
    the column of the target, to predict on it.
    **Returns:** a data set of inputs `(examples, features)` and targets `(examples,)`, `(examples, 1)` or `None`.
    **Raises:** as `CsvFile`; `ValueError` for a file without rows.
    """
    stream = CsvFile(path, schema, name=name)
    inputs, targets = zip(*stream.blocks(), strict=True) if len(stream) else ((), ())
    if not inputs:
        raise ValueError(f"{os.fspath(path)!r} has no rows: give a file with one at least.")
    return DataSet(np.concatenate(inputs), None if schema.target is None else np.concatenate(targets), name=stream.name)


def first_place(path: PathLike, schema: CsvSchema) -> Place:
    """Where the first row behind the header begins."""
    if not schema.header:
        return Place()
    row = next(rows_of(path, schema.delimiter), None)
    if row is None:
        return Place()
    names = [field.strip() for field in row.fields]
    if schema.target is not None and names == [column.name for column in schema.inputs.values()]:
        raise ValueError(
            f"{os.fspath(path)}, line {row.line}: the column {schema.columns[schema.target].name!r} of the target is "
            "missing: to read inputs alone, as to predict on them, give `schema.without_target()`."
        )
    pairs = itertools.zip_longest([column.name for column in schema.columns], names)
    for number, (due, found) in enumerate(pairs, start=1):
        if due != found:
            raise ValueError(
                f"{os.fspath(path)}, line {row.line}: column {number} is called {found!r} and in the schema {due!r}: "
                "bring the columns into order, or fit a schema to this file."
            )
    return row.after


def _rows(path: PathLike, schema: CsvSchema, place: Place) -> Iterator[Row]:
    for row in rows_of(path, schema.delimiter, place):
        require_fields(path, row, len(schema.columns))
        yield row


def require_fields(path: PathLike, row: Row, due: int) -> None:
    """Refuses a row of another number of fields."""
    if len(row.fields) != due:
        fields = "1 field" if len(row.fields) == 1 else f"{len(row.fields)} fields"
        raise ValueError(
            f"{os.fspath(path)}, line {row.line}: the row has {fields} and there are {due} columns: mend the row, or "
            "put a field with a delimiter in it in quotes."
        )


def _batch_of(path: PathLike, schema: CsvSchema, rows: list[Row]) -> Batch:
    columns = schema.inputs
    read = [column for column in columns.values() if column.kind != "skip"]
    ids = bool(read) and all(column.kind == "category" and column.encoding == "id" for column in read)
    inputs = np.zeros((len(rows), len(schema.features)), np.int32 if ids else np.float32)
    at = 0
    for number, column in columns.items():
        width = len(column.features)
        values = [_value(path, row, number, schema) for row in rows] if width else []
        if column.kind == "category" and column.encoding == "one-hot":
            inputs[np.arange(len(rows)), [at + int(value) for value in values]] = 1
        elif width:
            inputs[:, at] = values
        at += width
    if schema.target is None:
        return inputs, None
    column = schema.columns[schema.target]
    targets = [_value(path, row, schema.target, schema) for row in rows]
    return inputs, np.array(targets, np.int32) if column.kind != "float" else np.array(targets, np.float32)[:, None]


def _value(path: PathLike, row: Row, number: int, schema: CsvSchema) -> float:
    """The number that a field says, or the id of its category."""
    column, field = schema.columns[number], row.fields[number].strip()
    value = column.fill if field in schema.missing_words else field
    if value is None:
        raise missing_field(path, row.line, column.name)
    if column.kind != "category":
        said = number_in(value, column.kind) if isinstance(value, str) else value
        if said is None:
            raise ValueError(
                f"{column_in(path, row.line, column.name)}: {value!r} is not {SPELT[column.kind]}: mend the field."
            )
        return said
    if value not in column.categories:
        known = ", ".join(column.categories[:_MOST_SHOWN]) + (", …" if len(column.categories) > _MOST_SHOWN else "")
        raise ValueError(
            f"{column_in(path, row.line, column.name)}: {value!r} is not among the categories {known}"
            f"{guess(value, column.categories)}."
        )
    return column.categories.index(value)


def missing_field(path: PathLike, line: int, column: str) -> ValueError:
    """What is raised for a field that is missing."""
    return ValueError(
        f"{column_in(path, line, column)}: the field is missing: mend the row or, for an input, say "
        "what it counts as, by `missing` of `fit_csv`."
    )
