"""One-file models: `save` writes a model and what rebuilds it, `load` gives it back, `read_header` says what it is."""

import contextlib
import dataclasses
import hashlib
import os
import stat
import typing
from collections.abc import Callable, Iterator, Mapping
from typing import Any, BinaryIO

import equinox as eqx
import jax.tree_util as jtu
import safetensors
from jaxtyping import PyTree

from matrinox.contract import contract
from matrinox.contract.nearest import guess
from matrinox.io.atomic import write_atomically
from matrinox.io.config import decode_config, encode_config
from matrinox.io.errors import ModelFileError, show
from matrinox.io.header import LENGTH_BYTES, Header, encode_header, header_length, library_versions, parse_header
from matrinox.io.leaves import (
    Leaf,
    bytes_of,
    check_storable,
    is_numpy,
    is_truncated,
    leaf_of,
    named_leaves,
    rows,
    value_of,
    with_leaves,
)
from matrinox.io.rebuild import same, skeleton, structural_differences
from matrinox.nn.lazy import Lazy
from matrinox.paths import show as show_path

Path = str | os.PathLike[str]
Builders = type[eqx.Module] | Mapping[str, type[eqx.Module]]

_PLAIN = "save with plain=True, and load with like= and a model of the same shape"
_MOST_ROWS = 50
# An integer of a config (a seed, a length) may be as large as this even where the arrays are tiny.
_LARGEST = 2**16


@contract
def save(
    path: Path, model: PyTree, *, config: Any = None, plain: bool = False, notes: Mapping[str, str] | None = None
) -> None:
    """Writes a model to one file, atomically: file = header(architecture, config, leaves, SHA-256) + arrays.

    A model whose class is built as `Cls(config, *, key)` and keeps a static `config`, a frozen dataclass, is saved with
    its name and config, after a check that they rebuild its every path, shape, dtype and static field; so is a pair of
    such a model and its `eqx.nn.State`, as `eqx.nn.make_with_state` gives it. Any other tree is saved plainly and loads
    with `like=`.

    **Arguments:** `path`: where to write; `model`: any pytree of arrays of any shape (JAX or NumPy), keys, numbers and
    functions, of which functions and strings are left to whoever rebuilds it; `config`: the config that rebuilds the
    model, if no longer its own; `plain`: save the tree alone; `notes`: the writer's own words, text by name, which
    `read_header` gives back.
    **Raises:** `ModelFileError` if the config does not rebuild the model (it says why, leaf by leaf, and what to do),
    if a leaf cannot be stored, or if the file cannot be written; an existing file is then as it was. `ValueError` for
    a config with `plain=True`. `ContractError` for wrong types.
    """
    if plain and config is not None:
        raise ValueError("`save` writes no `config` with plain=True: pass either")

    def described(leaves: dict[str, Leaf]) -> tuple[str | None, dict[str, Any] | None, bool]:
        main, stateful = _main_part(model)
        if plain or (config is None and _config_class(type(main)) is None):
            return None, None, False
        return type(main).__name__, _config_that_rebuilds(model, config, leaves), stateful

    write_tree(path, model, described, notes)


@contract
def load(path: Path, builders: Builders | None = None, *, like: PyTree = None) -> Any:
    """The model that `save` wrote. Everything is checked before anything is built, and no code comes from the file.

    **Arguments:** `path`: the file; `builders`: the architecture's class, or a table of classes by name from which the
    file's is taken; `like`: instead, a tree of arrays (or `jax.ShapeDtypeStruct`) of the same paths and shapes, which
    lends the result its structure, functions and strings.
    **Returns:** the model with every array (any shape) and number as saved, or `(model, state)` if that was saved.
    **Raises:** `ModelFileError` if the file is damaged, names an unknown architecture or a config outside its bounds,
    or if its leaves are not the model's: it lists them. `ValueError` unless exactly one of `builders`, `like` is given.
    """
    if (builders is None) == (like is None):
        raise ValueError(
            "`load` takes either `builders` (a class, or classes by name) or `like` (a skeleton): pass exactly one"
        )
    return read_tree(path, lambda header: like if builders is None else _rebuilt(header, builders))


@contract
def read_header(path: Path) -> Header:
    """What a model file says it holds: architecture, config, leaves (shape, dtype), versions, notes; no array is read.

    **Arguments:** `path`: the file.
    **Returns:** the `Header`; its config is not yet validated against a class, and the arrays are not yet checked.
    **Raises:** `ModelFileError` if it is no model file or its header is damaged.
    """
    with one_error(f"cannot read {os.fspath(path)!r}"), _open(path) as file:
        return _read_header(file)[1]


def write_tree(
    path: Path,
    tree: PyTree,
    described: Callable[[dict[str, Leaf]], tuple[str | None, dict[str, Any] | None, bool]],
    notes: Mapping[str, str] | None = None,
) -> None:
    """Writes any tree as a file of the format, atomically.

    **Arguments:** `described`: gives architecture, config and whether a State is there, for the leaves by path.
    **Raises:** `ModelFileError` as `save`.
    """
    with one_error(f"cannot save {os.fspath(path)!r}"):
        _refuse_lazy(tree)
        leaves = {name: (leaf, value) for name, value in named_leaves(tree) if (leaf := leaf_of(name, value))}
        for leaf, value in leaves.values():
            check_storable(leaf, value)
        found = {name: leaf for name, (leaf, _) in leaves.items()}
        architecture, config, stateful = described(found)
        header = Header(
            architecture, config, tuple(found.values()), "", stateful, library_versions(), dict(notes or {})
        )
        parts = [bytes_of(*leaves[leaf.path]) for leaf in header.arrays]
        digest = hashlib.sha256()
        for part in parts:
            digest.update(part)
        text = encode_header(dataclasses.replace(header, data_sha256=digest.hexdigest()))
        parse_header(text)
        write_atomically(path, [text, *parts])


def read_tree(path: Path, skeleton: Callable[[Header], PyTree]) -> Any:
    """A tree from a file of the format, everything checked before an array is made.

    **Arguments:** `skeleton`: gives, from the header, what `like` is to `load`.
    **Raises:** `ModelFileError` as `load`.
    """
    with one_error(f"cannot load {os.fspath(path)!r}"), _open(path) as file:
        whole, header = _read_header(file)
        tree = skeleton(header)
        named = dict(named_leaves(tree))
        leaves = {leaf.path: leaf for leaf in header.leaves}
        _check_leaves(header, leaves, named)
        data = _read_data(file, whole, header)
        values = {name: value_of(leaf, data.get(name), named[name]) for name, leaf in leaves.items()}
        return with_leaves(tree, lambda name, leaf: values.get(name, leaf))


@contextlib.contextmanager
def one_error(what: str) -> Iterator[None]:
    """Whatever goes wrong becomes one `ModelFileError` that starts with what was being done."""
    try:
        yield
    except ModelFileError as error:
        raise ModelFileError(f"{what}: {error}") from error.__cause__
    except OSError as error:
        raise ModelFileError(f"{what}: {error.strerror or error}") from error
    except (MemoryError, RecursionError) as error:
        raise ModelFileError(f"{what}: it needs more memory than there is ({type(error).__name__})") from error


def _refuse_lazy(model: PyTree) -> None:
    nodes, _ = jtu.tree_flatten_with_path(model, is_leaf=lambda node: isinstance(node, Lazy))
    for path, node in nodes:
        if isinstance(node, Lazy):
            raise ModelFileError(
                f"`{show_path(path)}` is a Lazy, which has no weights yet: save what nn.materialize makes of the model"
            )


def _main_part(model: PyTree) -> tuple[Any, bool]:
    """The architecture within `model`, which is itself or the first of a pair with its State."""
    pair = type(model) is tuple and len(model) == 2 and isinstance(model[1], eqx.nn.State)
    return (model[0], True) if pair else (model, False)


def _config_class(cls: type) -> type | None:
    """The dataclass that an architecture's static field `config` is annotated with."""
    if not (issubclass(cls, eqx.Module) and dataclasses.is_dataclass(cls)):
        return None
    for field in dataclasses.fields(cls):
        if field.name == "config" and field.metadata.get("static", False):
            kind = typing.get_type_hints(cls)["config"] if isinstance(field.type, str) else field.type
            return kind if isinstance(kind, type) and dataclasses.is_dataclass(kind) else None
    return None


def _config_that_rebuilds(model: PyTree, config: Any, leaves: dict[str, Leaf]) -> dict[str, Any]:
    """The config as plain data, once it is certain that it gives this model back; else the reason and the remedy."""
    main, stateful = _main_part(model)
    cls = type(main)
    kind = _config_class(cls)
    if kind is None:
        raise ModelFileError(
            f"`config` was given, but {cls.__name__} has no static field `config`: add it, or {_PLAIN}"
        )
    given = main.config if config is None else config
    if type(given) is not kind:
        raise ModelFileError(f"`config` is a {type(given).__name__}, and {cls.__name__} takes {kind.__name__}")
    data = encode_config(given)
    if not same(decode_config(kind, data, largest=_largest(leaves)), given):
        raise ModelFileError(
            f"{show(given)} does not survive being written as {show(data)}: let `==` compare its fields"
        )
    rebuilt = skeleton(cls, given, stateful=stateful, leaves=leaves.values())
    due = {name: leaf for name, value in named_leaves(rebuilt) if (leaf := leaf_of(name, value))}
    problems = rows(leaves, due, "in the model", "rebuilt") or structural_differences(
        model, rebuilt, ignore_config=config is not None
    )
    if problems:
        remedy = f"Pass the config= that rebuilds it, or {_PLAIN}."
        if any(map(_is_state_index, jtu.tree_leaves(main, is_leaf=_is_state_index))):
            remedy = "It holds state: build it by eqx.nn.make_with_state and save the pair (model, state). " + remedy
        raise ModelFileError(f"its config does not rebuild this {cls.__name__}:\n{_listed(problems)}\n{remedy}")
    return data


def _is_state_index(part: Any) -> bool:
    return isinstance(part, eqx.nn.StateIndex)


def _rebuilt(header: Header, builders: Builders) -> PyTree:
    name = header.architecture
    if name is None:
        raise ModelFileError("it holds a plain tree without architecture: pass like= and a model of the same shape")
    table = builders if isinstance(builders, Mapping) else {builders.__name__: builders}
    if name not in table:
        known = ", ".join(table) or "none"
        raise ModelFileError(f"it holds the architecture {show(name)}, which is not among {known}{guess(name, table)}")
    kind = _config_class(table[name])
    if kind is None:
        raise ModelFileError(
            f"{name} has no static field `config` annotated with a dataclass, so no file can rebuild it"
        )
    leaves = {leaf.path: leaf for leaf in header.leaves}
    config = decode_config(kind, header.config, largest=_largest(leaves))
    return skeleton(table[name], config, stateful=header.stateful, leaves=header.leaves)


def _largest(leaves: dict[str, Leaf]) -> int:
    return max(
        _LARGEST, len(leaves), sum(leaf.nbytes // leaf.raw.itemsize for leaf in leaves.values() if leaf.is_array)
    )


def _check_leaves(header: Header, leaves: dict[str, Leaf], named: dict[str, Any]) -> None:
    narrowed = [leaf for leaf in leaves.values() if is_truncated(leaf) and not is_numpy(named.get(leaf.path))]
    if narrowed:
        remedy = 'call jax.config.update("jax_enable_x64", True) before loading'
        found = ", ".join(f"`{leaf.path}` {leaf}" for leaf in narrowed[:3])
        raise ModelFileError(f"{len(narrowed)} leaves have 64 bits ({found}) and JAX is in 32-bit mode: {remedy}")
    due = {name: leaf for name, value in named.items() if (leaf := leaf_of(name, value))}
    if problems := rows(leaves, due, "in the file", "in the model"):
        if _holds_a_pair_with(leaves, due):
            raise ModelFileError("it holds a pair of such a model and its State: pass like=(model, state)")
        what = f"a {show(header.architecture)[1:-1]}" if header.architecture else "a plain tree"
        raise ModelFileError(f"the file holds {what} whose leaves are not the model's:\n{_listed(problems)}")


def _holds_a_pair_with(leaves: dict[str, Leaf], due: dict[str, Leaf]) -> bool:
    """Whether the file holds, by its paths, a pair of the model that is due and something else."""
    firsts = {path.removeprefix("[0]").removeprefix(".") for path in leaves if path.startswith("[0]")}
    others = [path for path in leaves if not path.startswith("[0]")]
    return bool(others) and all(path.startswith("[1]") for path in others) and firsts == due.keys()


def _listed(problems: list[str]) -> str:
    more = len(problems) - _MOST_ROWS
    return "\n".join(problems[:_MOST_ROWS] + ([f"  and {more} more"] if more > 0 else []))


def _open(path: Path) -> BinaryIO:
    # before opening, because opening a pipe would wait for a writer
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise ModelFileError("it is a folder or a device, not a file")
    return open(path, "rb")


def _read_header(file: BinaryIO) -> tuple[bytes, Header]:
    prefix = file.read(LENGTH_BYTES)
    whole = prefix + file.read(header_length(prefix))
    header = parse_header(whole)
    size = os.fstat(file.fileno()).st_size
    if size != len(whole) + header.nbytes:
        raise ModelFileError(
            f"the file has {size} bytes and its header describes {len(whole) + header.nbytes}: it is cut or grown"
        )
    return whole, header


def _read_data(file: BinaryIO, whole: bytes, header: Header) -> dict[str, bytearray]:
    data = file.read(header.nbytes + 1)
    if hashlib.sha256(data).hexdigest() != header.data_sha256:
        raise ModelFileError("the arrays are damaged: they do not match their SHA-256")
    try:
        found = dict(safetensors.deserialize(whole + data))
    except safetensors.SafetensorError as error:
        raise ModelFileError(f"safetensors refuses it: {error}") from error
    return {name: view["data"] for name, view in found.items()}
