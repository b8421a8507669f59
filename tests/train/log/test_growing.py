"""Files that grow a line at a time."""

import os

import pytest

from matrinox.train.log.growing import GrowingFile, whole_lines


def test_each_line_is_in_the_file_before_the_next(tmp_path):
    file = GrowingFile(tmp_path / "new" / "lines")
    file.begin([b"one", b"two"])
    for number, line in enumerate((b"three", b"four"), start=3):
        file.add(line, lasting=number == 4)
        assert whole_lines(tmp_path / "new" / "lines") == ([b"one", b"two", b"three", b"four"][:number], b"")
    file.close()


def test_what_a_killed_process_had_begun_is_told_apart(tmp_path):
    (tmp_path / "lines").write_bytes(b"one\ntwo\nthr")
    assert whole_lines(tmp_path / "lines") == ([b"one", b"two"], b"thr")
    (tmp_path / "lines").write_bytes(b"")
    assert whole_lines(tmp_path / "lines") == ([], b"")


def test_to_begin_replaces_what_the_file_held_and_leaves_no_other(tmp_path):
    (tmp_path / "lines").write_bytes(b"old\n")
    file = GrowingFile(tmp_path / "lines")
    file.begin([b"new"])
    file.begin([b"newer"])
    file.close()
    assert [path.name for path in tmp_path.iterdir()] == ["lines"]
    assert (tmp_path / "lines").read_bytes() == b"newer\n"


def test_a_full_disk_is_one_clear_error_and_keeps_the_lines_before(disk_with_room_for, tmp_path):
    path = tmp_path / "lines"
    file = GrowingFile(path)
    file.begin([b"one"])
    with disk_with_room_for(7), pytest.raises(OSError, match=r"lines before are kept: make room and resume.*lines'"):
        file.add(b"two is longer")
    assert path.read_bytes() == b"one\n"
    file.add(b"two")
    file.close()
    assert path.read_bytes() == b"one\ntwo\n"


def test_a_full_disk_at_the_beginning_leaves_the_file_as_it_was(disk_with_room_for, tmp_path):
    (tmp_path / "lines").write_bytes(b"old\n")
    with disk_with_room_for(3), pytest.raises(OSError, match=os.strerror(27)):
        GrowingFile(tmp_path / "lines").begin([b"new and longer"])
    assert (tmp_path / "lines").read_bytes() == b"old\n"


def test_nothing_is_added_to_what_was_not_begun(tmp_path):
    with pytest.raises(RuntimeError, match="was not begun: `fit` tells the start of a run first"):
        GrowingFile(tmp_path / "lines").add(b"one")
