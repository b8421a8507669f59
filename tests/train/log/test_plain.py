"""Records as plain data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest

from matrinox.train.log.plain import from_plain, to_plain


@dataclass(frozen=True)
class Part:
    name: str | None
    size: int


@dataclass(frozen=True)
class Whole:
    parts: tuple[Part, ...]
    weights: Mapping[str, Sequence[float]]
    share: float
    done: bool
    about: Any


WHOLE = Whole(
    (Part("a", 1), Part(None, 2)), {"x": [0.5, float("inf")]}, float("-inf"), True, {"any": [1, "thing", None]}
)


def test_a_record_survives_json():
    text = json.dumps(to_plain(WHOLE), allow_nan=False)
    assert from_plain(Whole, json.loads(text), "whole") == WHOLE
    assert json.loads(text)["share"] == "-inf"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"parts": [{"name": "a"}]}, r"whole\.parts\[0\] has no field `size`"),
        ({"parts": [{"name": 3, "size": 1}]}, r"`whole\.parts\[0\]\.name` \(=3\) must be a text"),
        ({"parts": {"name": "a"}}, r"`whole\.parts` \(=.*\) must be a list"),
        ({"parts": [3]}, r"`whole\.parts\[0\]` \(=3\) must be a table"),
        ({"weights": {"x": "inf"}}, r"`whole\.weights\.x` \(='inf'\) must be a list"),
        ({"weights": []}, r"`whole\.weights` \(=\[\]\) must be a table"),
        ({"share": True}, r"`whole\.share` \(=True\) must be a number"),
        ({"share": None}, r"`whole\.share` \(=None\) must be a number"),
        ({"done": 1}, r"`whole\.done` \(=1\) must be true or false"),
        ({"abuot": 1}, "whole has a field 'abuot', which is not among .*: did you mean 'about'"),
    ],
)
def test_what_does_not_fit_is_named_by_its_place(change, said):
    with pytest.raises(ValueError, match=said):
        from_plain(Whole, {**to_plain(WHOLE), **change}, "whole")


def test_a_whole_number_stands_for_a_number_with_decimals_and_not_the_other_way_round():
    assert from_plain(Whole, {**to_plain(WHOLE), "share": 1}, "whole").share == 1
    with pytest.raises(ValueError, match=r"`size` \(=1\.0\) must be an integer"):
        from_plain(int, 1.0, "size")
