"""The notebooks run from top to bottom, and what they keep is what they give."""

import os
import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

NOTEBOOKS = sorted((Path(__file__).parent.parent / "notebooks").glob("*.ipynb"))
# What no package brings along.
PUBLISHED = {"04_mnist_matcnn": "mnist.npz"}


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_executes(path, tmp_path, monkeypatch, quick_environment):
    if path.stem in PUBLISHED:
        folder = Path(os.environ.get("MATRINOX_DATA") or Path(__file__).parents[2] / "shared" / "data")
        if not (folder / PUBLISHED[path.stem]).is_file():
            pytest.skip(f"{PUBLISHED[path.stem]} is not here: name its folder in MATRINOX_DATA")
        monkeypatch.setenv("MATRINOX_DATA", str(folder))
    kept, notebook = nbformat.read(path, as_version=4), nbformat.read(path, as_version=4)
    NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(tmp_path)}}).execute()
    for old, new in zip(kept.cells, notebook.cells, strict=True):
        assert printed(new) == printed(old)


def printed(cell) -> str:
    """What a cell printed; measured figures, which another machine rounds differently, are masked."""
    text = "".join(output.get("text", "") for output in cell.get("outputs", []))
    return re.sub(r"\d+\.\d+(e-?\d+)?", "#", text)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebook_keeps_its_outputs_and_nothing_of_the_machine(path):
    notebook = nbformat.read(path, as_version=4)
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in outputs)
    assert [output for output in outputs if output.output_type == "error" or output.get("name") == "stderr"] == []
    text = "\n".join(output.get("text", "") for output in outputs)
    assert not re.search(r"/(home|root|tmp|usr|work)/", text)


def test_there_are_notebooks():
    assert NOTEBOOKS
