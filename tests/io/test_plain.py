"""Plain data: strict JSON, and numbers that JSON cannot spell."""

import math
from typing import Any

import pytest

from matrinox.io import ModelFileError
from matrinox.io.plain import dump, number_from_json, number_to_json, parse


@pytest.mark.parametrize(
    "number", [True, 0, -(10**30), 0.1, -0.0, 5e-324, 1.7e308, math.inf, -math.inf, 1 - 2j, complex(math.inf, -0.0)]
)
def test_a_number_makes_the_round_trip_bit_for_bit(number: Any) -> None:
    back = number_from_json(type(number), parse(dump(number_to_json(number)), bool | int | float | str | list, "it"))
    assert type(back) is type(number)
    assert repr(back) == repr(number)


def test_nan_makes_the_round_trip() -> None:
    assert math.isnan(number_from_json(float, parse(dump(number_to_json(math.nan)), str, "it")))


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (int, True),
        (int, 1.0),
        (int, "1"),
        (bool, 1),
        (float, 1),
        (float, "1.0"),
        (complex, [1.0]),
        (complex, [1.0, "x"]),
    ],
)
def test_a_number_of_another_type_is_no_number(kind: type, value: Any) -> None:
    assert number_from_json(kind, value) is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"a":1,"a":1}', "it holds the key 'a' twice"),
        ('{"b":{"a":1,"c":2,"a":3}}', "it holds the key 'a' twice"),
        ("[NaN]", "it holds the number 'NaN', which is not finite"),
        ("[1e400]", "it holds the number '1e400', which is not finite"),
        ("[1,]", "it is not JSON"),
        ("", "it is not JSON"),
        ("[" + "9" * 5000 + "]", "it is not JSON: Exceeds the limit"),
        ("[" * 33 + "]" * 33, "it is nested more than 32 deep"),
        ("[" * 100_000 + "]" * 100_000, "it is nested too deeply"),
        ("[" + "[]," * 300_000 + "0]", "it has more than 262144 tables and lists"),
        ("7", "it is 7, not what the format has there"),
    ],
)
def test_json_that_python_would_forgive_is_refused(text: str, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        parse(text, dict | list, "it")


def test_json_32_deep_is_read() -> None:
    assert parse("[" * 32 + "]" * 32, list, "it")[0][0][0]
