"""Rows of a CSV file, with their lines."""

import itertools

import pytest

from matrinox.data.csv_rows import Place, rows_of

TEXT = 'a,b\r\n1,"x, y"\r\n\r\n2,"two\nlines"\n3,"a ""b"""\n4,ä'


def test_rows_have_the_fields_and_the_line_that_they_begin_on(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(TEXT.encode())
    rows = [(row.line, row.fields) for row in rows_of(path, ",")]
    assert rows == [
        (1, ["a", "b"]),
        (2, ["1", "x, y"]),
        (4, ["2", "two\nlines"]),
        (6, ["3", 'a "b"']),
        (7, ["4", "ä"]),
    ]


def test_reading_goes_on_behind_any_row(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    rows = list(rows_of(path, ","))
    assert rows[0].fields[0] == "a"
    for number, row in enumerate(rows):
        assert list(rows_of(path, ",", row.after)) == rows[number + 1 :]
    assert rows[-1].after == Place(len(TEXT.encode()) + 3, 7)


def test_lines_that_are_no_text_and_quotes_left_open_are_named(tmp_path):
    path = tmp_path / "data.csv"
    path.write_bytes(b"a,b\n1,\xff\n")
    with pytest.raises(ValueError, match=r"data\.csv, line 2: it is not UTF-8 \(invalid start byte at byte 3\): save"):
        list(rows_of(path, ","))
    path.write_bytes(b'a,b\n1,2\n3,"4\n5,6\n')
    rows = rows_of(path, ",")
    assert len(list(itertools.islice(rows, 2))) == 2
    with pytest.raises(ValueError, match=r"data\.csv, line 3: it cannot be parted into fields: unexpected end of data"):
        next(rows)


def test_a_file_that_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="missing"):
        next(rows_of(tmp_path / "missing.csv", ","))
