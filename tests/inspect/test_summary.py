"""A summary shows what `check` finds: in colours, as HTML, as plain text."""

import importlib.util
import io
import sys
from html.parser import HTMLParser

import jax
import pytest
from rich.console import Console

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.inspect import check, summary


@pytest.fixture(scope="module")
def model():
    k0, k1 = jax.random.split(jax.random.key(0))
    return nn.Sequential([nn.MLP(p=2, q=3, n=2, hidden=(4,), key=k0), nn.Dense(p=3, q=1, n=2, key=k1)])


@pytest.fixture(scope="module")
def shown(model):
    return summary(model, ("t", 2, 2, 2))


def words(text):
    return text.split()


def test_plain_text_is_the_table_of_check(model, shown):
    assert str(shown) == repr(shown) == str(check(model, ("t", 2, 2, 2), verbose=False))
    file = io.StringIO()
    shown.show(file)
    assert file.getvalue() == f"{shown}\n"
    assert "\x1b" not in file.getvalue()


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_the_same_words_in_colours(shown, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.delenv("NO_COLOR", raising=False)
    file = Terminal()
    shown.show(file)
    assert "\x1b[" in file.getvalue()
    plain = io.StringIO()
    Console(file=plain, width=200).print(shown)
    assert words(plain.getvalue()) == words(str(shown))


class Cells(HTMLParser):
    """The text of each cell, row by row, and the tags that are left open."""

    def __init__(self):
        super().__init__()
        self.rows, self.open = [], []

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open and self.open[-1] in ("td", "th"):
            self.rows[-1][-1] += data


def test_a_notebook_gets_a_table_with_the_cells_of_the_report(shown, monkeypatch):
    monkeypatch.setitem(sys.modules, "treescope", None)
    page = Cells()
    page.feed(shown._repr_html_())
    assert page.open == []
    assert page.rows == [list(shown.report.HEADER), *map(list, shown.report.cells())]


def test_with_treescope_the_model_can_be_unfolded_below(shown):
    assert importlib.util.find_spec("treescope") is not None
    page = shown._repr_html_()
    assert page.count("<details>") == page.count("</details>") == 1
    assert "<treescope-container" in page.split("<details>")[1]
    assert page.split("<details>")[0].endswith(f"<p>{shown.report.total()}</p>")


def test_without_treescope_the_extra_is_named(shown, monkeypatch):
    monkeypatch.setitem(sys.modules, "treescope", None)
    with pytest.raises(ImportError, match=r'treescope is not installed: pip install "matrinox\[viz\]"'):
        shown.tree()


def test_layers_below_a_depth_are_left_out_and_the_totals_stay(model, shown):
    paths = [
        [cells[0].strip() for _, cells in summary(model, ("t", 2, 2, 2), depth=depth)._shown()] for depth in (0, 1)
    ]
    assert paths == [["model"], ["model", "layers[0]", "layers[1]"]]
    shallow = summary(model, ("t", 2, 2, 2), depth=0)
    assert str(shallow).splitlines()[-1] == str(shown).splitlines()[-1]
    assert shallow.report == shown.report


def test_what_cannot_be_summarised_is_refused(model):
    with pytest.raises(ValueError, match=r"`depth` \(=-1\) must be at least 0"):
        summary(model, (2, 2, 2), depth=-1)
    with pytest.raises(ContractError, match=r"^layers\[0\].*axis -3 is 5, p is 2"):
        summary(model, (5, 2, 2))
