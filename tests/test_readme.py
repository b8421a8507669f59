"""Every code block of the README does what the page says."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from matrinox import ContractError

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, flags=re.M | re.S)
CI_RUNS = ('pip install -e ".[data]" && matrinox train cnn-digits', 'pip install -e ".[test]" && pytest')


def console_lines() -> list[str]:
    lines = [line for language, block in BLOCKS if language == "bash" for line in block.splitlines()]
    return [line.split("#")[0].strip() for line in lines]


def test_every_block_is_of_a_kind_that_is_run_here():
    assert {language for language, _ in BLOCKS} == {"python", "text", "bash"}


def test_python_blocks_run_in_order_and_fail_only_as_shown(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace: dict = {}
    for (language, code), (_, shown) in zip(BLOCKS, [*BLOCKS[1:], ("", "")], strict=True):
        if language != "python":
            continue
        if shown.startswith("ContractError: "):
            with pytest.raises(ContractError) as caught:
                exec(code, namespace)
            assert f"ContractError: {caught.value}\n" == shown
        else:
            exec(code, namespace)


def test_continuous_integration_runs_the_two_commands_as_written():
    script = (ROOT / ".ci" / "run").read_text()
    function = next(line for line in script.splitlines() if line.startswith("readme_command()"))
    program = f"cd {shlex.quote(str(ROOT))}; {function}\nreadme_command data; readme_command test"
    found = subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=True)
    assert tuple(found.stdout.splitlines()) == CI_RUNS
    assert set(CI_RUNS) <= set(console_lines())


def test_other_commands_run_on_what_the_first_one_leaves(tmp_path):
    (tmp_path / "runs" / "cnn-digits").mkdir(parents=True)
    weights = ROOT / "zoo" / "entries" / "cnn-digits" / "weights.safetensors"
    shutil.copy(weights, tmp_path / "runs" / "cnn-digits" / "model.safetensors")
    others = [line for line in console_lines() if line and line not in CI_RUNS]
    assert others
    for line in others:
        program, *arguments = line.split()
        assert program == "matrinox"
        command = [str(Path(sys.executable).parent / program), *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        assert done.stdout.strip()


def test_links_lead_somewhere():
    for target in re.findall(r"\]\(([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
