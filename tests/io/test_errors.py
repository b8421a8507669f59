"""What the messages of model files are made of."""

import pytest

from matrinox.io import ModelFileError
from matrinox.io.errors import show


def test_a_model_file_error_is_a_value_error() -> None:
    assert issubclass(ModelFileError, ValueError)


@pytest.mark.parametrize(
    "value", ["x" * 10**6, ["x"] * 10**6, {i: i for i in range(10**5)}, 10**4000, [[[[[[[[0]]]]]]]], "\x1b[2J\n\ud800"]
)
def test_what_a_file_says_is_shown_short_and_printable(value: object) -> None:
    assert len(show(value)) < 600
    assert show(value).isprintable()


def test_a_list_deeper_than_python_recurses_is_shown() -> None:
    deep: list[object] = []
    for _ in range(100_000):
        deep = [deep]
    assert show(deep) == "[[[[...]]]]"
