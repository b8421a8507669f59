"""The rounds of a run as CSV."""

import csv

import pytest

from matrinox.train import Csv, Round

HEADER = ["step", "loss", "learning_rate", "validation_loss", "validation_accuracy"]


def test_a_run_leaves_a_row_for_each_round(play, tmp_path):
    play(Csv(tmp_path / "new" / "rounds.csv"))
    with open(tmp_path / "new" / "rounds.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == HEADER
    assert [row[0] for row in rows] == ["3", "6", "9", "12"]
    assert [float(row[3]) for row in rows] == pytest.approx([2 / (3 * step) for step in (3, 6, 9, 12)], rel=1e-8)


@pytest.mark.parametrize(("killed", "checkpoint"), [(2, 0), (8, 3), (9, 9), (12, 6), (12, 12)])
def test_a_resumed_run_leaves_the_file_of_one_without_a_break(killed, checkpoint, play, tmp_path):
    play(Csv(tmp_path / "whole.csv"))
    play(Csv(tmp_path / "broken.csv"), last=killed, ends=False)
    with (tmp_path / "broken.csv").open("ab") as file:
        file.write(b"15,0.")
    play(Csv(tmp_path / "broken.csv"), first=checkpoint)
    assert (tmp_path / "broken.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_a_run_resumed_without_its_file_begins_one(play, tmp_path):
    play(Csv(tmp_path / "rounds.csv"), first=6)
    assert len((tmp_path / "rounds.csv").read_text().splitlines()) == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name,age\nx,3\n", "line 1 is no header of rounds"),
        ("step,loss,learning_rate\n3,1,1\n6,1\n", "line 3 is no round"),
        ("step,loss,learning_rate\nthree,1,1\n", "line 2 is no round"),
    ],
)
def test_a_run_does_not_go_on_with_the_file_of_others(text, said, play, tmp_path):
    (tmp_path / "rounds.csv").write_text(text)
    with pytest.raises(ValueError, match=rf"rounds\.csv', {said}: "):
        play(Csv(tmp_path / "rounds.csv"), first=3)
    assert (tmp_path / "rounds.csv").read_text() == text


def test_a_round_of_other_figures_is_refused(play, tmp_path):
    hooks = Csv(tmp_path / "rounds.csv")
    play(hooks, last=3, ends=False)
    with pytest.raises(ValueError, match="step 4 has the columns step,loss,learning_rate, which must be those of the"):
        hooks.on_round(None, Round(4, 1.0, 1.0))
    assert len((tmp_path / "rounds.csv").read_text().splitlines()) == 2
