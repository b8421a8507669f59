"""`matrinox eval` and `matrinox predict`."""

import dataclasses
import sys

import numpy as np
import pytest

from matrinox import cli, io, zoo
from matrinox.train import LanguageModelling, Regression, read_log
from matrinox.zoo.card import Takes


def test_eval_predict_and_load_work_on_what_train_wrote(trained, tmp_path, monkeypatch, capsys):
    _, folder = trained
    files = folder / "runs" / "mlp-digits"
    accuracy = read_log(files / "log.json").runs[0].test.figures["accuracy"]
    test = zoo.entry("mlp-digits").data.splits(3).test
    np.save(tmp_path / "x.npy", np.asarray(test.inputs, np.float64))

    monkeypatch.chdir(folder)
    assert cli.main(["eval", "runs/mlp-digits/model.safetensors"]) == 0
    out = capsys.readouterr().out
    assert f"{accuracy:.2%}" in out
    assert f"{round(accuracy * 359)} of 359" in out
    assert f"{read_log(files / 'log.json').runs[0].test.figures['loss']:.4f}" in out
    assert "on its card" not in out

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
    images = np.asarray(zoo.entry("cnn-digits").data.splits(0).test.gather(np.arange(6))[0])
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


def test_eval_of_a_name_prints_the_figure_of_its_card(capsys):
    card = zoo.card("cnn-digits")
    for part, figure in (("test", card.weights.test), ("validation", card.weights.validation)):
        assert cli.main(["eval", "cnn-digits", "--part", part]) == 0
        lines = [line.split("│")[1:3] for line in capsys.readouterr().out.splitlines() if line.startswith("│")]
        shown = {name.strip(): value.strip() for name, value in lines}
        assert shown["accuracy"] == f"{figure:.2%}"
        assert shown["on its card"] == f"accuracy {figure:.2%}"


def test_eval_takes_data_of_another_name_and_says_what_is_not_its_own(tmp_path, capsys, refused):
    card, model = zoo.card("cnn-digits"), zoo.load("cnn-digits")
    notes = {"entry": "cnn-digits", "data": "digits", "test_sha256": "of another split", "seed": "0"}
    io.save(tmp_path / "model.safetensors", model, notes=notes)
    status, err = refused("eval", str(tmp_path / "model.safetensors"))
    assert (status, "is not the one kept from" in err, "add --data digits to use it" in err) == (1, True, True)
    assert cli.main(["eval", str(tmp_path / "model.safetensors"), "--data", "digits"]) == 0
    assert f"{card.weights.test:.2%}" in capsys.readouterr().out
    io.save(tmp_path / "model.safetensors", model)
    status, err = refused("eval", str(tmp_path / "model.safetensors"))
    assert (status, "does not say what it was trained on: name a data set with --data" in err) == (2, True)


def test_predict_points_out_what_is_not_scaled_as_in_training(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.full((2, 8, 8, 1), 255.0))
    assert cli.main(["predict", "cnn-digits", "--input", str(tmp_path / "x.npy")]) == 0
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 2
    due = "holds numbers from 255 to 255, and the model was trained on 0 to 1: scale them as in training"
    assert err == f"note: {tmp_path / 'x.npy'} {due}\n"


def test_predict_names_classes_alone(tmp_path, monkeypatch, refused):
    np.save(tmp_path / "x.npy", np.zeros((2, 8, 8, 1)))
    row = zoo.entry("cnn-digits")
    for task in (Regression(), LanguageModelling()):
        other = dataclasses.replace(row, recipe=dataclasses.replace(row.recipe, task=task))
        monkeypatch.setattr(zoo, "CATALOGUE", {"cnn-digits": other})
        status, err = refused("predict", "cnn-digits", "--input", str(tmp_path / "x.npy"))
        assert (status, "cnn-digits is no classifier, which `predict` takes" in err) == (1, True)


def test_predict_takes_tokens_that_the_model_has(tmp_path):
    np.save(tmp_path / "x.npy", np.array([[0, 60], [1, 2]]))
    takes = Takes((2,), "int32", 0, 60)
    read = sys.modules["matrinox.cli.models"]._read_examples
    tokens = read(str(tmp_path / "x.npy"), 1, takes)
    assert (tokens.tolist(), tokens.dtype) == ([[0, 60], [1, 2]], np.int32)
    for wrong in (np.array([[0, 61]]), np.array([[-1, 3]]), np.array([[0.5, 1.0]])):
        np.save(tmp_path / "x.npy", wrong)
        with pytest.raises(ValueError, match=r"x\.npy must hold tokens, whole numbers from 0 to 60"):
            read(str(tmp_path / "x.npy"), 1, takes)
