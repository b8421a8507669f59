"""`matrinox results`."""

import shutil

from matrinox import cli, zoo


def test_results_writes_what_the_logs_give_and_checks_it(tmp_path, capsys, refused):
    entry = tmp_path / "entries" / "cnn-digits"
    entry.mkdir(parents=True)
    shutil.copy(zoo.entry("cnn-digits").folder / "log.json", entry)
    command = ["results", "--folder", str(tmp_path)]
    status, err = refused(*command, "--check")
    assert status == 1
    assert f"results.csv, README.md, entries/cnn-digits/curve.png in {tmp_path} are not what the logs give" in err
    assert not (tmp_path / "README.md").exists()

    assert cli.main(command) == 0
    assert capsys.readouterr().out.splitlines() == [
        f"written: {tmp_path / name}" for name in ("results.csv", "README.md", "entries/cnn-digits/curve.png")
    ]
    text = (tmp_path / "README.md").read_text()
    mean = zoo.card("cnn-digits").metric.spelt(zoo.card("cnn-digits").figures.test_mean)
    assert f"{mean} ± " in text
    assert "not run" in text
    for words in (command, [*command, "--check"]):
        assert cli.main(words) == 0
        assert capsys.readouterr().out == ""
    (tmp_path / "README.md").write_text(text.replace(mean, "99.99%"))
    status, err = refused(*command, "--check")
    assert (status, "README.md in" in err, "results.csv" in err) == (1, True, False)
