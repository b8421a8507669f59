"""`save_adapters`, `load_adapters`: the adapters of a model in a file of their own, which knows the model's weights."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PyTree

from matrinox.contract import contract
from matrinox.io.config import decode_config, encode_config
from matrinox.io.errors import ModelFileError, show
from matrinox.io.files import Path, one_error, read_tree, write_tree
from matrinox.io.fingerprint import fingerprint
from matrinox.io.header import Header
from matrinox.io.leaves import Leaf
from matrinox.nn.adapter import Adapter, adaptable, sides
from matrinox.nn.child import Layer
from matrinox.nn.lora import LoRA

ARCHITECTURE = "LoRA"


@dataclass(frozen=True)
class AdaptersConfig:
    """What a file of adapters says beside the adapters: the `fingerprint` of the model that they were made for."""

    base_sha256: str


@contract
def save_adapters(path: Path, adapted: LoRA, *, notes: Mapping[str, str] | None = None) -> None:
    """Writes the adapters of a model alone to one file, atomically, with the `fingerprint` of the base.

    For each layer that is adapted, by its path, the file has `down`, whose first axis is the rank, `up` and `alpha`. It
    is a model file like any other: `read_header` shows what it holds.

    **Arguments:** `path`: where to write; `adapted`: what `lora` made; `notes`: as for `save`.
    **Raises:** `ModelFileError` if the file cannot be written; an existing file is then as it was.
    """

    def described(leaves: object) -> tuple[str, dict[str, Any], bool]:
        return ARCHITECTURE, encode_config(AdaptersConfig(fingerprint(adapted.model))), False

    tree = {name: _parts(adapter.down, adapter.up, adapter.alpha) for name, adapter in adapted.adapters.items()}
    write_tree(path, tree, described, notes)


@contract
def load_adapters(path: Path, base: Layer, *, any_base: bool = False) -> LoRA:
    """The base with the adapters that `save_adapters` wrote. Everything is checked before anything is built.

    **Arguments:** `path`: the file; `base`: the model that they were made for, with the same weights bit for bit, be it
    loaded or made again; `any_base`: take another model with layers of the same shapes at the same paths, such as the
    base in another dtype, or the merged model to be unmerged.
    **Returns:** `LoRA`.
    **Raises:** `ModelFileError` if the file is damaged or holds no adapters, if the base is not the one that they were
    made for, naming the hashes of both, or if it has no layers for them: it lists what differs. `TypeError` for a base
    that cannot be called.
    """

    def skeleton(header: Header) -> PyTree:
        if header.architecture != ARCHITECTURE:
            found = "a plain tree" if header.architecture is None else f"the architecture {show(header.architecture)}"
            raise ModelFileError(f"it holds {found} and no adapters: load it with matrinox.load")
        config = decode_config(AdaptersConfig, header.config, largest=0)
        if not any_base:
            _require_base(config.base_sha256, fingerprint(base))
        return _skeleton(header, base)

    tree = read_tree(path, skeleton)
    with one_error(f"cannot load {os.fspath(path)!r}"):
        layers = adaptable(base)
        try:
            return LoRA(base, {name: Adapter(**parts, inputs=sides(layers[name])[2]) for name, parts in tree.items()})
        except ValueError as error:
            raise ModelFileError(str(error)) from error


def _parts(down: Any, up: Any, alpha: Any) -> dict[str, Any]:
    return {"down": down, "up": up, "alpha": alpha}


def _require_base(due: str, found: str) -> None:
    if due != found:
        raise ModelFileError(
            f"its adapters were made for a base of the hash {show(due[:12])} and this one has {found[:12]!r}: give the "
            "base that they were made for, with its weights as they were, or pass any_base=True to load them onto "
            "another of the same shapes"
        )


def _skeleton(header: Header, base: Layer) -> PyTree:
    """What the file must hold to fit the base: ranks and dtypes are its own, paths and sizes are not."""
    found = {leaf.path: leaf for leaf in header.leaves}
    due = {}
    for path, layer in adaptable(base).items():
        down, up = (found.get(f"[{path!r}]['{part}']") for part in ("down", "up"))
        if down is None and up is None:
            continue
        outputs, inputs, _ = sides(layer)
        rank = down.shape[0] if down and down.shape else 1
        due[path] = _parts(_due(down, (rank, *inputs)), _due(up, (*outputs, rank)), 1.0)
    return due


def _due(found: Leaf | None, shape: tuple[int, ...]) -> jax.ShapeDtypeStruct:
    floats = found is not None and found.kind == "array" and jnp.issubdtype(found.dtype, jnp.floating)
    return jax.ShapeDtypeStruct(shape, found.dtype if found and floats else "float32")
