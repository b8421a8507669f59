"""`matrinox data`."""

import sys

from matrinox import cli
from matrinox.data import list_builtin, list_texts


def found(capsys) -> dict[str, str]:
    """Where each data set is, by its name."""
    assert cli.main(["data"]) == 0
    rows = [line.split("│") for line in capsys.readouterr().out.splitlines() if "│" in line]
    return {row[1].strip(): row[2].strip() for row in rows}


def test_data_lists_every_name_with_the_place_where_it_is_found(tmp_path, monkeypatch, capsys):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "mnist.npz").write_bytes(b"")
    (tmp_path / "cache").mkdir()
    (tmp_path / "cache" / "tinyshakespeare.txt").write_text("")
    monkeypatch.setenv("MATRINOX_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MATRINOX_CACHE", str(tmp_path / "cache"))
    rows = found(capsys)
    assert set(rows) == {*list_builtin(), *list_texts()}
    assert rows["iris"] == "in scikit-learn"
    assert rows["mnist"] == str(tmp_path / "data" / "mnist.npz")
    assert rows["tinyshakespeare"] == str(tmp_path / "cache" / "tinyshakespeare.txt")
    assert rows["fashion-mnist"] == "not yet: it is downloaded when it is first used"
    assert rows["mnist1d"] == "not here: put mnist1d.npz into the folder that MATRINOX_DATA names"


def test_without_the_libraries_data_names_the_extra(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv("MATRINOX_DATA", raising=False)
    monkeypatch.setenv("MATRINOX_CACHE", str(tmp_path))
    for library in ("sklearn", "pooch"):
        monkeypatch.setitem(sys.modules, library, None)
    rows = found(capsys)
    assert {rows["iris"], rows["mnist"], rows["tinyshakespeare"]} == {'not yet: pip install "matrinox[data]"'}


def test_a_folder_of_data_that_is_not_there_is_told(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MATRINOX_DATA", str(tmp_path / "gone"))
    assert cli.main(["data"]) == 1
    assert "MATRINOX_DATA" in capsys.readouterr().err
