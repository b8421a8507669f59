"""Pictures of what was measured."""

import dataclasses
import sys
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from matrinox import zoo
from matrinox.train import read_log
from matrinox.zoo.pictures import Point, against_parameters, curve, drawn_of

LOG = read_log(zoo.entry("cnn-digits").folder / "log.json")
BLUE, ORANGE = (0x2F, 0x6F, 0xB0), (0xD9, 0x77, 0x2B)


def has_color(png: bytes, color: tuple[int, int, int]) -> bool:
    with Image.open(BytesIO(png)) as picture:
        pixels = np.asarray(picture.convert("RGB"), int)
    return bool((np.abs(pixels - color).sum(-1) < 24).any())


def test_a_curve_of_twenty_seeds_is_small_and_says_what_it_is_drawn_of(tmp_path):
    runs = tuple(dataclasses.replace(LOG.runs[seed % 2], seed=seed) for seed in range(20))
    png = curve(dataclasses.replace(LOG, runs=runs), "accuracy", "ab" * 32)
    assert len(png) < 40_000
    (tmp_path / "curve.png").write_bytes(png)
    assert drawn_of(tmp_path / "curve.png") == "ab" * 32


def test_a_picture_of_another_kind_says_nothing(tmp_path):
    Image.new("RGB", (4, 4)).save(tmp_path / "a.png")
    (tmp_path / "b.png").write_bytes(b"\x89PNG, almost")
    assert drawn_of(tmp_path / "a.png") is None
    assert drawn_of(tmp_path / "b.png") is None


def test_networks_against_their_parameters_have_a_colour_for_each_kind():
    ours = Point("ours", "matrix", 4_000, (0.99, 0.991))
    twin = Point("ours", "parameters", 4_010, (0.985, 0.986))
    alone, both = against_parameters([ours], "ab"), against_parameters([ours, twin], "ab")
    assert (has_color(alone, ORANGE), has_color(both, ORANGE)) == (False, True)
    assert has_color(alone, BLUE)
    assert max(len(alone), len(both)) < 40_000


def test_without_matplotlib_it_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'needs matplotlib: pip install "matrinox\[viz\]"'):
        curve(LOG, "accuracy", "ab")
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(ImportError, match=r'pictures of results need matplotlib: pip install "matrinox\[viz\]"'):
        drawn_of(tmp_path / "curve.png")
