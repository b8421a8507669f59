"""Every code block of the README does what the page says."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import equinox as eqx
import matnets
import pytest

from matrinox import ContractError, functional, nn

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.M | re.S)
CI_RUNS = (
    'pip install -e ".[data]" && matrinox train cnn-digits',
    'pip install -e ".[test]" && pytest -n auto --maxprocesses 4',
)


def console_lines() -> list[str]:
    lines = [line for language, block in BLOCKS if language == "bash" for line in block.splitlines()]
    return [line.split("#")[0].strip() for line in lines]


def test_every_block_is_of_a_kind_that_is_run_here():
    assert {language for language, _ in BLOCKS} == {"python", "text", "bash"}


def test_python_blocks_run_in_order_print_what_is_shown_and_fail_only_as_shown(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    for (language, code), (kind, shown) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
        if language != "python":
            continue
        if shown.startswith("ContractError: "):
            with pytest.raises(ContractError) as caught:
                exec(code, namespace)
            assert f"ContractError: {caught.value}\n" == shown
            continue
        capsys.readouterr()
        exec(code, namespace)
        if kind == "text":
            assert capsys.readouterr().out == shown


def test_continuous_integration_runs_the_two_commands_as_written():
    script = (ROOT / ".ci" / "run").read_text()
    function = next(line for line in script.splitlines() if line.startswith("readme_command()"))
    program = f"cd {shlex.quote(str(ROOT))}; {function}\nreadme_command data; readme_command test"
    found = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert tuple(found.stdout.splitlines()) == CI_RUNS
    assert set(CI_RUNS) <= set(console_lines())


def test_other_commands_run_on_what_the_first_one_leaves(tmp_path):
    for name in ("cnn-digits", "mlp-digits"):
        entry, left = ROOT / "zoo" / "entries" / name, tmp_path / "runs" / name
        left.mkdir(parents=True)
        shutil.copy(entry / "weights.safetensors", left / "model.safetensors")
        shutil.copy(entry / "log.json", left / "log.json")
    others = [line for line in console_lines() if line and line not in CI_RUNS]
    assert others
    for line in others:
        program, *arguments = shlex.split(line)
        assert program == "matrinox"
        command = [str(Path(sys.executable).parent / program), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def shelf_rows() -> list[tuple[str, str, str]]:
    lines = README.split("## The shelf")[1].split("\n## ")[0].splitlines()
    cells = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in lines if line.startswith("|")]
    return [(layer, function, peers) for layer, function, peers in cells[2:]]


def names(text: str) -> list[str]:
    """`Conv1d/2d` is short for `Conv1d` and `Conv2d`."""
    found = []
    for name in re.findall(r"`([^`]+)`", text):
        first, *others = name.split("/")
        found += [first, *(first[:-2] + other for other in others)]
    return found


def peer_names(peer: str) -> set[str]:
    parts = [part.strip() for _, _, peers in shelf_rows() for part in peers.split(";")]
    return {name for part in parts if peer in part.split("`")[0] for name in names(part)}


def test_the_shelf_holds_every_layer_once():
    assert sorted(name for layer, _, _ in shelf_rows() for name in names(layer)) == sorted(nn.__all__)


def test_the_shelf_holds_every_function_once():
    assert sorted(name for _, function, _ in shelf_rows() for name in names(function)) == sorted(functional.__all__)


def test_the_shelf_has_all_of_matnets():
    rooms = [matnets.activations, matnets.conv, matnets.lax, matnets.nn]
    utilities = {"embed_pixels", "embed_sequence"}
    assert all(hasattr(matnets.utils, name) for name in utilities)
    assert peer_names("MATNETS") == {"dense"} | utilities | {name for room in rooms for name in room.__all__}


def test_the_shelf_names_layers_that_equinox_has():
    found = peer_names("Equinox")
    assert len(found) > 20
    assert [name for name in found if not hasattr(eqx.nn, name)] == []
