"""Tables on the screen."""

import pytest

from matrinox.cli.table import facts, on_one_line, show_table


def test_settings_on_one_line_are_those_that_are_set():
    recipe = {"steps": 3, "epochs": None, "augment": [{"kind": "Shift", "pixels": 1}], "task": {"kind": "Regression"}}
    optimiser = {"kind": "AdamW", "rate": 0.5, "groups": []}
    line = "steps 3, Shift, pixels 1, Regression, AdamW, rate 0.5, widths [2, 3]"
    assert on_one_line({**recipe, "optimiser": optimiser, "widths": [2, 3]}) == line


@pytest.mark.parametrize("value", ["x" * 300, "[bold]runs/[1]/model[/bold]"])
def test_a_fact_is_shown_whole_and_as_it_is(value, capsys):
    show_table(facts("what", {"path": value}))
    assert value in capsys.readouterr().out
