"""Records as JSON: dataclasses to plain data and back, every field by its annotation; nan and infinity as text."""

import dataclasses
import functools
import types
import typing
from collections.abc import Mapping, Sequence
from typing import Any, get_args, get_origin

from matrinox.contract.nearest import guess
from matrinox.io.errors import show
from matrinox.io.plain import number_from_json, number_to_json

_SPELT = {bool: "true or false", int: "an integer", float: "a number", str: "a text", types.NoneType: "null"}


def to_plain(value: Any) -> Any:
    """A record as JSON takes it; `"nan"`, `"inf"` and `"-inf"` stand for the numbers that it has no form for."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {each.name: to_plain(getattr(value, each.name)) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {name: to_plain(each) for name, each in value.items()}
    if isinstance(value, tuple | list):
        return [to_plain(each) for each in value]
    return number_to_json(value)


def from_plain(hint: Any, value: Any, where: str) -> Any:
    """What `to_plain` made such a table of.

    **Arguments:** `hint`: a dataclass, or the annotation of one of its fields; `value`: as JSON gave it; `where`: what
    a message calls it.
    **Raises:** `ValueError` naming the first field that is missing, unknown, or of another type.
    """
    kind, within = get_origin(hint), get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _record(hint, value, where)
    if kind is types.UnionType:
        return None if value is None else from_plain(within[0], value, where)
    if kind is Mapping:
        _check(isinstance(value, dict), value, where, "a table")
        return {name: from_plain(within[1], each, f"{where}.{name}") for name, each in value.items()}
    if kind in (Sequence, tuple):
        _check(isinstance(value, list), value, where, "a list")
        rows = [from_plain(within[0], each, f"{where}[{i}]") for i, each in enumerate(value)]
        return rows if kind is Sequence else tuple(rows)
    if hint is Any or type(value) is hint or (hint is float and type(value) is int):
        return value
    number = number_from_json(hint, value)
    _check(number is not None, value, where, _SPELT[hint])
    return number


def _record(kind: Any, value: Any, where: str) -> Any:
    _check(isinstance(value, dict), value, where, "a table")
    hints = _hints(kind)
    for name in value:
        if name not in hints:
            raise ValueError(
                f"{where} has a field {show(name)}, which is not among {', '.join(hints)}{guess(name, hints)}"
            )
    for name in hints:
        if name not in value:
            raise ValueError(f"{where} has no field `{name}`")
    return kind(**{name: from_plain(hint, value[name], f"{where}.{name}") for name, hint in hints.items()})


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    """The annotation of each field; kept, as a log may have a million lines of one kind."""
    hints = typing.get_type_hints(kind)
    return {each.name: hints[each.name] for each in dataclasses.fields(kind)}


def _check(fits: bool, value: Any, where: str, due: str) -> None:
    if not fits:
        raise ValueError(f"`{where}` (={show(value)}) must be {due}")
