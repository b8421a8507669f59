"""What the columns of a CSV file mean: plain data, fitted on one file and kept for others (`CsvSchema`)."""

import json
import re
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from matrinox.io.config import check_config, decode_config, encode_config

Kind = Literal["integer", "float", "category", "skip"]
Encoding = Literal["one-hot", "id"]
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_INTEGER = re.compile(r"[+-]?\d+", re.ASCII)
LARGEST = float(np.finfo(np.float32).max)
SPELT: dict[Kind, str] = {"integer": "an integer of 32 bits", "float": "a number of 32 bits", "category": "a category"}


@dataclass(frozen=True)
class CsvColumn:
    """A column: how its fields are read, and what stands in place of a missing one.

    **Arguments:** `name`; `kind`: what the fields are, `"skip"` for a column that is not read; `categories`: the table
    of a category, by id; `encoding`: of a category among the inputs; `fill`: what a missing field counts as, a number
    or one of the categories, or `None` to refuse it.
    **Raises:** `ValueError` for a value of another type.
    """

    name: str
    kind: Kind
    categories: tuple[str, ...] = ()
    encoding: Encoding = "one-hot"
    fill: float | str | None = None

    def __post_init__(self):
        check_config(self)

    @property
    def features(self) -> tuple[str, ...]:
        """What the features that it makes are called: its name, or `city=Bern` for each category of a one-hot."""
        if self.kind == "category" and self.encoding == "one-hot":
            return tuple(f"{self.name}={category}" for category in self.categories)
        return () if self.kind == "skip" else (self.name,)


@dataclass(frozen=True)
class CsvSchema:
    """How the rows of a CSV file become examples; `fit_csv` makes one, and files of the same columns share it.

    Inputs are float32 `(examples, features)`, which rounds integers beyond 2²⁴, or int32 where every input column is of
    ids. Targets are int32 `(examples,)` for integers and categories, as class numbers are, float32 `(examples, 1)` for
    floats, as a regression takes them, and `None` without a target.

    **Arguments:** `columns`: all of them, in order; `target`: the number of the target's column, or `None`; `header`:
    whether the first row has the names; `delimiter`: between fields; `missing_words`: fields that count as missing.
    **Raises:** `ValueError` for a value of another type, a `target` that is no column or skipped, columns of which
    none is left for the inputs, and a `delimiter` that is not one character or ends lines or quotes fields.
    """

    columns: tuple[CsvColumn, ...]
    target: int | None = None
    header: bool = True
    delimiter: str = ","
    missing_words: tuple[str, ...] = ("",)

    def __post_init__(self):
        check_config(self)
        if self.target is not None and not 0 <= self.target < len(self.columns):
            raise ValueError(
                f"`target` (={self.target}) must be from 0 to below the number of columns (={len(self.columns)}): "
                "choose one of them."
            )
        if self.target is not None and self.columns[self.target].kind == "skip":
            name = self.columns[self.target].name
            raise ValueError(f"`target` (={name!r}) must be a column that is read, not 'skip': choose another type.")
        if self.columns and not any(column.kind != "skip" for column in self.inputs.values()):
            raise ValueError("`columns` must have one that inputs are made of, beside `target`: 'skip' fewer.")
        if len(self.delimiter) != 1 or self.delimiter in '\r\n"':
            raise ValueError(
                f"`delimiter` (={self.delimiter!r}) must be one character, no quote and no end of a line: choose ',' "
                "or ';' or '\\t'."
            )

    @property
    def inputs(self) -> dict[int, CsvColumn]:
        """The columns that inputs are made of, by their number."""
        return {number: column for number, column in enumerate(self.columns) if number != self.target}

    @property
    def features(self) -> tuple[str, ...]:
        """What the features of an input are called, in order."""
        return tuple(name for column in self.inputs.values() for name in column.features)

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes by their number, where the target is a category; else none."""
        return () if self.target is None else self.columns[self.target].categories

    def without_target(self) -> "CsvSchema":
        """The schema of a file that lacks the column of the target, as examples to predict on do: inputs are the same.

        >>> columns = (CsvColumn("x", "float"), CsvColumn("kind", "category", ("a", "b")))
        >>> schema = CsvSchema(columns, target=1).without_target()
        >>> [column.name for column in schema.columns], schema.target
        (['x'], None)
        """
        return replace(self, columns=tuple(self.inputs.values()), target=None)

    def dump(self) -> str:
        """As text, for a file of its own or for the notes of a model file.

        >>> schema = CsvSchema((CsvColumn("x", "float"), CsvColumn("kind", "category", ("a", "b"))), target=1)
        >>> CsvSchema.parse(schema.dump()) == schema
        True
        """
        return json.dumps(encode_config(self), ensure_ascii=False)

    @staticmethod
    def parse(text: str) -> "CsvSchema":
        """The schema that `dump` made the text of.

        **Raises:** `ModelFileError`, which is a `ValueError`, for a text that holds another thing, naming the field.
        """
        try:
            data = json.loads(text)
        except json.JSONDecodeError as error:
            raise ValueError(f"`text` is no schema of a CSV file: {error}: give what `dump` made.") from error
        return decode_config(CsvSchema, data, largest=2**31)


def number_in(field: str, kind: Kind) -> float | None:
    """The number that a field says, or `None` if it says none of this kind: an integer, or a number, of 32 bits."""
    if not (_INTEGER if kind == "integer" else _NUMBER).fullmatch(field):
        return None
    value = int(field) if kind == "integer" and len(field) < 20 else float(field)
    return value if (-(2**31) <= value < 2**31 if kind == "integer" else abs(value) <= LARGEST) else None
