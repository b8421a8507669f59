"""The house as built: which way imports run, how long files are, where tests stand, what a wheel holds."""

import ast
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SOURCE = ROOT / "src" / "matrinox"
ZOO = ROOT / "zoo"
# In the order in which imports may run: from a later room to an earlier one.
ROOMS = [
    *("contract", "paths", "rand", "initializers", "params", "functional", "nn", "transforms", "inspect"),
    *("bridge", "io", "data", "train", "zoo", "cli"),
]
SOURCES = sorted([*SOURCE.rglob("*.py"), *ZOO.rglob("*.py")])
TESTS = sorted((ROOT / "tests").rglob("*.py"))


def room_of(file: Path) -> str | None:
    """The room a file belongs to; `None` for the package root and what `python -m matrinox` runs."""
    if file.is_relative_to(ZOO):
        return "zoo"
    first = file.relative_to(SOURCE).parts[0].removesuffix(".py")
    return None if first in ("__init__", "__main__") else first


def imported_modules(file: Path) -> list[str]:
    modules = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import; write it from `matrinox.` on"
            if node.module == "matrinox":
                modules += [f"matrinox.{alias.name}" for alias in node.names]
            else:
                modules.append(node.module or "")
    return [module for module in modules if module.split(".")[0] == "matrinox"]


def test_every_source_file_is_in_a_room():
    assert {room_of(file) for file in SOURCES} - {None} <= set(ROOMS)


@pytest.mark.parametrize("file", SOURCES, ids=lambda file: str(file.relative_to(ROOT)))
def test_imports_run_one_way(file):
    room = room_of(file)
    for module in imported_modules(file):
        parts = module.split(".")
        if room is not None:
            assert len(parts) > 1, f"{file} imports the package root: import the room it needs"
            assert ROOMS.index(parts[1]) <= ROOMS.index(room), f"{file}: {room} may not import {parts[1]}"


def test_no_file_is_over_500_lines():
    long = {file: n for file in [*SOURCES, *TESTS] if (n := len(file.read_text().splitlines())) > 500}
    assert long == {}


def test_no_file_has_a_name_that_says_nothing():
    vague = {"util", "utils", "common", "misc", "helper", "helpers"}
    assert [file for file in [*SOURCES, *TESTS] if file.stem in vague] == []


def test_tests_mirror_the_sources():
    """Every source file of a room has a test file of its name in the folder of the same name."""
    missing = []
    for file in SOURCES:
        if file.name in ("__init__.py", "__main__.py"):
            continue
        folder = Path("zoo") if file.is_relative_to(ZOO) else file.relative_to(SOURCE).parent
        if not list((ROOT / "tests" / folder).glob(f"test_{file.stem}*.py")):
            missing.append(str(file.relative_to(ROOT)))
    assert missing == []


def test_tests_stand_in_folders_of_the_sources():
    folders = {file.parent.relative_to(ROOT / "tests").parts[:1] for file in TESTS if file.name.startswith("test_")}
    assert folders <= {()} | {(room,) for room in ROOMS}


@pytest.fixture(scope="module")
def distributions(tmp_path_factory):
    """A wheel and an sdist, built from a copy of the tree."""
    out = tmp_path_factory.mktemp("dist")
    copy = out / "tree"
    for part in ("src", "zoo"):
        shutil.copytree(ROOT / part, copy / part, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for part in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / part, copy / part)
    command = [sys.executable, "-m", "build", "--outdir", str(out), str(copy)]
    subprocess.run(command, check=True, capture_output=True, timeout=300)
    return out


def shipped_files() -> set[str]:
    kinds = ("*.py", "py.typed", "card.toml", "log.json", "twin-*.json", "weights.safetensors")
    tree = {f"matrinox/{file.relative_to(SOURCE)}" for kind in kinds for file in SOURCE.rglob(kind)}
    return tree | {f"matrinox/zoo/{file.relative_to(ZOO)}" for kind in kinds for file in ZOO.rglob(kind)}


@pytest.mark.slow
def test_the_wheel_holds_the_files_of_the_tree(distributions):
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == shipped_files()
    assert wheel.stat().st_size < 40 * 2**20


@pytest.mark.slow
def test_outside_the_checkout_the_zoo_is_matrinox_zoo_and_nothing_else(distributions, tmp_path):
    (wheel,) = distributions.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    program = (
        "import sys, importlib.util as u; sys.path.insert(0, 'site');"
        "import matrinox.zoo; assert 'site' in matrinox.zoo.__file__; assert u.find_spec('zoo') is None"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=tmp_path, timeout=120)


def test_the_top_level_holds_nothing_but_what_belongs_there():
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False)
    if listed.returncode != 0:
        pytest.skip("this is not a git checkout")
    allowed = {"src", "tests", "zoo", "notebooks", "pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE"}
    top = {name.split("/")[0] for name in listed.stdout.splitlines()}
    assert {name for name in top if not name.startswith(".")} <= allowed
