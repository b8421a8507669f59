import json
import os

import pytest

from matrinox.data.text.tokenizer_file import read_tokenizer_file, write_tokenizer_file
from matrinox.io.errors import ModelFileError

HOLDS = {"alphabet": "ab\ud83d😀", "special": []}


@pytest.fixture
def path(tmp_path):
    write_tokenizer_file(tmp_path / "tokenizer.json", "char", HOLDS)
    return tmp_path / "tokenizer.json"


def test_a_file_gives_back_what_was_written(path):
    assert read_tokenizer_file(path) == ("char", HOLDS)
    assert json.loads(path.read_text())["version"] == 1


def test_every_byte_of_a_file_counts(path):
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ModelFileError):
            read_tokenizer_file(path)


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (lambda whole: whole[:-9], "it is not JSON"),
        (lambda whole: b"", "it is not JSON"),
        (lambda whole: "né".encode(), "bytes that are no ASCII"),
        (lambda whole: b"[1]", "not what the format has there"),
        (lambda whole: b'{"format": "another"}', "it is not the file of a tokenizer"),
        (lambda whole: whole.replace(b'"version":1', b'"version":2'), "its version is 2, and this library reads 1"),
        (lambda whole: whole.replace(b'"kind":"char"', b'"kind":1'), "it must hold format, version, kind"),
        (lambda whole: whole.replace(b'"kind":"char"', b'"kind":"byte"'), "does not match its SHA-256"),
        (lambda whole: whole.replace(b'"ab', b'"ba'), "does not match its SHA-256"),
        (lambda whole: whole.replace(b'{"format', b'{"more":1,"format'), "it is damaged"),
    ],
    ids=["cut", "empty", "bytes", "list", "foreign", "version", "kind", "other kind", "changed", "more"],
)
def test_a_damaged_or_foreign_file_is_refused(path, changed, message):
    path.write_bytes(changed(path.read_bytes()))
    with pytest.raises(ModelFileError, match=message):
        read_tokenizer_file(path)


def test_what_is_no_file_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ModelFileError, match="it is a folder or a device"):
        read_tokenizer_file(tmp_path)
    monkeypatch.setattr("matrinox.data.text.tokenizer_file._LARGEST", 10)
    write_tokenizer_file(tmp_path / "large.json", "char", HOLDS)
    with pytest.raises(ModelFileError, match="more than a tokenizer's 10"):
        read_tokenizer_file(tmp_path / "large.json")


def test_a_write_that_fails_leaves_the_file_before(path, monkeypatch):
    before = path.read_bytes()

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ModelFileError, match=r"cannot save '.*tokenizer.json': No space left on device"):
        write_tokenizer_file(path, "char", {"alphabet": "c", "special": []})
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["tokenizer.json"]
