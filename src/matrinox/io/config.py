"""Configs: a frozen dataclass to plain data and back, every value checked against its annotation and its bounds.

A field may declare `field(metadata={"min": 1, "max": 64})`, for a tuple meant of each element. An integer without a
declared maximum may not exceed what the file's own arrays make plausible, so that no config asks for a depth of 10⁹.
"""

import dataclasses
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from matrinox.contract.nearest import guess
from matrinox.io.errors import ModelFileError, show
from matrinox.io.plain import number_from_json, number_to_json

_SPELT = {bool: "true or false", int: "an integer", float: "a number", str: "a string", types.NoneType: "null"}
_KNOWN = "a config holds bool, int, float, str, None, Literal, tuples and frozen dataclasses"


def encode_config(config: Any, where: str = "config") -> Any:
    """A config as plain data for JSON.

    **Raises:** `ModelFileError` naming the first value that is not plain.
    """
    if dataclasses.is_dataclass(config) and not isinstance(config, type):
        fields = [field.name for field in dataclasses.fields(config) if field.init]
        return {name: encode_config(getattr(config, name), f"{where}.{name}") for name in fields}
    if isinstance(config, tuple) and type(config) is tuple:
        return [encode_config(value, f"{where}[{i}]") for i, value in enumerate(config)]
    if type(config) in _SPELT:
        return number_to_json(config)
    remedy = "write it as a tuple" if type(config) is list else "store a name and look it up where the model is built"
    raise ModelFileError(f"`{where}` is {show(config)}: {_KNOWN}, so {remedy}")


def decode_config(cls: type, data: Any, *, largest: int) -> Any:
    """The config that `encode_config` gave `data` for, after every check; nothing in `data` is looked up or called.

    **Arguments:** `cls`: the frozen dataclass; `data`: parsed JSON; `largest`: the bound of integers that declare no
    maximum.
    **Raises:** `ModelFileError` naming the field, its value, the rule and, for an unknown name, the nearest one.
    """
    if not (dataclasses.is_dataclass(cls) and cls.__dataclass_params__.frozen):  # pyright: ignore
        raise ModelFileError(
            f"{cls.__name__} must be a frozen dataclass to serve as a config: write @dataclass(frozen=True)"
        )
    return _record(cls, data, "config", largest)


def check_config(config: Any) -> None:
    """Checks a config's values against its own annotations and bounds; for `__post_init__`, so that no other is built.

    **Arguments:** `config`: a dataclass of what `encode_config` takes.
    **Raises:** `ValueError` naming the field, its value, the rule and, for a misspelt choice, the nearest one.
    """
    name = type(config).__name__
    try:
        _values(type(config), encode_config(config, name), name, None)
    except ModelFileError as error:
        raise ValueError(str(error)) from error.__cause__


def _record(cls: type, data: Any, where: str, largest: int | None) -> Any:
    values = _values(cls, data, where, largest)
    try:
        return cls(**values)
    except Exception as error:
        raise ModelFileError(f"`{where}` is refused by {cls.__name__}: {error}") from error


def _values(cls: type, data: Any, where: str, largest: int | None) -> dict[str, Any]:
    if not isinstance(data, dict):
        raise ModelFileError(f"`{where}` is {show(data)}, not a table of the fields of {cls.__name__}")
    fields = {field.name: field for field in dataclasses.fields(cls) if field.init}
    for name in data:
        if name not in fields:
            raise ModelFileError(f"`{where}` has the unknown field {show(name)}{guess(name, fields)}")
    for name in fields:
        if name not in data:
            raise ModelFileError(f"`{where}` lacks the field {name!r} of {cls.__name__}{guess(name, data)}")
    try:
        hints = typing.get_type_hints(cls, include_extras=True)
    except NameError as error:
        raise ModelFileError(f"the annotations of {cls.__name__} do not resolve: {error}") from error
    return {
        name: _value(hints[name], data[name], f"{where}.{name}", field.metadata, largest)
        for name, field in fields.items()
    }


def _value(hint: Any, data: Any, where: str, bounds: Mapping[Any, Any], largest: int | None) -> Any:
    origin, args = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _value(args[0], data, where, bounds, largest)
    if origin is Literal:
        if not any(type(data) is type(choice) and data == choice for choice in args):
            options = [choice for choice in args if isinstance(choice, str)]
            raise ModelFileError(
                f"`{where}` is {show(data)}, not one of {', '.join(map(repr, args))}{guess(data, options)}"
            )
        return data
    if origin in (Union, types.UnionType):
        return _any_of(args, data, where, bounds, largest)
    if origin is tuple:
        return _tuple(args, data, where, bounds, largest)
    if dataclasses.is_dataclass(hint) and isinstance(hint, type):
        return _record(hint, data, where, largest)
    hint = types.NoneType if hint is None else hint
    if hint not in _SPELT:
        raise ModelFileError(f"`{where}` is annotated {show(hint)}: {_KNOWN}")
    value = data if hint is float and type(data) is int else number_from_json(hint, data)
    if type(data) is not hint and value is None:
        raise ModelFileError(f"`{where}` is {show(data)}, not {_SPELT[hint]}")
    if hint in (int, float):
        _check_bounds(value, where, bounds, largest if isinstance(value, int) else None)
    return value


def _any_of(args: tuple[Any, ...], data: Any, where: str, bounds: Mapping[Any, Any], largest: int | None) -> Any:
    problems = []
    for hint in args:
        try:
            return _value(hint, data, where, bounds, largest)
        except ModelFileError as problem:
            # the complaint of `| None` explains nothing when something else was due as well
            problems = [problem, *problems] if hint is not types.NoneType else [*problems, problem]
    raise problems[0]


def _tuple(
    args: tuple[Any, ...], data: Any, where: str, bounds: Mapping[Any, Any], largest: int | None
) -> tuple[Any, ...]:
    if not isinstance(data, list):
        # Without a bound it is in memory, where the list of a file is a tuple.
        due = "a tuple: write `(…,)` around one value" if largest is None else "a list"
        raise ModelFileError(f"`{where}` is {show(data)}, not {due}")
    hints = args[:1] * len(data) if args[1:] == (...,) else () if args == ((),) else args
    if len(hints) != len(data):
        raise ModelFileError(f"`{where}` is {show(data)}: it must have {len(hints)} elements")
    return tuple(
        _value(hint, value, f"{where}[{i}]", bounds, largest)
        for i, (hint, value) in enumerate(zip(hints, data, strict=True))
    )


def _check_bounds(value: float, where: str, bounds: Mapping[Any, Any], largest: int | None) -> None:
    low, high = bounds.get("min"), bounds.get("max")
    if low is not None and not value >= low:
        raise ModelFileError(f"`{where}` (={show(value)}) must be at least {low}: choose a larger number")
    if high is not None and not value <= high:
        raise ModelFileError(f"`{where}` (={show(value)}) must be at most {high}: choose a smaller number")
    if high is None and largest is not None and abs(value) > largest:
        remedy = 'declare field(metadata={"max": ...}) in the config if it may be larger'
        raise ModelFileError(
            f"`{where}` (={show(value)}) must be at most {largest}, given the size of the arrays: {remedy}"
        )
