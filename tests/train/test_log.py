"""Logs and progress."""

import dataclasses
import io
import json
import re

import jax
import numpy as np
import pytest
from rich.console import Console

from matrinox.contract import ContractError
from matrinox.train import (
    Evaluation,
    Round,
    Run,
    RunLog,
    Score,
    pack,
    read_log,
    rounds_as_columns,
    show_progress,
    software,
    unpack,
    write_log,
)

ROUNDS = [Round(step, 1 / step, 0.01 / step, 2.0 / step, 1 - 1 / step) for step in (3, 7, 9)]


@pytest.fixture
def log() -> RunLog:
    score = Score.of(Evaluation(0.25, 0.75, np.array([1, 2, 3, 3])))
    run = Run(4, 9, 1.5, False, 7, "ab" * 32, rounds_as_columns(ROUNDS), score, score)
    shared = {"config": {"n": 2}, "recipe": {"steps": 9}, "data": {"name": "blobs"}, "versions": software()}
    return RunLog(name="a", architecture="CNN", parameters=12, runs=(run, dataclasses.replace(run, seed=5)), **shared)


@pytest.mark.parametrize(("largest", "kind"), [(0, "u1"), (255, "u1"), (256, "u2"), (70000, "u4")])
def test_unpack_gives_back_what_pack_took(largest, kind):
    numbers = np.random.RandomState(0).randint(0, largest + 1, 100)
    numbers[0] = largest
    assert pack(numbers).startswith(kind + ":")
    assert unpack(pack(numbers)).tolist() == numbers.tolist()
    assert unpack(pack(jax.numpy.zeros(0, int))).tolist() == []


def test_pack_refuses_what_is_no_row_of_class_numbers():
    with pytest.raises(ValueError, match="`predictions` holds -1, which must be 0 or more"):
        pack(np.array([3, -1]))
    for refused in (np.zeros((2, 2), int), np.zeros(2)):
        with pytest.raises(ContractError):
            pack(refused)


@pytest.mark.parametrize("text", ["", "u1", "f4:AAAA", "u3:AAAA", "u1:?"])
def test_unpack_refuses_what_pack_did_not_write(text):
    with pytest.raises(ValueError, match=r"must be u1|base64"):
        unpack(text)


def test_logs_take_their_own_types_alone(log, tmp_path):
    with pytest.raises(ContractError, match=r"text.*it takes a str"):
        unpack(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match=r"log.*it takes a RunLog"):
        write_log(tmp_path / "log.json", dataclasses.asdict(log))  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match=r"read_log got path"):
        read_log(3)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match=r"steps.*it takes an int"), show_progress(2.5):  # pyright: ignore
        pass
    assert not list(tmp_path.iterdir())


def test_read_log_gives_back_what_write_log_took(log, tmp_path):
    write_log(tmp_path / "log.json", log)
    assert read_log(tmp_path / "log.json") == log


def test_a_log_is_plain_json_with_a_line_for_each_run(log, tmp_path):
    write_log(tmp_path / "log.json", log)
    text = (tmp_path / "log.json").read_text()
    assert [run["seed"] for run in json.loads(text)["runs"]] == [4, 5]
    assert sum('"seed"' in line for line in text.splitlines()) == 2


@pytest.mark.parametrize("text", ['{"runs": []}', '{"name": "a"}', '{"runs": [{"seed": 1}]}'])
def test_read_log_refuses_another_json(text, tmp_path):
    (tmp_path / "log.json").write_text(text)
    with pytest.raises(ValueError, match=r"log\.json' is not the log of a training run"):
        read_log(tmp_path / "log.json")


def test_columns_keep_every_bit_of_a_float32():
    losses = np.random.RandomState(0).normal(size=50).astype(np.float32)
    columns = rounds_as_columns([Round(1, float(loss), 0.0, 0.0, 0.0) for loss in losses])
    assert np.array_equal(np.array(columns["loss"], np.float32), losses)
    assert columns["step"] == [1] * 50


def test_software_names_what_decides_the_digits():
    assert {"matrinox", "jax", "numpy", "python", "machine"} <= set(software())


def progress_of(console: Console, steps: int, rounds: int) -> str:
    with show_progress(steps, console) as show:
        for number in range(1, rounds + 1):
            show(Round(number * steps // rounds, 1.25, 0.003, 0.5, 0.875))
    console.file.seek(0)
    return console.file.read()


def test_away_from_a_terminal_progress_is_about_twenty_plain_lines():
    text = progress_of(Console(file=io.StringIO(), force_terminal=False, width=40), steps=1000, rounds=100)
    lines = text.splitlines()
    assert lines[0] == "compiling …"
    assert len(lines) == 21
    assert lines[1].startswith("step 50/1000  loss 1.250  validation 87.5%  rate 3.0e-03  ")
    assert lines[-1].startswith("step 1000/1000")
    assert all(line.endswith("s left") for line in lines[2:])
    assert "\x1b" not in text


def test_a_run_of_one_round_still_shows_its_last_step():
    text = progress_of(Console(file=io.StringIO(), force_terminal=False), steps=3, rounds=1)
    assert text.splitlines()[-1] == "step 3/3  loss 1.250  validation 87.5%  rate 3.0e-03"


def test_on_a_terminal_of_80_columns_progress_is_a_live_bar():
    text = progress_of(Console(file=io.StringIO(), force_terminal=True, width=80), steps=10000, rounds=10)
    assert "\x1b[" in text
    assert "compiling" in text
    last = re.sub(r"\x1b\[[^a-zA-Z]*[a-zA-Z]", "", text).rstrip().splitlines()[-1]
    assert "step 10000/10000 loss 1.250 validation 87.5% rate 3.0e-03 " in last
    assert last.rstrip().endswith("left")
