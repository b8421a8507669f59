"""Figures: what they show, and that they leave matplotlib's global state alone."""

import sys

import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.inspect.lens import Lens, lens
from matrinox.inspect.measured import Measured

RANDOM = np.random.default_rng(0)
TREE = {"a": jnp.asarray(RANDOM.normal(size=(4, 3, 2, 2))), "b": jnp.zeros((2, 2, 3, 3))}


def test_a_figure_has_a_row_for_each_path_and_shows_every_eigenvalue():
    looked = lens(TREE)
    figure = looked.figure()
    axes = figure.axes
    assert len(axes) == 2 * 4
    assert [ax.get_title() for ax in axes[:4]] == [
        *("spectrum", "log₁₀ |determinant|", "log₁₀ condition number", "structure"),
    ]
    points = axes[0].collections[0].get_offsets()
    spectrum = looked["['a']"].eigenvalues.reshape(-1)
    assert np.allclose(points, np.stack([spectrum.real, spectrum.imag], -1))
    (circle,) = (line for line in axes[0].lines if len(line.get_xdata()) > 2)
    assert np.allclose(np.hypot(*circle.get_data()), 1)
    assert "['a']\n(4, 3, 2, 2)" in axes[0].get_ylabel()


def test_histograms_count_every_matrix_once():
    looked = lens(TREE, "['a']")
    axes = looked.figure().axes
    heights = sum(patch.get_height() for patch in axes[1].patches)
    assert heights == 12
    assert sum(patch.get_height() for patch in axes[2].patches) == 12
    positive = (looked["['a']"].determinant > 0).mean()
    assert axes[1].get_legend().get_texts()[0].get_text() == f"{positive:.0%} positive"


def test_singular_matrices_are_told_in_words():
    axes = lens(TREE).figure("*").axes[4:]
    assert [text.get_text() for text in axes[1].get_legend().get_texts()] == ["100% zero"]
    assert [text.get_text() for text in axes[2].get_legend().get_texts()] == ["100% infinite"]


def test_a_pattern_chooses_the_rows():
    assert len(lens(TREE).figure("['b']").axes) == 4
    with pytest.raises(ValueError, match=r"`where` \(='c'\) matches none of 2 paths: the nearest is"):
        lens(TREE).figure("c")


def test_a_figure_is_drawn_as_png_and_pyplot_knows_nothing_of_it(tmp_path):
    before = "matplotlib.pyplot" in sys.modules
    broken = Measured("", np.full((2, 1, 2, 2), np.nan))
    figure = Lens({"a": Measured("a", np.ones((1, 1, 1, 1)))}, {"": broken}, {}).figure()
    assert figure._repr_png_().startswith(b"\x89PNG")
    figure.savefig(tmp_path / "lens.svg")
    assert (tmp_path / "lens.svg").stat().st_size > 10_000
    assert ("matplotlib.pyplot" in sys.modules) == before


def test_without_matplotlib_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r'needs matplotlib: pip install "matrinox\[viz\]"'):
        lens(TREE).figure()
    assert "determinant" in str(lens(TREE))
