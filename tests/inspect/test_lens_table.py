"""A lens as a table: plain text, a terminal, a notebook."""

import io

import jax.numpy as jnp
import numpy as np
from rich.console import Console

from matrinox.inspect.lens import Lens, lens
from matrinox.inspect.measured import Measured

TREE = {"w": jnp.asarray([[np.diag([2.0, 3.0]), np.diag([1.0, -1.0])], [np.ones((2, 2)), np.diag([1.0, 4.0])]])}


def test_plain_text_has_the_least_the_median_and_the_largest_of_each_measure():
    lines = str(lens(TREE)).splitlines()
    assert lines[0].split() == "weights norm determinant condition symmetry not orth. col. corr.".split()  # noqa: SIM905
    # Norms 3, 1, 2 and 4; determinants 6, −1, 0 and 4; conditions 1.5, 1, infinity and 4;
    # distances from orthogonal √½/√13, 0, √½ and √4.5/√17.
    assert lines[2].split()[:5] == ["['w']", "least", "1", "-1", "1"]
    assert lines[3].split()[-7:] == ["median", "2.5", "2", "2.75", "1", "0.355", "0"]
    assert lines[4].split() == ["largest", "4", "6", "inf", "1", "0.707", "1"]
    assert lines[3].startswith("(2, 2, 2, 2)")
    assert lines[-1].startswith("['w']: identical columns: 1 of 4 matrices")
    assert repr(lens(TREE)) == str(lens(TREE))


def test_activations_have_a_table_of_their_own_and_the_model_itself_a_name():
    looked = Lens({}, {"": Measured("", np.ones((3, 1, 1, 1), np.float32))}, {})
    text = str(looked)
    assert text.startswith("activations  ")
    assert "(the model)" in text
    assert "weights" not in text


def test_show_writes_plain_text_to_a_file_and_colours_to_a_terminal():
    file = io.StringIO()
    lens(TREE).show(file)
    assert file.getvalue() == f"{lens(TREE)}\n"

    terminal = Console(file=io.StringIO(), force_terminal=True, width=100, color_system="standard")
    terminal.print(lens(TREE))
    shown = terminal.file.getvalue()
    assert "\x1b[" in shown
    assert "identical columns" in shown
    assert "0.355" in shown


def test_a_notebook_gets_html_in_which_paths_are_escaped():
    looked = lens({"<b>": TREE["w"]})
    page = looked._repr_html_()
    assert page.count("<tr>") == 4
    assert "&lt;b&gt;" in page
    assert "<b>" not in page
    assert "<li>[&#x27;&lt;b&gt;&#x27;]: identical columns" in page
    assert "<ul>" not in lens({"a": TREE["w"][:1]})._repr_html_()
