"""The command line, run as a user runs it."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from matrinox import cli, io, zoo
from matrinox.data import load_builtin, split
from matrinox.train import read_log


def matrinox(*words: str, cwd=None) -> subprocess.CompletedProcess:
    """A real process: `matrinox …`."""
    return subprocess.run([*PROGRAM, *words], capture_output=True, text=True, cwd=cwd, timeout=300)


PROGRAM = [sys.executable, "-c", "import sys; from matrinox.cli import main; sys.exit(main())"]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A short training run of the command line, in a folder of its own."""
    folder = tmp_path_factory.mktemp("work")
    return matrinox("train", "mlp-digits", "--steps", "38", "--seed", "3", cwd=folder), folder


def refused(capsys, *words: str) -> tuple[int, str]:
    """Exit status and the one line on standard error of a command line that fails."""
    status = cli.main(words)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("matrinox: ")
    assert err.count("\n") == 1
    return status, err


def test_train_writes_a_model_and_a_log_and_says_so(trained):
    done, folder = trained
    assert (done.returncode, done.stderr) == (0, "")
    files = folder / "runs" / "mlp-digits"
    assert {path.name for path in files.iterdir()} == {"model.safetensors", "log.json"}
    run = read_log(files / "log.json").runs[0]
    assert (run.seed, run.steps) == (3, 38)
    for shown in ("parameters", "test accuracy", f"{run.test.accuracy:.2%}", "seconds", f"{run.seconds:.1f}"):
        assert shown in done.stdout
    assert "runs/mlp-digits/model.safetensors" in done.stdout.replace(os.sep, "/")
    assert "step 38/38" in done.stdout
    assert "\x1b" not in done.stdout


def test_train_again_with_the_same_seed_writes_the_same_bytes(trained, tmp_path):
    _, folder = trained
    done = matrinox("train", "mlp-digits", "--steps", "38", "--seed", "3", "--out", str(tmp_path / "again"))
    assert done.returncode == 0
    again = (tmp_path / "again" / "model.safetensors").read_bytes()
    assert again == (folder / "runs" / "mlp-digits" / "model.safetensors").read_bytes()


def test_eval_predict_and_load_work_on_what_train_wrote(trained, tmp_path, capsys):
    _, folder = trained
    files = folder / "runs" / "mlp-digits"
    accuracy = read_log(files / "log.json").runs[0].test.accuracy
    test = split(load_builtin("digits-features")).test
    np.save(tmp_path / "x.npy", np.asarray(test.inputs, np.float64))

    done = matrinox("eval", "runs/mlp-digits/model.safetensors", cwd=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{accuracy:.2%}" in done.stdout
    assert f"{round(accuracy * 359)} of 359" in done.stdout

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


def test_ctrl_c_keeps_the_last_complete_file_and_says_so(tmp_path):
    out = tmp_path / "out"
    # Tests that run in the background may have been started with Ctrl-C ignored, which a process inherits.
    attentive = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);" + PROGRAM[-1]
    command = [*PROGRAM[:-1], attentive, "train", "mlp-digits", "--steps", "1000000", "--out", str(out)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        deadline = time.monotonic() + 240
        while not (out / "model.safetensors").exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        seen, err = process.communicate(timeout=240)
    finally:
        process.kill()
    assert process.returncode == 130
    assert err.count("\n") == 1
    assert "stopping after this round; Ctrl-C again stops at once" in seen
    run = read_log(out / "log.json").runs[0]
    assert run.interrupted
    due = f"of 1000000: {out / 'model.safetensors'} is complete and holds the best so far (step {run.best_step}, "
    assert due in err
    assert io.read_header(out / "model.safetensors").notes["step"] == str(run.best_step)
    assert zoo.load(out / "model.safetensors")(np.zeros((1, 64), np.float32)).shape == (1, 10)


def test_ctrl_c_before_there_is_a_file_says_that_there_is_none(tmp_path):
    program = (
        "import sys, matrinox.zoo.runs as runs\n"
        "def fit(*_, **__): raise KeyboardInterrupt\n"
        "sys.modules['matrinox.zoo.runs'].fit = fit\n"
        f"sys.argv = ['matrinox', 'train', 'mlp-digits', '--out', {str(tmp_path / 'out')!r}]\n"
        "from matrinox.cli import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 130
    assert done.stderr == "matrinox: stopped before the first evaluation: no file was written\n"
    assert list((tmp_path / "out").iterdir()) == []


def test_list_shows_every_model_with_what_its_card_says(capsys):
    assert cli.main(["list"]) == 0
    out = capsys.readouterr().out
    for name in zoo.list_models():
        card = zoo.card(name)
        line = next(line for line in out.splitlines() if name in line)
        for shown in (card.architecture, f"{card.parameters:,}", f"{card.figures.test_accuracy_mean:.2%}"):
            assert shown in line


def test_show_tells_what_the_card_holds(capsys):
    assert cli.main(["show", "cnn-digits"]) == 0
    out = capsys.readouterr().out
    card = zoo.card("cnn-digits")
    for shown in (
        card.summary,
        card.limits,
        card.weights.sha256,
        "over seeds 0, 1, 2, 3, 4",
        "shift 1, Classification, label_smoothing 0.1, AdamW, learning_rate 0.006",
        "by class, 10% validation, 20% test, seed 0",
    ):
        assert shown in out


def test_help_names_every_command_and_how_to_begin(capsys):
    for words in ([], ["--help"]):
        with pytest.raises(SystemExit) as end:
            cli.main(words)
        assert end.value.code in (0, None)
        out = capsys.readouterr().out
        for shown in ("train", "eval", "predict", "list", "show", "matrinox train cnn-digits", "matrinox list"):
            assert shown in out


@pytest.mark.parametrize("command", ["train", "eval", "predict", "list", "show"])
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
            "`name` (='cnn-digit') must be one of cnn-digits, mlp-digits: did you mean 'cnn-digits'?",
        ),
        (["show", "mlp"], "did you mean 'mlp-digits'?"),
        (["eval", "cnn-digts"], "'cnn-digts' must be an entry of the zoo (cnn-digits, mlp-digits) or a file's path"),
        (["train"], "NAME is missing: name one of cnn-digits, mlp-digits"),
        (["predict"], "--input is missing"),
        (["predict", "cnn-digits"], "--input is missing: name the .npy file of the examples"),
        (["train", "cnn-digits", "--sed", "3"], "`matrinox train` does not take '--sed': did you mean '--seed'?"),
        (["train", "cnn-digits", "--seed", "one"], "invalid literal for int() with base 10: 'one'"),
        (["train", "cnn-digits", "--seed"], "Missing value for argument '--seed'"),
        (["train", "cnn-digits", "--seed", "4294967296"], "--seed (=4294967296) must be from 0 to 4294967295"),
        (["train", "cnn-digits", "--seed", "99999999999999999999"], "must be from 0 to 4294967295"),
        (["train", "cnn-digits", "--steps", "-1"], "--steps (=-1) must be at least 1"),
        (["eval", "cnn-digits", "--part", "tets"], "invalid choice 'tets' for argument '--part'"),
        (["list", "everything"], "`matrinox list` does not take 'everything': leave it out"),
        (["--verbose"], "'--verbose' stands before a command: begin with one of train, eval, predict, list, show"),
    ],
)
def test_wrong_usage_is_one_line_and_status_2(words, said, capsys):
    status, err = refused(capsys, *words)
    assert status == 2
    assert said in err


def test_other_errors_are_one_line_and_status_1(tmp_path, monkeypatch, capsys):
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
        ("eval", "text.safetensors"): "cannot load 'text.safetensors'",
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
    }
    for words, said in cases.items():
        status, err = refused(capsys, *words)
        assert status == 1, words
        assert said in err


def test_a_folder_that_cannot_be_made_is_one_line_and_status_1(tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert cli.main(["train", "mlp-digits", "--out", str(tmp_path / "file")]) == 1
    err = capsys.readouterr().err
    assert err.startswith("matrinox: ")
    assert err.count("\n") == 1
    assert str(tmp_path / "file") in err


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_a_complaint_is_the_same_in_every_encoding(encoding):
    done = subprocess.run(
        [*PROGRAM, "train", "cnn-digits", "--seed", "one"],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONIOENCODING": encoding},
        timeout=60,
    )
    assert done.returncode == 2
    assert done.stderr == "matrinox: Error parsing --seed: invalid literal for int() with base 10: 'one'\n"


def test_a_terminal_without_unicode_is_served_too():
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    for words in (["list"], ["show", "cnn-digits"], ["--help"]):
        done = subprocess.run([*PROGRAM, *words], capture_output=True, text=True, env=environment, timeout=60)
        assert (done.returncode, done.stderr) == (0, "")
        assert "cnn-digits" in done.stdout


def test_debug_shows_the_traceback_wherever_it_stands(capsys):
    for words in (["eval", "missing.safetensors", "--debug"], ["--debug", "eval", "missing.safetensors"]):
        assert cli.main(words) == 1
        err = capsys.readouterr().err
        assert "Traceback (most recent call last)" in err
        assert "ModelFileError" in err


def test_debug_as_the_value_of_another_option_is_that_value(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    status, err = refused(capsys, "predict", "cnn-digits", "--input=--debug")
    assert (status, "No such file or directory: '--debug'" in err) == (1, True)


def test_debug_counts_where_the_words_cannot_be_parsed(capsys):
    assert cli.main(["train", "cnn-digits", "--seed", "one", "--debug"]) == 2
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_predict_writes_the_probabilities_to_the_very_path(tmp_path, capsys):
    np.save(tmp_path / "x.npy", np.zeros((2, 64)))
    (tmp_path / "probabilities.txt").write_text("old")
    command = ["predict", "mlp-digits", "--input", str(tmp_path / "x.npy")]
    assert cli.main([*command, "--output", str(tmp_path / "probabilities.txt")]) == 0
    assert np.load(tmp_path / "probabilities.txt").shape == (2, 10)
    assert {path.name for path in tmp_path.iterdir()} == {"x.npy", "probabilities.txt"}
    capsys.readouterr()
    status, err = refused(capsys, *command, "--output", str(tmp_path / "missing" / "y.npy"))
    assert (status, "No such file or directory" in err) == (1, True)


def test_a_reader_that_has_read_enough_ends_predict_quietly(tmp_path):
    np.save(tmp_path / "x.npy", np.zeros((20_000, 64), np.float32))
    command = [*PROGRAM, "predict", "mlp-digits", "--input", str(tmp_path / "x.npy")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline().startswith("0\t")
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 141


@pytest.mark.parametrize("module", ["matrinox", "matrinox.cli"])
def test_the_command_line_is_a_module_too(module):
    done = subprocess.run([sys.executable, "-m", module, "list"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "cnn-digits" in done.stdout
    done = subprocess.run([sys.executable, "-m", module, "trian"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert done.stderr == "matrinox: there is no command 'trian': did you mean 'train'?\n"


def test_a_second_ctrl_c_while_the_file_is_scored_tells_of_the_file(tmp_path):
    program = (
        "import sys, matrinox.zoo.runs\n"
        "def evaluate(*_, **__): raise KeyboardInterrupt\n"
        "sys.modules['matrinox.zoo.runs'].evaluate = evaluate\n"
        f"sys.argv = 'matrinox train mlp-digits --steps 2 --out'.split() + [{str(tmp_path / 'out')!r}]\n"
        "from matrinox.cli import main; sys.exit(main())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    file = tmp_path / "out" / "model.safetensors"
    assert done.returncode == 130
    assert done.stderr == f"matrinox: stopped at the end: {file} is complete, but not scored: there is no log\n"
    assert file.exists()


def test_without_scikit_learn_train_names_the_extra(tmp_path):
    program = (
        "import sys; sys.modules['sklearn'] = None; sys.modules['sklearn.datasets'] = None\n"
        f"from matrinox.cli import main; sys.exit(main(['train', 'cnn-digits', '--out', {str(tmp_path / 'out')!r}]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120)
    assert done.returncode == 1
    assert done.stderr.endswith('which is not installed: pip install "matrinox[data]"\n')
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_cnn_digits_trains_to_its_accuracy(tmp_path):
    """The main command as a stranger runs it, in full."""
    done = matrinox("train", "cnn-digits", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    table = json.loads((tmp_path / "runs" / "cnn-digits" / "log.json").read_text())
    assert table["parameters"] <= 20_000
    assert table["runs"][0]["test"]["accuracy"] >= 0.98
    assert table["runs"][0]["steps"] == table["recipe"]["steps"]
