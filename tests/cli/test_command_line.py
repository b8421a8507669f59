"""The command line as a user types it: help, complaints, encodings, pipes."""

import os
import subprocess
import sys

import numpy as np
import pytest

from matrinox import cli, zoo

ENTRIES = ", ".join(zoo.list_models())


def test_help_names_every_command_and_how_to_begin(capsys):
    for words in ([], ["--help"]):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        assert end.value.code in (0, None)
        out = capsys.readouterr().out
        for shown in (
            "train",
            "eval",
            "predict",
            "list",
            "show",
            "plot",
            "compare",
            "results",
            "data",
            "matrinox train cnn-digits",
            "matrinox list",
        ):
            assert shown in out


@pytest.mark.parametrize("command", ["train", "eval", "predict", "list", "show", "plot", "compare", "results", "data"])
def test_help_of_a_command_tells_its_options(command, capsys):
    with pytest.raises(SystemExit):
        cli.main([command, "--help"])
    out = capsys.readouterr().out
    assert f"usage: matrinox {command}" in out
    assert "--debug" in out
    assert "Show a traceback" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian", "cnn-digits"], "there is no command 'trian': did you mean 'train'?"),
        (
            ["train", "cnn-digit"],
            f"`name` (='cnn-digit') must be one of {ENTRIES}: did you mean 'cnn-digits'?",
        ),
        (["show", "mlp-digit"], "did you mean 'mlp-digits'?"),
        (["eval", "cnn-digts"], f"'cnn-digts' must be an entry of the zoo ({ENTRIES}) or a file's path"),
        (["train"], f"NAME is missing: name one of {ENTRIES}"),
        (["predict"], "--input is missing"),
        (["predict", "cnn-digits"], "--input is missing: name the .npy file of the examples"),
        (["train", "cnn-digits", "--sed", "3"], "`matrinox train` does not take '--sed': did you mean '--seed'?"),
        (["train", "cnn-digits", "--seed", "one"], "invalid literal for int() with base 10: 'one'"),
        (["train", "cnn-digits", "--seed"], "Missing value for argument '--seed'"),
        (["train", "cnn-digits", "--seed", "4294967296"], "--seed (=4294967296) must be from 0 to 4294967295"),
        (["train", "cnn-digits", "--seed", "99999999999999999999"], "must be from 0 to 4294967295"),
        (["train", "cnn-digits", "--resume", "--overwrite"], "--resume and --overwrite exclude each other"),
        (["plot"], "RUN is missing: name the folder of a run, such as runs/cnn-digits"),
        (["compare"], "RUN is missing: name two runs or more"),
        (["plot", "runs/one", "--out", "curves.pdf"], "--out (=curves.pdf) must end with .png"),
        (["compare", "a", "b", "--out", "curves"], "--out (=curves) must end with .png"),
        (["train", "cnn-digits", "--steps", "-1"], "--steps (=-1) must be at least 1"),
        (["train", "cnn-digits", "--steps", "0"], "--steps (=0) must be at least 1"),
        (["eval", "cnn-digits", "--part", "tets"], "invalid choice 'tets' for argument '--part'"),
        (
            ["list", "everything"],
            "no model is as asked: leave out a filter, or ask for a part of the name, as '*mnist*'",
        ),
        (
            ["--verbose"],
            "'--verbose' stands before a command: begin with one of train, eval, predict, list, show, plot",
        ),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(words, said, refused):
    status, err = refused(*words)
    assert status == 2
    assert said in err


def test_other_errors_are_one_line_and_status_1(tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    np.save("integers.npy", np.zeros((2, 8, 8, 1), np.uint8))
    np.save("wrong.npy", np.zeros((2, 9, 8, 1), np.float32))
    np.save("nan.npy", np.full((2, 8, 8, 1), np.nan))
    np.save("large.npy", np.full((2, 8, 8, 1), 1e300))
    np.save("flat.npy", np.zeros((5, 0, 8, 1)))
    np.save("none.npy", np.zeros((0, 8, 8, 1)))
    (tmp_path / "empty.npy").write_bytes(b"")
    np.save("objects.npy", np.array([{}], dtype=object), allow_pickle=True)
    (tmp_path / "text.npy").write_text("no numbers")
    (tmp_path / "text.safetensors").write_text("no model, but long enough for a header's length")
    cases = {
        ("eval", "missing.safetensors"): "No such file",
        ("eval", "text.safetensors"): "cannot read 'text.safetensors'",
        ("eval", "cnn-digits", "--data", "digit"): "did you mean 'digits'?",
        ("predict", "cnn-digits", "--input", "missing.npy"): "No such file or directory: 'missing.npy'",
        ("predict", "cnn-digits", "--input", "text.npy"): "text.npy is no .npy file of numbers",
        ("predict", "cnn-digits", "--input", "objects.npy"): "objects.npy is no .npy file of numbers",
        ("predict", "cnn-digits", "--input", "integers.npy"): "integers.npy holds uint8: scale it as in training",
        ("predict", "cnn-digits", "--input", "nan.npy"): "nan.npy holds nan or infinity",
        ("predict", "cnn-digits", "--input", "large.npy"): "large.npy holds nan or infinity, or numbers too large",
        ("predict", "cnn-digits", "--input", "flat.npy"): "axis -3 is 0, height is 8",
        ("predict", "cnn-digits", "--input", "none.npy"): "has 0 examples",
        ("predict", "cnn-digits", "--input", "empty.npy"): "empty.npy is no .npy file of numbers",
        ("predict", "cnn-digits", "--input", "wrong.npy"): "axis -3 is 9, height is 8",
        ("plot", "missing"): "'missing' holds no log.json or log.jsonl: name the folder of a run",
        ("compare", "missing", "there"): "'missing' holds no log.json or log.jsonl",
    }
    for words, said in cases.items():
        status, err = refused(*words)
        assert status == 1, words
        assert said in err


def test_debug_shows_the_traceback_wherever_it_stands(capsys):
    for words in (["eval", "missing.safetensors", "--debug"], ["--debug", "eval", "missing.safetensors"]):
        assert cli.main(words) == 1
        err = capsys.readouterr().err
        assert "Traceback (most recent call last)" in err
        assert "ModelFileError" in err


def test_debug_as_the_value_of_another_option_is_that_value(tmp_path, monkeypatch, refused):
    monkeypatch.chdir(tmp_path)
    status, err = refused("predict", "cnn-digits", "--input=--debug")
    assert (status, "No such file or directory: '--debug'" in err) == (1, True)


def test_debug_counts_where_the_words_cannot_be_parsed(capsys):
    assert cli.main(["train", "cnn-digits", "--seed", "one", "--debug"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_a_complaint_is_the_same_in_every_encoding(matrinox, refused):
    words = ("train", "cnn-digits", "--seed", "one")
    done = matrinox(*words, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 2
    assert done.stderr == "matrinox: Error parsing --seed: invalid literal for int() with base 10: 'one'\n"
    assert refused(*words) == (2, done.stderr)


def test_a_terminal_without_unicode_is_served_too():
    program = "from matrinox.cli import main\nfor words in (['list'], ['show', 'cnn-digits'], ['--help']): main(words)"
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    for shown in ("test accuracy", "SHA-256 of the arrays", "usage: matrinox"):
        assert shown in done.stdout
    assert "?" in done.stdout


def test_a_reader_that_has_read_enough_ends_predict_quietly(program, tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((20_000, 64), np.float32))
    command = [*program, "predict", "mlp-digits", "--input", str(tmp_path / "x.npy")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("0\t")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 141


@pytest.mark.parametrize("module", ["matrinox", "matrinox.cli"])
def test_the_command_line_is_a_module_too(module):
    done = subprocess.run([sys.executable, "-m", module, "trian"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "matrinox: there is no command 'trian': did you mean 'train'?\n"


def test_what_only_some_commands_need_is_imported_when_they_run():
    late = ["matplotlib", "tensorboardX", "sklearn", "pooch", "tokenizers"]
    program = f"import sys, matrinox.cli\nprint([name for name in {late} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert done.stdout == "[]\n"
