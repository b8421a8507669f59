"""The header: canonical, signed, and read back as it was written. Hostile headers are in `test_hostile.py`."""

import dataclasses
import json
import struct
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import pytest

from matrinox.io import Header, Leaf, ModelFileError, read_header, save
from matrinox.io.header import encode_header, library_versions, parse_header

LEAVES = (
    Leaf("encoder.layers[2].weight", "array", "float32", (3, 2, 4, 4)),
    Leaf("encoder['é \"']", "array", "bfloat16", ()),
    Leaf("key", "key", "key<fry>", (2,)),
    Leaf("norm.count", "array", "complex128", (0, 3)),
    Leaf("inference", "bool", value=True),
    Leaf("rate", "float", value=0.1),
)
HEADER = Header("CNN", {"depth": 3, "name": "é"}, LEAVES, "0" * 64, True, {"jax": "1"}, {"task": "digits\n"})


def test_a_header_is_read_back_as_it_was_written() -> None:
    assert parse_header(encode_header(HEADER)) == HEADER


def test_a_header_of_a_plain_tree_is_read_back() -> None:
    plain = dataclasses.replace(HEADER, architecture=None, config=None, stateful=False)
    assert parse_header(encode_header(plain)) == plain


def test_a_header_is_written_the_same_every_time() -> None:
    assert encode_header(HEADER) == encode_header(parse_header(encode_header(HEADER)))


def test_the_arrays_start_at_a_multiple_of_eight_bytes() -> None:
    for words in range(8):
        assert len(encode_header(dataclasses.replace(HEADER, notes={"x": "y" * words}))) % 8 == 0


def test_the_table_gives_offsets_without_gap_widest_dtype_first() -> None:
    raw = encode_header(HEADER)
    table = json.loads(raw[8:])
    assert {name: entry["data_offsets"] for name, entry in table.items() if name != "__metadata__"} == {
        "norm.count": [0, 0],
        "encoder.layers[2].weight": [0, 384],
        "key": [384, 400],
        "encoder['é \"']": [400, 402],
    }
    assert table["norm.count"] == {"dtype": "F64", "shape": [0, 3, 2], "data_offsets": [0, 0]}
    assert table["key"] == {"dtype": "U32", "shape": [2, 2], "data_offsets": [384, 400]}
    assert HEADER.nbytes == 402


def test_any_one_byte_changed_is_noticed() -> None:
    raw = encode_header(HEADER)
    for at in range(len(raw)):
        for new in {0, 32, 48, 65, 97, 255, raw[at] ^ 1, raw[at] ^ 32} - {raw[at]}:
            with pytest.raises(ModelFileError):
                parse_header(raw[:at] + bytes([new]) + raw[at + 1 :])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"notes": {"x": "y" * 9_000_000}}, "the header would take 9[0-9]+ bytes, of at most 8388608: make it smaller"),
        ({"config": {"x": "y" * 70_000}}, "the config would take 700[0-9]+ bytes, of at most 65536: make it smaller"),
    ],
)
def test_a_header_too_long_to_be_read_is_not_written(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        encode_header(dataclasses.replace(HEADER, **changes))


def test_a_length_that_is_not_the_texts_is_refused() -> None:
    raw = encode_header(HEADER)
    with pytest.raises(ModelFileError, match="the file ends inside the header"):
        parse_header(struct.pack("<Q", len(raw)) + raw[8:])


def test_read_header_tells_what_a_file_holds(tiny_file: Path) -> None:
    header = read_header(tiny_file)
    assert header.architecture == "TinyNet"
    assert header.config == {"depth": 2, "p": 2, "n": 2, "activation": "relu", "rate": 0.25, "kernel": []}
    assert [str(leaf) for leaf in header.leaves] == [
        *("float32[2, 2, 2, 2]", "float32[2, 2, 2]") * 2,
        *("bfloat16[2]", "a Python float", "a Python bool"),
    ]
    assert header.versions == library_versions()
    assert header.notes == {"task": "none"}
    assert header.format_version == 1


def test_read_header_reads_no_array(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save(path, {"w": jnp.ones(100)})
    raw = path.read_bytes()
    path.write_bytes(raw[:-1] + b"\0")
    assert read_header(path).leaves[0].shape == (100,)


def test_read_header_refuses_a_damaged_one(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(encode_header(HEADER).replace(b"digits", b"digitS") + bytes(HEADER.nbytes))
    with pytest.raises(ModelFileError, match=r"cannot read '.*': the header is damaged: it does not match its own SHA"):
        read_header(path)
