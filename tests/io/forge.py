"""Model files as an attacker would write them: any header, correctly signed. Shares no code with the package."""

import hashlib
import json
import struct
from dataclasses import dataclass
from typing import Any

TEXTS = {"architecture", "stateful", "config", "leaves", "versions", "notes"}
DIGEST = len(b'{"__metadata__":{"header_sha256":"') + 8


@dataclass(frozen=True)
class Raw:
    """A metadata value that is not JSON text of ours: any JSON value, taken literally."""

    value: Any


def taken_apart(raw: bytes) -> tuple[dict[str, Any], bytes]:
    """The table of a file, its JSON texts opened too, and its data."""
    (length,) = struct.unpack("<Q", raw[:8])
    table = json.loads(raw[8 : 8 + length])
    for name in TEXTS:
        table["__metadata__"][name] = json.loads(table["__metadata__"][name])
    return table, raw[8 + length :]


def signed(text: bytes, data: bytes, length: int | None = None) -> bytes:
    """A file with this header text and data, the header's digest put right where the text has a place for it."""
    raw = bytearray(struct.pack("<Q", len(text) if length is None else length) + text)
    if len(raw) >= DIGEST + 64:
        raw[DIGEST : DIGEST + 64] = b"0" * 64
        raw[DIGEST : DIGEST + 64] = hashlib.sha256(raw).hexdigest().encode()
    return bytes(raw) + data


def text_of(table: dict[str, Any]) -> str:
    """The header text of a table as `taken_apart` gives it; a `Raw` value goes in as it is, quoted no further."""
    metadata = dict(table["__metadata__"])
    for name in TEXTS & set(metadata):
        value = metadata[name]
        metadata[name] = value.value if isinstance(value, Raw) else json.dumps(value, separators=(",", ":"))
    return json.dumps({**table, "__metadata__": metadata}, separators=(",", ":"))
