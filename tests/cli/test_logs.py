"""`matrinox plot` and `matrinox compare`."""

import json
import shutil

import pytest

from matrinox import cli
from matrinox.train import read_log


@pytest.fixture
def runs(trained, tmp_path, monkeypatch):
    """A finished run and one that was killed behind its first round, trained on other data, in `a` and `b`."""
    shutil.copytree(trained[1] / "runs" / "mlp-digits", tmp_path / "a")
    lines = (tmp_path / "a" / "log.jsonl").read_text().splitlines()
    start = json.loads(lines[0])
    start["about"]["recipe"]["batch"] = 32
    start["about"]["data"]["sha256"]["train"] = "0" * 64
    (tmp_path / "b").mkdir()
    (tmp_path / "b" / "log.jsonl").write_text("\n".join([json.dumps(start), *lines[1:4], '{"event":"ep']))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_plot_writes_the_curves_of_runs_as_png(runs, capsys):
    assert cli.main(["plot", "a", "b"]) == 0
    assert capsys.readouterr().out == "written: curves.png\n"
    assert (runs / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert cli.main(["plot", "b", "--out", "b/c.PNG"]) == 0
    assert len((runs / "b" / "c.PNG").read_bytes()) < len((runs / "curves.png").read_bytes())


def test_compare_shows_what_differs_and_what_was_reached(runs, capsys):
    assert cli.main(["compare", "a", "b", "--out", "compare.png"]) == 0
    out = capsys.readouterr().out
    rows = {
        line.split("│")[1].strip(): [cell.strip() for cell in line.split("│")[2:-1]]
        for line in out.splitlines()
        if "│" in line
    }
    run = read_log("a/log.json").runs[0]
    assert rows["recipe.batch"] == ["64", "32"]
    assert "recipe.steps" not in rows
    assert rows["ended"] == ["complete", "unfinished"]
    assert rows["steps"] == ["76", "38"]
    assert rows["parameters"] == ["8,352", "8,352"]
    assert rows["test accuracy"] == [f"{run.test.figures['accuracy']:.5g}", "–"]
    assert rows["validation loss"][0] == f"{run.validation.figures['loss']:.5g}"
    assert rows["seconds"][0] == f"{run.seconds:.1f}"
    assert "note: a and b were trained on different data (train): their figures are not comparable.\n" in out
    assert "note: b is unfinished at step 38.\n" in out
    assert (runs / "compare.png").read_bytes().startswith(b"\x89PNG")


def test_compare_draws_nothing_where_nothing_was_asked_for(runs, capsys):
    assert cli.main(["compare", "a", "a/log.jsonl"]) == 0
    assert {path.name for path in runs.iterdir()} == {"a", "b"}


def test_one_run_is_no_comparison_and_a_damaged_log_is_named(runs, refused):
    assert refused("compare", "a") == (2, "matrinox: a holds one run: name two runs or more\n")
    (runs / "b" / "log.jsonl").write_text("{}\n")
    status, err = refused("plot", "a", "b")
    assert status == 1
    assert "'b/log.jsonl', line 1: `event` (=None) must be one of start" in err
    assert not (runs / "curves.png").exists()
