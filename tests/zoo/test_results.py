"""The tables of what was measured, and which files are not what the logs give."""

import csv
import dataclasses
import shutil
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import pytest

from matrinox import zoo
from matrinox.train import RunLog, read_log, write_log
from matrinox.zoo import read_card
from matrinox.zoo.pictures import drawn_of
from matrinox.zoo.results import NOT_RUN, read_results, stale, tables, write_results

ROW = zoo.entry("cnn-digits")
LOG = read_log(ROW.folder / "log.json")
ROWS = (ROW, dataclasses.replace(ROW, name="other"))


def with_tests(log: RunLog, *figures: float) -> RunLog:
    """The log with runs of such test accuracies."""
    runs = [
        dataclasses.replace(run, test=dataclasses.replace(run.test, figures={**run.test.figures, "accuracy": figure}))
        for run, figure in zip(log.runs, figures, strict=False)
    ]
    return dataclasses.replace(log, runs=tuple(runs))


@pytest.fixture
def put(tmp_path) -> Callable[..., Path]:
    """Writes a log, and those of twins by their kind, and gives the folder."""

    def write(log: RunLog, **twins: RunLog) -> Path:
        entry = tmp_path / "entries" / ROW.name
        entry.mkdir(parents=True, exist_ok=True)
        write_log(entry / "log.json", log)
        for kind, twin in twins.items():
            write_log(entry / f"twin-{kind}.json", dataclasses.replace(twin, kind=kind))
        return tmp_path

    return write


def cells(text: str, title: str) -> list[str]:
    """The cells of the row for cnn-digits, of the table below a title."""
    line = next(line for line in text.split(title)[1].splitlines() if line.startswith(f"| `{ROW.name}`"))
    return [cell.strip() for cell in line.split("|")[1:-1]]


def test_what_was_not_run_says_so(tmp_path):
    texts = tables(read_results(tmp_path, ROWS))
    lines = list(csv.DictReader(StringIO(texts["results.csv"])))
    assert [(line["entry"], line["test"], line["seed"]) for line in lines] == [
        *(("cnn-digits", NOT_RUN, ""), ("other", NOT_RUN, ""))
    ]
    assert cells(texts["README.md"], "# What")[3:] == [f"{ROW.parameters:,}", "", NOT_RUN, "accuracy ≥ 99.00%", "", ""]
    assert cells(texts["README.md"], "## Beside")[1:] == [NOT_RUN] * 5


def test_a_row_of_the_table_for_each_entry_kind_and_seed_with_the_logs_figures(put):
    log, twin = with_tests(LOG, 0.5, 0.75, 1.0), with_tests(dataclasses.replace(LOG, parameters=77), 0.25, 0.5)
    text = tables(read_results(put(log, flops=twin), ROWS))["results.csv"]
    lines = list(csv.DictReader(StringIO(text)))
    assert [(line["kind"], line["seed"], line["test"], line["parameters"]) for line in lines] == [
        *(("matrix", "0", "0.500000", "16248"), ("matrix", "1", "0.750000", "16248")),
        *(("matrix", "2", "1.000000", "16248"), ("flops", "0", "0.250000", "77"), ("flops", "1", "0.500000", "77")),
        ("matrix", "", NOT_RUN, ""),
    ]
    best = min(log.runs, key=lambda run: run.validation.figures["loss"])
    assert [line["seed"] for line in lines if line["shipped"] == "yes"] == [str(best.seed)]
    assert lines[0]["recipe_sha256"] == log.recipe_sha256
    assert lines[0]["test_sha256"] == log.runs[0].data["sha256"]["test"]
    assert float(lines[0]["seconds"]) == pytest.approx(log.runs[0].seconds, abs=0.05)


def test_the_readme_tells_mean_spread_goal_and_the_shipped_figure(put):
    line = cells(tables(read_results(put(with_tests(LOG, 1.0, 0.97, 1.0)), ROWS))["README.md"], "# What")
    assert line[3:7] == ["16,248", f"{LOG.flops:,}", "99.00% ± 1.73%, 3 seeds", "accuracy ≥ 99.00%: reached"]
    line = cells(tables(read_results(put(with_tests(LOG, 0.98, 0.97, 1.0)), ROWS))["README.md"], "# What")
    assert line[5:8] == ["98.33% ± 1.53%, 3 seeds", "accuracy ≥ 99.00%: not reached", "97.00%"]


@pytest.mark.parametrize(
    ("twin", "said"),
    [
        ((0.5, 0.6), "matrix, by 2.8 spreads"),
        ((0.9, 1.0), "scalar, by 2.8 spreads"),
        ((0.7, 0.8), "neither"),
        ((0.7, 0.9), "scalar, by 0.4 spreads"),
    ],
)
def test_the_readme_says_who_wins_losses_included(put, twin, said):
    scalar = dataclasses.replace(with_tests(LOG, *twin), parameters=16_000)
    text = tables(read_results(put(with_tests(LOG, 0.7, 0.8), parameters=scalar), ROWS))["README.md"]
    line = cells(text, "## Beside")
    assert line[1] == "75.00% ± 7.07% (16,248)"
    assert line[2].endswith("% (16,000)")
    assert line[3:] == [NOT_RUN, NOT_RUN, said]


def test_what_is_written_is_not_stale_until_a_log_changes(put):
    folder = put(LOG)
    written = ["results.csv", "README.md", "entries/cnn-digits/curve.png"]
    assert stale(folder, read_results(folder, ROWS)) == written
    assert write_results(folder, read_results(folder, ROWS)) == written
    assert write_results(folder, read_results(folder, ROWS)) == stale(folder, read_results(folder, ROWS)) == []
    (folder / "results.csv").write_text("entry,test\ncnn-digits,1.0\n")
    assert stale(folder, read_results(folder, ROWS)) == ["results.csv"]
    put(with_tests(LOG, 0.5, 0.6))
    assert stale(folder, read_results(folder, ROWS)) == written


def test_a_card_that_is_not_what_row_log_and_weights_give_is_written_anew(put):
    folder = put(LOG)
    shutil.copy(zoo.entry("mlp-digits").folder / "weights.safetensors", folder / "entries" / ROW.name)
    assert "entries/cnn-digits/card.toml" in write_results(folder, read_results(folder, ROWS))
    other = (dataclasses.replace(ROW, summary="Another."), ROWS[1])
    assert stale(folder, read_results(folder, other)) == ["README.md", "entries/cnn-digits/card.toml"]
    write_results(folder, read_results(folder, other))
    assert read_card(folder / "entries" / ROW.name / "card.toml").summary == "Another."


def test_networks_on_mnist_are_drawn_together(put):
    rows = (dataclasses.replace(ROW, data=zoo.BuiltIn("mnist")),)
    folder = put(LOG, parameters=LOG)
    assert "mnist-parameters.png" in write_results(folder, read_results(folder, rows))
    first = drawn_of(folder / "mnist-parameters.png")
    put(LOG, parameters=with_tests(LOG, 0.5, 0.6))
    assert stale(folder, read_results(folder, rows)) == ["results.csv", "README.md", "mnist-parameters.png"]
    write_results(folder, read_results(folder, rows))
    assert drawn_of(folder / "mnist-parameters.png") != first


def test_a_log_in_the_place_of_another_is_refused(put):
    folder = put(LOG, parameters=LOG)
    shutil.copy(folder / "entries" / ROW.name / "log.json", folder / "entries" / ROW.name / "twin-parameters.json")
    due = r"twin-parameters\.json' is the log of 'cnn-digits', matrix, and must be of 'cnn-digits', parameters"
    with pytest.raises(ValueError, match=due):
        read_results(folder, ROWS)
    put(dataclasses.replace(LOG, name="b"))
    with pytest.raises(ValueError, match=r"log\.json' is the log of 'b', matrix, and must be of 'cnn-digits', matrix"):
        read_results(folder, ROWS)
