"""`fit_csv`: what the columns of a CSV file are, and what stands in place of missing fields, found in the file."""

import itertools
import os
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal, TypeVar

import numpy as np
from jaxtyping import Integer

from matrinox.contract import AnyArray, contract
from matrinox.contract.nearest import guess
from matrinox.data.csv_reader import first_place, missing_field, require_fields
from matrinox.data.csv_rows import PathLike, column_in, rows_of
from matrinox.data.csv_schema import LARGEST, SPELT, CsvColumn, CsvSchema, Encoding, Kind, number_in
from matrinox.data.examples import require_rows


@dataclass(frozen=True)
class FillWith:
    """What a missing field counts as: a number, or a category of this name, which is added where it is a new one."""

    value: float | str


Missing = Literal["refuse", "mean", "median", "most-frequent"] | FillWith
"""What is done about a missing field; all but the first are fitted, and kept in the schema."""
_Value = TypeVar("_Value", str, float)
_MISSING_WORDS = ("", "NA", "N/A", "NaN", "nan", "null", "?")


@contract
def fit_csv(
    path: PathLike,
    *,
    target: str | int | None = None,
    types: Mapping[str, Kind] | None = None,
    missing: Missing | Mapping[str, Missing] = "refuse",
    encoding: Encoding | Mapping[str, Encoding] = "one-hot",
    rows: Integer[AnyArray, " count"] | None = None,
    header: bool = True,
    delimiter: str = ",",
    missing_words: tuple[str, ...] = _MISSING_WORDS,
    max_categories: int = 256,
) -> CsvSchema:
    """What the columns of a file are, from all its rows, and what missing fields count as, from the training rows.

    A column of integers, of numbers or of other words is `"integer"`, `"float"` or `"category"`, its categories in
    alphabetical order. One that mixes numbers and words is refused, as a number may be misspelt, until `types` says.

    **Arguments:** `path`: the file, UTF-8; `target`: the column of the targets, by name or by number (−1 is the last),
    `"float"` in `types` for regression onto integers; `types`: of columns by name, `"skip"` for one not to be read;
    `missing`: what a missing field counts as, by name or in all inputs that it can be of: `"refuse"`, `"mean"` or
    `"median"` of a number, `"most-frequent"`, or `FillWith(value)`; a target is never missing; `encoding`: of
    categories among the inputs, in all or by name; `rows`: `(count,)`, the numbers of the training rows that `missing`
    is fitted on, all by default; `header`: whether the first row has the names, which are `"0"`, `"1"`, … otherwise;
    `delimiter`: between fields; `missing_words`: fields that count as missing, by default empty ones, NA, N/A, NaN,
    nan, null and ?; `max_categories`: how many a column has at most.
    **Returns:** the schema that `read_csv` and `CsvFile` read this file and others like it by.
    **Raises:** `ValueError` naming file, line and column for a row of another number of fields, a field that is missing
    or not of the type given, and a mixed column; for a name that no column has, naming the nearest; for a column
    without a value or of too many categories; if no column is left for the inputs. `IndexError` for a row that is not
    there. `OSError` if the file cannot be read.
    """
    draft = CsvSchema((), header=header, delimiter=delimiter, missing_words=missing_words)
    seen, examples = _look(path, draft, max_categories)
    names = [column.name for column in seen]
    for argument, given in {"types": types, "missing": missing, "encoding": encoding}.items():
        for name in given if isinstance(given, Mapping) else ():
            _number_of(path, argument, name, names)
    goal = None if target is None else _number_of(path, "target", target, names)
    columns, due = [], {}
    for number, column in enumerate(seen):
        kind = column.kind(path, (types or {}).get(column.name), max_categories)
        words = column.words if kind == "category" else set()
        policy = _policy(missing, column.name, kind, number == goal)
        fill = None
        if isinstance(policy, FillWith):
            fill = _given_fill(policy.value, column.name, kind)
            words = words | {fill} if isinstance(fill, str) else words
        elif policy != "refuse":
            due[number] = policy
        elif column.first_missing is not None and kind != "skip":
            raise missing_field(path, column.first_missing, column.name)
        encoded = encoding.get(column.name, "one-hot") if isinstance(encoding, Mapping) else encoding
        columns.append(CsvColumn(column.name, kind, tuple(sorted(words)), encoded, fill))
    schema = replace(draft, columns=tuple(columns), target=goal)
    return schema if not due else _with_fills(path, schema, due, rows, examples)


@dataclass
class _Seen:
    """What was seen in a column: `words` are distinct fields, of which only so many are kept that one is too many."""

    name: str
    numbers: int = 0
    others: int = 0
    first_missing: int | None = None
    first_other: tuple[int, str] | None = None
    first_float: tuple[int, str] | None = None
    words: set[str] = field(default_factory=set)

    def add(self, line: int, text: str, most: int) -> None:
        if number_in(text, "float") is None:
            self.others += 1
            self.first_other = self.first_other or (line, text)
        else:
            self.numbers += 1
            if number_in(text, "integer") is None:
                self.first_float = self.first_float or (line, text)
        if len(self.words) <= most:
            self.words.add(text)

    def kind(self, path: PathLike, given: Kind | None, most: int) -> Kind:
        """The type that was given, once every field is of it, or the one that the fields have."""
        if given == "skip":
            return given
        if self.numbers + self.others == 0:
            raise ValueError(
                f"{os.fspath(path)}: column {self.name!r} has no value: leave it out, by "
                f"types={{{self.name!r}: 'skip'}}."
            )
        if given is None and self.numbers and self.first_other:
            line, text = self.first_other
            raise ValueError(
                f"{column_in(path, line, self.name)}: {text!r} is no number of 32 bits, and {self.numbers} other "
                "fields are: mend it, add it to `missing_words`, or say what the column is, as in "
                f"types={{{self.name!r}: 'category'}}."
            )
        kind = given or ("category" if self.first_other else "float" if self.first_float else "integer")
        wrong = {
            "float": self.first_other,
            "integer": min(filter(None, (self.first_other, self.first_float)), default=None),
        }
        if fault := wrong.get(kind):
            raise ValueError(
                f"{column_in(path, fault[0], self.name)}: {fault[1]!r} is not {SPELT[kind]}: mend the field, or "
                "give the column another type."
            )
        if kind == "category" and len(self.words) > most:
            raise ValueError(
                f"{os.fspath(path)}: column {self.name!r} has more than `max_categories` (={most}) categories: leave "
                f"it out, by types={{{self.name!r}: 'skip'}}, or raise `max_categories`."
            )
        return kind


def _look(path: PathLike, draft: CsvSchema, most: int) -> tuple[list[_Seen], int]:
    """What is seen in each column, and how many examples there are."""
    rows = rows_of(path, draft.delimiter)
    first = next(rows, None)
    if first is None:
        raise ValueError(f"{os.fspath(path)!r} is empty: give a file with one row at least.")
    names = [text.strip() for text in first.fields] if draft.header else [str(at) for at in range(len(first.fields))]
    (name, times), *_ = Counter(names).most_common(1)
    if times > 1:
        raise ValueError(
            f"{os.fspath(path)}, line {first.line}: {times} columns are called {name!r}: give each a name of its own."
        )
    seen, examples = [_Seen(name) for name in names], 0
    for row in rows if draft.header else itertools.chain([first], rows):
        examples += 1
        require_fields(path, row, len(names))
        for column, text in zip(seen, map(str.strip, row.fields), strict=True):
            if text not in draft.missing_words:
                column.add(row.line, text, most)
            elif column.first_missing is None:
                column.first_missing = row.line
    if examples == 0:
        raise ValueError(f"{os.fspath(path)!r} has a header and no rows: give a file with one row at least.")
    return seen, examples


def _number_of(path: PathLike, argument: str, column: str | int, names: list[str]) -> int:
    if isinstance(column, str):
        if column not in names:
            raise ValueError(
                f"`{argument}` (={column!r}) must be a column of {os.fspath(path)!r}, {', '.join(names)}"
                f"{guess(column, names)}."
            )
        return names.index(column)
    if not -len(names) <= column < len(names):
        raise ValueError(
            f"`{argument}` (={column}) must be from {-len(names)} to below the number of columns (={len(names)}): "
            "choose one of them."
        )
    return column % len(names)


def _policy(missing: Missing | Mapping[str, Missing], name: str, kind: Kind, is_target: bool) -> Missing:
    by_name = isinstance(missing, Mapping)
    policy = missing.get(name, "refuse") if by_name else missing
    if is_target and by_name and policy != "refuse":
        raise ValueError(
            f"`missing` of {name!r} (={policy!r}) must be 'refuse': a target that is missing is not made up."
        )
    if policy in ("mean", "median") and kind == "category":
        if by_name:
            raise ValueError(
                f"`missing` of {name!r} (={policy!r}) must be 'refuse', 'most-frequent' or FillWith('…'): a category "
                f"has no {policy}."
            )
        return "refuse"
    if isinstance(policy, FillWith) and not by_name and isinstance(policy.value, str) != (kind == "category"):
        return "refuse"
    return "refuse" if is_target or kind == "skip" else policy


def _given_fill(value: float | str, name: str, kind: Kind) -> float | str:
    if kind == "category" and isinstance(value, str):
        return value
    if kind != "category" and isinstance(value, int | float) and abs(value) <= LARGEST:
        return float(value)
    due = "text, the name of a category" if kind == "category" else SPELT["float"]
    raise ValueError(f"`missing` of {name!r} (=FillWith({value!r})) must be {due}: choose another value.")


def _with_fills(
    path: PathLike, schema: CsvSchema, due: dict[int, Missing], rows: AnyArray | None, examples: int
) -> CsvSchema:
    """The schema with fills from the training rows, each as if it stood in the file."""
    chosen = None if rows is None else np.asarray(rows)
    if chosen is not None:
        require_rows("rows", chosen, examples)
    kept = range(examples) if chosen is None else frozenset(chosen.tolist())
    fields: dict[int, list[str]] = {number: [] for number in due}
    for at, row in enumerate(rows_of(path, schema.delimiter, first_place(path, schema))):
        for number in due if at in kept else ():
            text = row.fields[number].strip()
            if text not in schema.missing_words:
                fields[number].append(text)
    columns = list(schema.columns)
    for number, policy in due.items():
        name = columns[number].name
        if not fields[number]:
            raise ValueError(
                f"{os.fspath(path)}: column {name!r} has no value in the training rows to fit `missing` (={policy!r}) "
                "on: give FillWith(value)."
            )
        columns[number] = replace(columns[number], fill=_fitted(fields[number], columns[number].kind, policy))
    return replace(schema, columns=tuple(columns))


def _fitted(fields: list[str], kind: Kind, policy: Missing) -> float | str:
    if kind == "category":
        return _most_frequent(fields)
    numbers = [float(text) for text in fields]
    if policy == "most-frequent":
        return _most_frequent(numbers)
    return float(np.mean(numbers) if policy == "mean" else np.median(numbers))


def _most_frequent(values: list[_Value]) -> _Value:
    counts = Counter(values)
    most = max(counts.values())
    # Of equally frequent ones the least, so that the order of the rows does not decide.
    return min(value for value, count in counts.items() if count == most)
