"""The schema of events, line by line."""

import dataclasses
import json
import math

import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.train import EVENTS, JsonLines, Round, read_events
from matrinox.train.log.events import RoundEvent, StepEvent, event_line, nine_digits


@pytest.fixture
def log(play, tmp_path):
    """The path of a log, and its lines as tables."""
    path = tmp_path / "log.jsonl"
    play(JsonLines(path))
    return path, [json.loads(line) for line in path.read_text().splitlines()]


def test_an_event_reads_back_as_it_was_written(log):
    path, lines = log
    events = read_events(path)
    assert [event_line(event).decode() for event in events] == path.read_text().splitlines()
    assert [event.kind for event in events] == [line["event"] for line in lines]
    assert {type(event) for event in events} == set(EVENTS.values())


def test_events_are_equal_whatever_the_clock_says():
    event = StepEvent(1, 1, 0.5, 0.1, 1.0, seconds=2.0)
    assert event == dataclasses.replace(event, seconds=3.0)
    assert event != dataclasses.replace(event, loss=0.25)


def test_every_field_of_the_schema_is_of_a_kind_that_is_checked():
    for name, kind in EVENTS.items():
        assert kind.kind == name
        assert [each.name for each in dataclasses.fields(kind)][:2] == ["step", "seconds"]


def test_numbers_that_are_not_finite_are_texts_in_the_file_and_numbers_again_behind_it(play, tmp_path):
    path = tmp_path / "log.jsonl"
    hooks = JsonLines(path)
    play(hooks, last=2, ends=False)
    hooks.on_round(None, Round(3, math.inf, 0.1, {"loss": math.nan, "r2": -math.inf}))
    text = path.read_text().splitlines()[-1]
    assert '"loss":"inf"' in text
    assert '"validation":{"loss":"nan","r2":"-inf"}' in text
    seen = read_events(path)[-1]
    assert isinstance(seen, RoundEvent)
    assert math.isnan(seen.validation["loss"])
    assert (seen.loss, seen.validation["r2"]) == (math.inf, -math.inf)


WRONG = {
    "no JSON": (2, b"{'event'", "the line is not JSON"),
    "not text": (2, b"\xff\xfe{}", "codec can't decode"),
    "a list": (2, [1], "the line is"),
    "a key twice": (2, b'{"event": "step", "event": "step"}', "the key 'event' twice"),
    "a bare nan": (2, b'{"event": "step", "step": NaN}', "'NaN', which is not finite"),
    "no event": (2, {"event": ...}, r"`event` \(=None\) must be one of start, step, epoch, round, finish"),
    "a field missing": (2, {"gradient_norm": ...}, "step has no field `gradient_norm`"),
    "a field too many": (2, {"los": 1.0}, "field 'los', which is not among .*: did you mean 'loss'"),
    "a number as text": (2, {"loss": "small"}, r"`step\.loss` \(='small'\) must be a number"),
    "a step that is no integer": (2, {"step": 1.5}, r"`step\.step` \(=1\.5\) must be an integer"),
    "a step that is true": (2, {"step": True}, r"`step\.step` \(=True\) must be an integer"),
    "figures that are no table": (5, {"validation": [1.0]}, r"`round\.validation` \(=\[1\.0\]\) must be a table"),
    "a figure that is no number": (5, {"validation": {"loss": None}}, r"`round\.validation\.loss` \(=None\) must be a"),
    "a step that goes back": (5, {"step": 1}, r"`step` \(=1\) of the round comes behind the step of step 3"),
    "a start of another shape": (2, {"event": "start", "version": 1}, "start has a field 'epoch'"),
    "another version": (1, {"version": 2}, r"`version` \(=2\) must be 1"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_bad_line_is_named_by_its_number(wrong, log):
    path, lines = log
    number, change, said = WRONG[wrong]
    if isinstance(change, dict):
        line = {**lines[number - 1], **change}
        change = {name: value for name, value in line.items() if value is not ...}
    new = change if isinstance(change, bytes) else json.dumps(change).encode()
    all_lines = path.read_bytes().splitlines()
    path.write_bytes(b"\n".join([*all_lines[: number - 1], new, *all_lines[number:], b""]))
    with pytest.raises(ValueError, match=rf"log\.jsonl', line {number}: .*{said}"):
        read_events(path)


def test_the_start_comes_first_and_only_there_and_nothing_behind_the_finish(log):
    path, _ = log
    lines = path.read_bytes().splitlines(keepends=True)
    for changed, number in ((lines[1:], 1), ([*lines[:1], *lines], 2)):
        path.write_bytes(b"".join(changed))
        with pytest.raises(ValueError, match=rf"line {number}: `event` .* must be 'start' in the first line, and only"):
            read_events(path)
    path.write_bytes(b"".join([*lines, lines[-2]]))
    with pytest.raises(ValueError, match=rf"line {len(lines) + 1}: .* comes behind the finish of step 12"):
        read_events(path)


def test_an_unfinished_last_line_is_told_apart_and_left_out_on_request(log):
    path, lines = log
    whole = read_events(path)
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(ValueError, match=rf"line {len(lines)} is unfinished, as a killed process leaves it: resume"):
        read_events(path)
    assert read_events(path, unfinished=True) == whole[:-1]


def test_an_empty_file_is_no_log(tmp_path):
    (tmp_path / "log.jsonl").write_bytes(b"")
    with pytest.raises(ValueError, match=r"log\.jsonl' is empty"):
        read_events(tmp_path / "log.jsonl")
    with pytest.raises(FileNotFoundError):
        read_events(tmp_path / "none.jsonl")
    with pytest.raises(ContractError, match="path"):
        read_events(3)  # pyright: ignore[reportArgumentType]


def test_nine_digits_give_back_every_bit_of_a_float32():
    values = np.random.RandomState(0).normal(size=200).astype(np.float32)
    assert np.array_equal(np.array([nine_digits(float(value)) for value in values], np.float32), values)
    assert nine_digits(7) == 7
