"""Runs as their folders tell of them."""

import dataclasses

import pytest

from matrinox.contract import ContractError
from matrinox.train import JsonLines, Round, Run, read_runs, rounds_as_columns, write_log
from matrinox.train.log.recorded import runs_of


def test_a_finished_log_gives_a_run_for_each_seed(log, tmp_path):
    write_log(tmp_path / "log.json", log)
    runs = read_runs(tmp_path)
    assert [run.name for run in runs] == [f"{tmp_path} seed 4", f"{tmp_path} seed 5"]
    assert [run.about["seed"] for run in runs] == [4, 5]
    assert (runs[0].steps, runs[0].seconds, runs[0].ended, runs[0].test) == (
        12,
        1.5,
        "complete",
        log.runs[0].test.figures,
    )
    assert runs[0].about["recipe"] == {"steps": 12}
    assert runs == tuple(
        dataclasses.replace(run, name=each.name) for run, each in zip(runs_of(log, "a"), runs, strict=True)
    )


def test_one_run_is_called_as_its_folder_and_an_interrupted_one_says_so(log, tmp_path):
    write_log(
        tmp_path / "log.json", dataclasses.replace(log, runs=(dataclasses.replace(log.runs[0], interrupted=True),))
    )
    (run,) = read_runs(tmp_path / "log.json")
    assert (run.name, run.ended) == (str(tmp_path / "log.json"), "interrupted")


@pytest.mark.parametrize(
    ("last", "ends", "ended"), [(8, False, "unfinished"), (9, True, "interrupted"), (12, True, "complete")]
)
def test_a_run_without_a_finished_log_is_read_from_its_events(last, ends, ended, play, round_of, about, tmp_path):
    play(JsonLines(tmp_path / "log.jsonl", about=about), last=last, ends=ends)
    if not ends:
        with (tmp_path / "log.jsonl").open("ab") as file:
            file.write(b'{"eve')
    (run,) = read_runs(tmp_path)
    assert (run.name, run.steps, run.ended, run.test, run.about) == (str(tmp_path), last, ended, {}, about)
    assert run.rounds == rounds_as_columns([round_of(step) for step in range(3, last + 1, 3)])


def test_the_finished_log_goes_before_the_events(log, play, tmp_path):
    play(JsonLines(tmp_path / "log.jsonl"))
    write_log(tmp_path / "log.json", log)
    assert len(read_runs(tmp_path)) == 2
    assert len(read_runs(tmp_path / "log.jsonl")) == 1


def test_the_best_round_is_that_of_the_lowest_validation_loss(log):
    def best(*losses: float) -> dict[str, float]:
        rounds = [Round(step, 1.0, 0.1, {"loss": loss, "r2": -loss}) for step, loss in enumerate(losses, start=1)]
        run: Run = dataclasses.replace(log.runs[0], rounds=rounds_as_columns(rounds))
        return runs_of(dataclasses.replace(log, runs=(run,)), "a")[0].best

    nan = float("nan")
    assert best(3.0, nan, 1.0, 2.0) == {"step": 3, "loss": 1.0, "r2": -1.0}
    assert best(nan) == {}
    assert best() == {}


def test_what_is_no_run_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "none", tmp_path / "log.jsonl"):
        with pytest.raises(FileNotFoundError, match=r"holds no log\.json or log\.jsonl: name the folder of a run"):
            read_runs(path)
    (tmp_path / "log.jsonl").write_bytes(b'{"event":"sta')
    with pytest.raises(ValueError, match="holds no whole line: its run was killed before it began"):
        read_runs(tmp_path)
    with pytest.raises(ContractError, match="path"):
        read_runs(3)  # pyright: ignore[reportArgumentType]
