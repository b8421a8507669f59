"""Progress on the screen."""

import io
import re
from types import SimpleNamespace
from typing import Any

import pytest
from rich.console import Console

from matrinox.contract import ContractError
from matrinox.train import Classification, Round, Start, show_progress
from matrinox.train.log.screen import headline


def progress_of(
    console: Console, steps: int, rounds: int, task=None, first: int = 0, validation=None, per_epoch: int = 40
) -> str:
    figures = {"loss": 0.5, "accuracy": 0.875} if validation is None else validation
    with show_progress(task, console=console) as hooks:
        state: Any = SimpleNamespace(step=first)
        hooks.on_start(Start(state, steps, per_epoch, figures))
        for number in range(1, rounds + 1):
            hooks.on_round(None, Round(first + number * (steps - first) // rounds, 1.25, 0.003, figures))
    console.file.seek(0)
    return console.file.read()


def plain() -> Console:
    return Console(file=io.StringIO(), force_terminal=False, width=40)


def last_bar(text: str) -> str:
    return re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", text).rstrip().splitlines()[-1].rstrip()


def test_away_from_a_terminal_progress_is_about_twenty_plain_lines():
    text = progress_of(plain(), steps=1000, rounds=100, task=Classification())
    lines = text.splitlines()
    assert lines[0] == "compiling …"
    assert len(lines) == 21
    assert lines[1].startswith("step 50/1000, epoch 1.25  loss 1.250  validation 87.5%  rate 3.0e-03  ")
    assert lines[-1].startswith("step 1000/1000, epoch 25")
    assert all(line.endswith("s left") for line in lines[2:])
    assert "\x1b" not in text


def test_a_run_of_one_round_still_shows_its_last_step():
    text = progress_of(plain(), steps=3, rounds=1, per_epoch=0)
    assert text.splitlines()[-1] == "step 3/3  loss 1.250  validation 0.500  rate 3.0e-03"


def test_a_resumed_run_shows_where_it_goes_on():
    lines = progress_of(plain(), steps=1000, rounds=50, first=500).splitlines()
    assert lines[1] == "going on behind step 500/1000, epoch 12.5"
    assert lines[2].startswith("step 550/1000")
    assert len(lines) == 2 + 10


def test_the_headline_of_any_task_is_shown_as_it_is_spelt():
    class Fit(Classification):
        headline = "r2"
        percent = False

    figures = {"loss": 0.5, "accuracy": 0.875, "r2": -0.25}
    assert headline(figures, Classification()) == "87.5%"
    assert headline(figures, Fit()) == "-0.250"
    assert headline(figures, None) == "0.500"
    assert headline({"loss": 0.5}, Fit()) == "0.500"


def test_a_run_without_validation_shows_none():
    assert "validation" not in progress_of(plain(), steps=10, rounds=5, validation={})


def test_on_a_terminal_of_80_columns_progress_is_a_live_bar():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    text = progress_of(console, steps=10000, rounds=10, task=Classification())
    assert "\x1b[" in text
    assert "compiling" in text
    last = last_bar(text)
    assert "step 10000/10000 loss 1.250 validation 87.5% rate 3.0e-03 " in last
    assert last.endswith("left")


def test_on_a_wide_terminal_the_bar_tells_the_epoch_and_a_resumed_run_begins_where_it_was():
    console = Console(file=io.StringIO(), force_terminal=True, width=130)
    text = progress_of(console, steps=1000, rounds=2, first=500)
    assert "step 500/1000" in text
    assert "step 1000/1000, epoch 25 loss 1.250 validation 0.500" in last_bar(text)


def test_a_run_that_fails_gives_the_terminal_back():
    console = Console(file=io.StringIO(), force_terminal=True, width=80)
    with pytest.raises(FloatingPointError), show_progress(console=console):
        raise FloatingPointError
    console.file.seek(0)
    # The cursor is shown again.
    assert console.file.read().rstrip().endswith("\x1b[?25h")


def test_progress_takes_a_task_alone():
    with pytest.raises(ContractError, match=r"task.*it takes"), show_progress(3):  # pyright: ignore
        pass
