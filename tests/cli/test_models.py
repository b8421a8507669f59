"""`matrinox eval` and `matrinox predict`."""

import numpy as np
import pytest

from matrinox import cli, zoo
from matrinox.data import load_builtin, split
from matrinox.train import read_log


def test_eval_predict_and_load_work_on_what_train_wrote(trained, tmp_path, monkeypatch, capsys):
    _, folder = trained
    files = folder / "runs" / "mlp-digits"
    accuracy = read_log(files / "log.json").runs[0].test.figures["accuracy"]
    test = split(load_builtin("digits-features")).test
    np.save(tmp_path / "x.npy", np.asarray(test.inputs, np.float64))

    monkeypatch.chdir(folder)
    assert cli.main(["eval", "runs/mlp-digits/model.safetensors"]) == 0
    out = capsys.readouterr().out
    assert f"{accuracy:.2%}" in out
    assert f"{round(accuracy * 359)} of 359" in out
    smoothed = read_log(files / "log.json").runs[0].test.figures["loss"]
    told = float(next(line for line in out.splitlines() if "cross-entropy, unsmoothed" in line).split()[-2])
    assert told < smoothed

    command = ["predict", str(files / "model.safetensors"), "--input", str(tmp_path / "x.npy")]
    assert cli.main([*command, "--output", str(tmp_path / "y.npy")]) == 0
    rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [int(number) for number, _, _ in rows] == list(range(359))
    predicted = np.array([int(label) for _, label, _ in rows])
    assert (predicted == np.asarray(test.targets)).mean() == pytest.approx(accuracy)

    probabilities = np.load(tmp_path / "y.npy")
    assert probabilities.shape == (359, 10)
    assert probabilities.sum(-1) == pytest.approx(np.ones(359), abs=1e-5)
    assert zoo.load(files / "model.safetensors")(test.inputs).argmax(-1).tolist() == predicted.tolist()


def test_predict_takes_one_example_and_any_leading_axes(tmp_path, capsys):
    images = np.asarray(split(load_builtin("digits")).test.inputs[:6])
    for shape in ((8, 8, 1), (1, 8, 8, 1), (2, 3, 8, 8, 1)):
        np.save(tmp_path / "x.npy", images[: int(np.prod(shape[:-3]))].reshape(shape))
        assert cli.main(["predict", "cnn-digits", "--input", str(tmp_path / "x.npy")]) == 0
        assert len(capsys.readouterr().out.splitlines()) == int(np.prod(shape[:-3]))


def test_predict_writes_the_probabilities_to_the_very_path(tmp_path, capsys, refused):
    np.save(tmp_path / "x.npy", np.zeros((2, 64)))
    (tmp_path / "probabilities.txt").write_text("old")
    command = ["predict", "mlp-digits", "--input", str(tmp_path / "x.npy")]
    assert cli.main([*command, "--output", str(tmp_path / "probabilities.txt")]) == 0
    assert np.load(tmp_path / "probabilities.txt").shape == (2, 10)
    assert {path.name for path in tmp_path.iterdir()} == {"x.npy", "probabilities.txt"}
    capsys.readouterr()
    status, err = refused(*command, "--output", str(tmp_path / "missing" / "y.npy"))
    assert (status, "No such file or directory" in err) == (1, True)
