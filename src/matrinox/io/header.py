"""The header: what a model file says about itself, written so that no flipped byte of it goes unnoticed.

A file is a safetensors file: eight bytes of length, a JSON header, the arrays. The header opens with the SHA-256 of
the length and of itself (its own 64 digits read as zeros), so a flip in the length, the padding, a key, a value or a
digit is seen before anything is parsed. What passes is still parsed strictly: whoever writes a file can also sign it.
"""

import hashlib
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib.metadata import version
from itertools import pairwise
from typing import Any

from matrinox.io.errors import ModelFileError, show
from matrinox.io.leaves import SCALARS, Leaf, storable
from matrinox.io.plain import dump, number_from_json, number_to_json, parse

FORMAT_VERSION = 1
LENGTH_BYTES = 8
MAX_HEADER = 8 * 2**20
_MAX_CONFIG = 2**16
# Python itself refuses to read an integer of more than 4,300 digits.
_MAX_BITS = 4096
_OPENING = b'{"__metadata__":{"header_sha256":"'
_NO_DIGEST = b"0" * 64
_DIGEST = slice(LENGTH_BYTES + len(_OPENING), LENGTH_BYTES + len(_OPENING) + len(_NO_DIGEST))
_ENTRIES = {
    *("header_sha256", "data_sha256", "format", "format_version"),
    *("architecture", "stateful", "config", "leaves", "versions", "notes"),
}


@dataclass(frozen=True)
class Header:
    """What a model file holds, known without reading an array.

    `architecture` is the name of the class, or `None` for a plain tree; `config` the config as plain data, not yet
    validated; `leaves` every leaf in the order of the tree; `stateful` whether a State comes with the model; `versions`
    the libraries that wrote it; `notes` the writer's own words.
    """

    architecture: str | None
    config: Mapping[str, Any] | None
    leaves: tuple[Leaf, ...]
    data_sha256: str
    stateful: bool = False
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: Mapping[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @property
    def arrays(self) -> list[Leaf]:
        """The leaves that have bytes, in the order of the bytes: widest dtype first, so that each lies aligned."""
        return sorted((leaf for leaf in self.leaves if leaf.is_array), key=lambda leaf: -leaf.raw.itemsize)

    @property
    def nbytes(self) -> int:
        """How many bytes of arrays follow the header."""
        return sum(leaf.nbytes for leaf in self.leaves if leaf.is_array)


def library_versions() -> dict[str, str]:
    """The versions of the libraries that decide what a file means."""
    return {name: version(name) for name in ("matrinox", "jax", "equinox", "numpy", "safetensors")}


def encode_header(header: Header) -> bytes:
    """The length and the header as they stand in the file."""
    metadata = {
        "header_sha256": _NO_DIGEST.decode(),
        "data_sha256": header.data_sha256,
        "format": "matrinox",
        "format_version": str(header.format_version),
        "architecture": dump(header.architecture),
        "stateful": dump(header.stateful),
        "config": dump(header.config),
        "leaves": dump([_leaf_to_json(leaf) for leaf in header.leaves]),
        "versions": dump(dict(header.versions)),
        "notes": dump(dict(header.notes)),
    }
    table: dict[str, Any] = {"__metadata__": metadata}
    at = 0
    for leaf in header.arrays:
        dtype, shape = leaf.stored
        table[leaf.path] = {"dtype": dtype, "shape": shape, "data_offsets": [at, at := at + leaf.nbytes]}
    text = dump(table).encode()
    text += b" " * (-len(text) % 8)
    for what, size, most in (("header", len(text), MAX_HEADER), ("config", len(metadata["config"]), _MAX_CONFIG)):
        if size > most:
            raise ModelFileError(f"the {what} would take {size} bytes, of at most {most}: make it smaller")
    whole = bytearray(struct.pack("<Q", len(text)) + text)
    whole[_DIGEST] = _digest(whole)
    return bytes(whole)


def header_length(prefix: bytes) -> int:
    """How many bytes of header follow the eight bytes of length."""
    if len(prefix) < LENGTH_BYTES:
        raise ModelFileError(f"the file ends after {len(prefix)} bytes, inside the header's length")
    (length,) = struct.unpack("<Q", prefix)
    if length > MAX_HEADER:
        raise ModelFileError(
            f"it is not a model file: its first {LENGTH_BYTES} bytes announce a header of {length} bytes, "
            f"of at most {MAX_HEADER}"
        )
    return length


def parse_header(whole: bytes) -> Header:
    """The header from its length and text, or a `ModelFileError` for anything but what `encode_header` writes."""
    text = whole[LENGTH_BYTES:]
    if len(text) != header_length(whole[:LENGTH_BYTES]):
        raise ModelFileError(f"the file ends inside the header, after {len(whole)} bytes")
    if not text.startswith(_OPENING):
        raise ModelFileError("it is not a model file written by matrinox, or its first bytes are damaged")
    if whole[_DIGEST] != _digest(whole):
        raise ModelFileError("the header is damaged: it does not match its own SHA-256")
    try:
        table = parse(text.decode(), dict, "the header")
    except UnicodeDecodeError as error:
        raise ModelFileError(f"the header is not UTF-8: {error.reason} at byte {error.start}") from None
    metadata = table.pop("__metadata__")
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ModelFileError("its metadata must be a table of strings")
    found = metadata.get("format"), metadata.get("format_version")
    if found != ("matrinox", str(FORMAT_VERSION)):
        due = f"this version of matrinox reads 'matrinox' version {FORMAT_VERSION}: update matrinox"
        raise ModelFileError(f"its format is {show(found[0])} version {show(found[1])} and {due}")
    if set(metadata) != _ENTRIES:
        odd = min(set(metadata) ^ _ENTRIES)
        raise ModelFileError(f"the metadata {show(odd)} is {'unknown' if odd in metadata else 'missing'}")
    if len(metadata["config"]) > _MAX_CONFIG:
        raise ModelFileError(f"its config takes {len(metadata['config'])} characters, of at most {_MAX_CONFIG}")
    header = Header(
        architecture=parse(metadata["architecture"], str | None, "`architecture`"),
        config=parse(metadata["config"], dict | None, "`config`"),
        leaves=tuple(_leaf_from_json(entry) for entry in parse(metadata["leaves"], list, "`leaves`")),
        data_sha256=metadata["data_sha256"],
        stateful=parse(metadata["stateful"], bool, "`stateful`"),
        versions=_strings(metadata["versions"], "`versions`"),
        notes=_strings(metadata["notes"], "`notes`"),
    )
    if (header.architecture is None) != (header.config is None):
        raise ModelFileError("it must name both an architecture and a config, or neither")
    _check_table(header, table)
    return header


def _digest(whole: bytes | bytearray) -> bytes:
    """The hexadecimal SHA-256 of length and header, the digest's own digits read as zeros."""
    digest = hashlib.sha256(whole[: _DIGEST.start])
    digest.update(_NO_DIGEST)
    digest.update(whole[_DIGEST.stop :])
    return digest.hexdigest().encode()


def _check_table(header: Header, table: dict[str, Any]) -> None:
    """The table that safetensors reads must say exactly what our list of leaves says, byte after byte with no gap."""
    paths = [leaf.path for leaf in header.leaves]
    repeated = next((a for a, b in pairwise(sorted(paths)) if a == b), None)
    if repeated is not None:
        raise ModelFileError(f"the leaf {show(repeated)} is listed twice")
    arrays = header.arrays
    if list(table) != [leaf.path for leaf in arrays]:
        raise ModelFileError(
            f"its table holds {len(table)} arrays and its list of leaves {len(arrays)}, not the same in the same order"
        )
    at = 0
    for leaf in arrays:
        dtype, shape = leaf.stored
        due = {"dtype": dtype, "shape": list(shape), "data_offsets": [at, at := at + leaf.nbytes]}
        # compared as text because True == 1 and 2.0 == 2
        if repr(table[leaf.path]) != repr(due):
            raise ModelFileError(
                f"the leaf {show(leaf.path)} is entered as {show(table[leaf.path])} where {show(due)} is due"
            )


def _leaf_to_json(leaf: Leaf) -> dict[str, Any]:
    if leaf.is_array:
        return {"path": leaf.path, "kind": leaf.kind, "dtype": leaf.dtype, "shape": leaf.shape}
    if isinstance(leaf.value, int) and leaf.value.bit_length() > _MAX_BITS:
        raise ModelFileError(f"`{leaf.path}` is an integer of {leaf.value.bit_length()} bits, of at most {_MAX_BITS}")
    return {"path": leaf.path, "kind": leaf.kind, "value": number_to_json(leaf.value)}


def _leaf_from_json(entry: Any) -> Leaf:
    keys = set(entry) if isinstance(entry, dict) else set()
    if keys in ({"path", "kind", "dtype", "shape"}, {"path", "kind", "value"}):
        path, kind, dtype, shape = entry["path"], entry["kind"], entry.get("dtype", ""), entry.get("shape", [])
        if all(isinstance(text, str) for text in (path, kind, dtype)):
            number = number_from_json(SCALARS[kind], entry["value"]) if "value" in keys and kind in SCALARS else None
            if number is not None:
                return Leaf(path, kind, value=number)  # pyright: ignore[reportArgumentType]
            if "shape" in keys and kind in ("array", "key") and storable(kind, dtype) and _is_shape(shape):
                return Leaf(path, kind, dtype, tuple(shape))
    raise ModelFileError(f"the entry {show(entry)} describes no leaf that the format knows")


def _is_shape(shape: Any) -> bool:
    return (
        isinstance(shape, list) and len(shape) <= 32 and all(type(axis) is int and 0 <= axis < 2**48 for axis in shape)
    )


def _strings(text: str, what: str) -> Mapping[str, str]:
    table = parse(text, dict, what)
    if not all(isinstance(value, str) for value in table.values()):
        raise ModelFileError(f"{what} must hold strings only")
    return table
