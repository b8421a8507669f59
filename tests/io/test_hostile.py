"""Files made to harm, correctly signed: each is refused with one error, in 2 s and 500 MB, nothing built or run."""

import copy
import io
import pickle
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

DEEP = 100_000
CPU_SECONDS, MEGABYTES = 2.0, 500.0
Forge = Callable[["Good"], bytes]


class Good:
    """A good file taken apart, its parts to be changed and signed again."""

    def __init__(self, raw: bytes, forge: ModuleType):
        self.raw, self.forge = raw, forge
        table, self.data = forge.taken_apart(raw)
        self.table: dict[str, Any] = copy.deepcopy(table)
        self.metadata: dict[str, Any] = self.table["__metadata__"]

    def leaf(self, path: str = "head") -> dict[str, Any]:
        return next(leaf for leaf in self.metadata["leaves"] if leaf["path"] == path)

    def signed(self, length: int | None = None) -> bytes:
        return self.forge.signed(self.text.encode(), self.data, length)

    @property
    def text(self) -> str:
        return self.forge.text_of(self.table)

    def retold(self, old: str, new: str) -> bytes:
        """The file with a piece of its header's text replaced."""
        assert self.text.count(old) >= 1, (old, self.text)
        return self.forge.signed(self.text.replace(old, new, 1).encode("utf-8", "surrogatepass"), self.data)


def config(**changes: Any) -> Forge:
    def forged(good: Good) -> bytes:
        good.metadata["config"] |= changes
        return good.signed()

    return forged


def metadata(**changes: Any) -> Forge:
    def forged(good: Good) -> bytes:
        good.metadata |= changes
        return good.signed()

    return forged


def raw_metadata(name: str, value: Any) -> Forge:
    return lambda good: metadata(**{name: good.forge.Raw(value)})(good)


def retold(old: str, new: str) -> Forge:
    return lambda good: good.retold(old, new)


def entry(**changes: Any) -> Forge:
    """The table's entry of `head` changed, the list of leaves left alone."""

    def forged(good: Good) -> bytes:
        good.table["head"] |= changes
        return good.signed()

    return forged


def both(shape: Any, path: str = "head", nbytes: int | None = None) -> Forge:
    """Shape and name of `head` changed in the table and in the list of leaves alike."""

    def forged(good: Good) -> bytes:
        good.leaf()["shape"] = shape
        good.leaf()["path"] = path
        head = good.table.pop("head")
        start, end = head["data_offsets"]
        good.data = good.data[: start + nbytes] if nbytes == 0 else good.data
        good.table[path] = {**head, "shape": shape, "data_offsets": [start, end if nbytes is None else start + nbytes]}
        return good.signed()

    return forged


def without_config_field(good: Good) -> bytes:
    del good.metadata["config"]["depth"]
    return good.signed()


def misspelt_config_field(good: Good) -> bytes:
    good.metadata["config"]["dept"] = good.metadata["config"].pop("depth")
    return good.signed()


def leaf_in_the_table_alone(good: Good) -> bytes:
    good.table["extra"] = {"dtype": "U8", "shape": [0], "data_offsets": [len(good.data), len(good.data)]}
    return good.signed()


def leaf_in_the_list_alone(good: Good) -> bytes:
    good.metadata["leaves"].append({"path": "extra", "kind": "array", "dtype": "uint8", "shape": [0]})
    return good.signed()


def leaf_listed_twice(good: Good) -> bytes:
    good.metadata["leaves"].append(good.leaf())
    return good.signed()


def leaf_missing(good: Good) -> bytes:
    good.metadata["leaves"].remove(good.leaf())
    start, _ = good.table.pop("head")["data_offsets"]
    good.data = good.data[:start]
    return good.signed()


def table_in_another_order(good: Good) -> bytes:
    head = good.table.pop("head")
    good.table = {"__metadata__": good.metadata, "head": head, **{k: v for k, v in good.table.items() if k[0] != "_"}}
    return good.signed()


def as_many_leaves_as_fit(good: Good) -> bytes:
    names = [f"layers[{i}].weight" for i in range(30_000)]
    good.metadata["leaves"] = [{"path": name, "kind": "array", "dtype": "uint8", "shape": [0]} for name in names]
    good.table = {"__metadata__": good.metadata}
    good.table |= {name: {"dtype": "U8", "shape": [0], "data_offsets": [0, 0]} for name in names}
    good.data = b""
    return good.signed()


def list_of(what: str, times: int) -> str:
    return "[" + ",".join([what] * times) + "]"


def harmful_pickle(good: Good) -> bytes:
    class Harm:
        def __reduce__(self) -> tuple[Any, ...]:
            return exec, ("import os; os.system('touch /tmp/harm')",)

    return pickle.dumps(Harm())


def zip_archive(good: Good) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("../../x", b"y" * 1000)
    return file.getvalue()


CASES: dict[str, tuple[Forge, str]] = {
    # sizes that nothing could hold
    "10^12 elements": (both([10**12], nbytes=2 * 10**12), "has 1[0-9]{3} bytes and its header describes 20000000"),
    "10^12 elements that cost nothing": (both([10**12, 0], nbytes=0), "head: in the file bfloat16"),
    "more elements than an index can count": (both([2**62, 4]), "describes no leaf that the format knows"),
    "10^12 elements in the config": (config(p=10**12), r"`config.p` \(=1000000000000\) must be at most 60000"),
    "10^10 elements within the bounds": (config(p=50_000), r"layers\[0\].weight: in the file float32\[2, 2, 2, 2\]"),
    "depth 10^9": (config(depth=10**9), r"`config.depth` \(=1000000000\) must be at most 65536"),
    "depth -10^9": (config(depth=-(10**9)), "`config.depth` .* must be at least 1"),
    "depth 60,000": (config(depth=60_000), "far more work than a model of 7 leaves should"),
    "depth 100": (config(depth=100), "and 146 more$"),
    "depth 10^4000": (retold(r"\"depth\":2", r"\"depth\":1" + "0" * 4000), "must be at most 65536"),
    "depth 10^5000": (retold(r"\"depth\":2", r"\"depth\":1" + "0" * 5000), "`config` is not JSON: Exceeds the limit"),
    # names that would escape from a path, or run something
    "escaping path": (both([2], "../../x"), r"  ../../x: in the file bfloat16\[2\], in the model nothing"),
    "absolute path": (both([2], "/etc/passwd"), "/etc/passwd: in the file bfloat16"),
    "path into a class": (both([2], "__class__.__init__"), "__class__.__init__: in the file"),
    "path to the config": (both([2], "config"), "config: in the file"),
    "path of control characters": (both([2], "\x1b[2J\n"), r"\\x1b\[2J\\n: in the file"),
    "path of a lone surrogate": (both([2], "\ud800"), "head: in the file nothing"),
    "architecture os.system": (metadata(architecture="os.system"), "'os.system', which is not among TinyNet"),
    "architecture __import__": (metadata(architecture="__import__('os')"), "which is not among TinyNet"),
    "architecture by path": (metadata(architecture="../TinyNet"), "not among TinyNet: did you mean 'TinyNet'"),
    "architecture misspelt": (metadata(architecture="TinyNets"), "not among TinyNet: did you mean 'TinyNet'"),
    "architecture of a million letters": (metadata(architecture="x" * 10**6), "which is not among TinyNet$"),
    "architecture null": (metadata(architecture=None), "both an architecture and a config, or neither"),
    "plain tree": (metadata(architecture=None, config=None), "a plain tree without architecture: pass like="),
    "activation eval": (config(activation="eval"), "`config.activation` is 'eval', not one of 'relu', 'tanh'"),
    "activation misspelt": (config(activation="tan"), "did you mean 'tanh'"),
    "kind of leaf": (lambda good: [good.leaf().update(kind="pickle"), good.signed()][1], "describes no leaf"),
    "dtype object": (lambda good: [good.leaf().update(dtype="object"), good.signed()][1], "describes no leaf"),
    "generator of keys": (
        lambda good: [good.leaf().update(kind="key", dtype="key<evil>"), good.signed()][1],
        "describes no leaf",
    ),
    "keys where numbers are": (
        lambda good: [good.leaf().update(kind="key", dtype="key<fry>"), good.signed()][1],
        "not the same in the same order|is due",
    ),
    # configs
    "config field missing": (without_config_field, "`config` lacks the field 'depth' of TinyConfig"),
    "config field misspelt": (misspelt_config_field, "unknown field 'dept': did you mean 'depth'"),
    "config field more": (config(__class__="os"), "unknown field '__class__'"),
    "config depth a float": (config(depth=2.0), r"`config.depth` is 2.0, not an integer"),
    "config depth a bool": (config(depth=True), r"`config.depth` is True, not an integer"),
    "config depth a text": (config(depth="2"), r"`config.depth` is '2', not an integer"),
    "config depth null": (config(depth=None), r"`config.depth` is None, not an integer"),
    "config depth a list": (config(depth=[2]), r"`config.depth` is \[2\], not an integer"),
    "config rate out of bounds": (config(rate=1.5), r"`config.rate` \(=1.5\) must be at most 1.0"),
    "config rate nan": (config(rate="nan"), r"`config.rate` \(=nan\) must be at least 0.0"),
    "config kernel a table": (config(kernel={"0": 1}), "`config.kernel` is {'0': 1}, not a list"),
    "config kernel of texts": (config(kernel=["3"]), r"`config.kernel\[0\]` is '3', not an integer"),
    "config a list": (metadata(config=[1]), r"`config` is \[1\], not what the format has there"),
    "config null": (metadata(config=None), "both an architecture and a config, or neither"),
    "config too long": (config(kernel=[1] * 60_000), "its config takes 12[0-9]+ characters, of at most 65536"),
    "config as long as may be": (config(kernel=[1] * 32_000 + ["1"]), r"`config.kernel\[32000\]` is '1', not an"),
    # JSON
    "duplicate leaf": (lambda good: good.retold('"head":', '"layers[0].weight":'), "key 'layers.0..weight' twice"),
    "duplicate metadata": (retold('"format":"matrinox"', '"format":"matrinox","format":"x"'), "key 'format' twice"),
    "duplicate __metadata__": (
        lambda good: good.forge.signed((good.text[:-1] + ',"__metadata__":{}}').encode(), good.data),
        "key '__metadata__' twice",
    ),
    "duplicate config field": (
        retold(r"\"depth\":2", r"\"depth\":2,\"depth\":3"),
        "`config` holds the key 'depth' twice",
    ),
    "duplicate notes": (raw_metadata("notes", '{"a":"b","a":"c"}'), "`notes` holds the key 'a' twice"),
    "deep header": (
        lambda good: good.forge.signed((good.text[:-1] + ',"x":' + "[" * DEEP + "]" * DEEP + "}").encode(), good.data),
        "the header is nested too deeply",
    ),
    "deep config": (raw_metadata("config", '{"depth":' * 5000 + "2" + "}" * 5000), "`config` is nested too deeply"),
    "config 40 deep": (raw_metadata("config", '{"depth":' * 40 + "2" + "}" * 40), "nested more than 32 deep"),
    "deep leaves": (raw_metadata("leaves", "[" * DEEP + "]" * DEEP), "`leaves` is nested too deeply"),
    "not JSON": (retold("{", "["), "first bytes are damaged"),
    "JSON cut short": (lambda good: good.forge.signed(good.text[:-1].encode(), good.data), "the header is not JSON"),
    "text after the JSON": (
        lambda good: good.forge.signed(good.text.encode() + b" x", good.data),
        "not JSON: Extra data",
    ),
    "NaN": (retold(r"\"rate\":0.25", r"\"rate\":NaN"), "holds the number 'NaN', which is not finite"),
    "Infinity": (retold(r"\"rate\":0.25", r"\"rate\":-Infinity"), "'-Infinity', which is not finite"),
    "1e999": (retold(r"\"rate\":0.25", r"\"rate\":1e999"), "'1e999', which is not finite"),
    "not UTF-8": (
        lambda good: good.forge.signed(good.text.encode().replace(b'"none', b'"\xff\xfe', 1), good.data),
        "the header is not UTF-8: invalid start byte at byte",
    ),
    "surrogate in UTF-8": (
        lambda good: good.forge.signed(good.text.encode().replace(b'"none', b'"\xed\xa0\x80', 1), good.data),
        "the header is not UTF-8",
    ),
    "byte order mark": (lambda good: good.forge.signed(b"\xef\xbb\xbf" + good.text.encode(), good.data), "first bytes"),
    # wrong types, and words out of place
    "metadata a number": (metadata(format_version=1), "its metadata must be a table of strings"),
    "metadata without format": (
        lambda good: [good.metadata.pop("format"), good.signed()][1],
        "its format is None version '1'",
    ),
    "metadata more": (metadata(pickle="gASV"), "the metadata 'pickle' is unknown"),
    "metadata less": (
        lambda good: [good.metadata.pop("versions"), good.signed()][1],
        "the metadata 'versions' is missing",
    ),
    "another format": (metadata(format="pickle"), "its format is 'pickle' version '1'"),
    "a later version": (
        metadata(format_version="2"),
        "version '2' and this version of matrinox reads .* update matrinox",
    ),
    "leaves a table": (metadata(leaves={}), "`leaves` is {}, not what the format has there"),
    "leaves of texts": (metadata(leaves=["head"]), "the entry 'head' describes no leaf"),
    "leaves of null": (metadata(leaves=[None]), "the entry None describes no leaf"),
    "versions a list": (metadata(versions=[]), r"`versions` is \[\], not what the format has there"),
    "notes of numbers": (metadata(notes={"a": 1}), "`notes` must hold strings only"),
    "stateful a text": (metadata(stateful="yes"), "`stateful` is 'yes', not what the format has there"),
    "stateful a number": (metadata(stateful=1), "`stateful` is 1, not what the format has there"),
    "stateful without state": (metadata(stateful=True), r"\[0\].head: in the file nothing, in the model bfloat16"),
    "number where a flag is": (
        lambda good: [good.leaf("inference").update(value=0), good.signed()][1],
        "describes no leaf that the format knows",
    ),
    "flag where a number is": (
        lambda good: [good.leaf("rate").update(kind="bool", value=True), good.signed()][1],
        "rate: in the file a Python bool, in the model a Python float",
    ),
    # the table of arrays
    "entry a list": (lambda good: [good.table.update(head=[]), good.signed()][1], "is entered as .* is due"),
    "overlapping offsets": (entry(data_offsets=[0, 4]), "is entered as .* is due"),
    "offsets with a gap": (entry(data_offsets=[200, 204]), "is entered as .* is due"),
    "offsets beyond the end": (entry(data_offsets=[10**15, 10**15 + 4]), "is entered as .* is due"),
    "negative offsets": (entry(data_offsets=[-4, 0]), "is entered as .* is due"),
    "offsets backwards": (entry(data_offsets=[196, 192]), "is entered as .* is due"),
    "offsets of floats": (entry(data_offsets=[192.0, 196.0]), "is entered as .* is due"),
    "three offsets": (entry(data_offsets=[192, 194, 196]), "is entered as .* is due"),
    "another dtype in the table": (entry(dtype="F16"), "is entered as .* is due"),
    "another shape in the table": (entry(shape=[1, 2]), "is entered as .* is due"),
    "one more word in the table": (entry(code="import os"), "is entered as .* is due"),
    "negative size": (both([-2]), "describes no leaf that the format knows"),
    "two negative sizes": (both([-2, -1]), "describes no leaf that the format knows"),
    "size a bool": (both([True, 2]), "describes no leaf that the format knows"),
    "size a float": (both([2.0]), "describes no leaf that the format knows"),
    "size a text": (both(["2"]), "describes no leaf that the format knows"),
    "shape a number": (both(2), "describes no leaf that the format knows"),
    "shape of 100 axes": (both([1] * 99 + [2]), "describes no leaf that the format knows"),
    "leaf in the table alone": (leaf_in_the_table_alone, "not the same in the same order"),
    "leaf in the list alone": (leaf_in_the_list_alone, "not the same in the same order"),
    "leaf listed twice": (leaf_listed_twice, "the leaf 'head' is listed twice"),
    "leaf missing": (leaf_missing, "head: in the file nothing, in the model bfloat16"),
    "table in another order": (table_in_another_order, "not the same in the same order"),
    "30,000 leaves": (as_many_leaves_as_fit, "and [0-9]+ more$"),
    "2,000,000 empty entries": (raw_metadata("leaves", list_of("{}", 2_000_000)), "has more than 262144 tables"),
    "200,000 empty entries": (raw_metadata("leaves", list_of("{}", 200_000)), "the entry {} describes no leaf"),
    "2,000,000 leaves of zero": (raw_metadata("leaves", list_of("0", 2_000_000)), "the entry 0 describes no leaf"),
    "400,000 notes": (metadata(notes=dict.fromkeys(map(str, range(400_000)), 0)), "`notes` must hold strings only"),
    # lengths and digests
    "header of 2^64 - 1 bytes": (lambda good: good.signed(2**64 - 1), "a header of 18446744073709551615 bytes"),
    "header of 2^63 bytes": (
        lambda good: good.signed(2**63),
        "a header of 9223372036854775808 bytes, of at most 8388608",
    ),
    "header of 100 MB": (lambda good: good.signed(10**8), "a header of 100000000 bytes, of at most 8388608"),
    "header longer than the file": (lambda good: good.signed(10**6), "the file ends inside the header"),
    "header of no bytes": (lambda good: good.signed(0), "not a model file written by matrinox"),
    "header of one byte": (lambda good: good.signed(1), "not a model file written by matrinox"),
    "header that ends in its digest": (lambda good: good.signed(60), "does not match its own SHA-256"),
    "digest in capitals": (
        lambda good: good.raw[:42] + good.raw[42:106].upper() + good.raw[106:],
        "does not match its own SHA-256",
    ),
    "digest of the data wrong": (metadata(data_sha256="0" * 64), "they do not match their SHA-256"),
    "digest of the data empty": (metadata(data_sha256=""), "they do not match their SHA-256"),
    "one byte more": (lambda good: good.raw + b"\0", "it is cut or grown"),
    # other files
    "empty file": (lambda good: b"", "the file ends after 0 bytes"),
    "seven bytes": (lambda good: b"\x01" * 7, "the file ends after 7 bytes"),
    "pickle": (harmful_pickle, "more than the 8388608|not a model file|ends inside the header"),
    "zip": (zip_archive, "more than the 8388608|not a model file|ends inside the header"),
    "plain safetensors": (
        lambda good: safetensors.numpy.save({"head": np.zeros(2)}),
        "not a model file written by matrinox",
    ),
}


@pytest.fixture(scope="module")
def answers(
    tiny_file: Path, forge: ModuleType, run_limited: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, dict[str, Any]]:
    folder = tmp_path_factory.mktemp("hostile")
    jobs = []
    for i, (forged, _) in enumerate(CASES.values()):
        path = folder / f"{i}.safetensors"
        path.write_bytes(forged(Good(tiny_file.read_bytes(), forge)))
        jobs.append({"work": "load", "path": str(path)})
    return dict(zip(CASES, run_limited(jobs), strict=True))


@pytest.mark.parametrize("name", CASES)
def test_a_hostile_file_is_refused_cheaply_with_nothing_built_or_run(answers: Any, name: str) -> None:
    answer = answers[name]
    assert answer["outcome"] == "ModelFileError", answer
    assert re.search(CASES[name][1], answer["message"], re.DOTALL), answer["message"]
    assert len(answer["message"]) < 10_000
    assert answer["message"].replace("\n", "").isprintable()
    assert answer["alarms"] == []
    assert answer["built"] == 0
    assert answer["cpu"] < CPU_SECONDS
    assert answer["megabytes"] < MEGABYTES


def test_the_forger_signs_what_the_package_accepts(
    tiny_file: Path, tiny: ModuleType, forge: ModuleType, tmp_path: Path
) -> None:
    from matrinox.io import load

    path = tmp_path / "model.safetensors"
    path.write_bytes(Good(tiny_file.read_bytes(), forge).signed())
    assert isinstance(load(path, tiny.TinyNet), tiny.TinyNet)


def test_a_file_with_a_hole_of_100_gigabytes_is_not_read(
    tiny_file: Path, forge: ModuleType, run_limited: Any, tmp_path: Path
) -> None:
    path = tmp_path / "hole.safetensors"
    good = Good(tiny_file.read_bytes(), forge)
    both([5 * 10**10], nbytes=10**11)(good)
    raw = good.signed()
    path.write_bytes(raw)
    with path.open("r+b") as file:
        file.truncate(len(raw) - 4 + 10**11)
    (answer,) = run_limited([{"work": "load", "path": str(path)}])
    assert answer["outcome"] == "ModelFileError"
    assert "head: in the file bfloat16[50000000000], in the model bfloat16[2]" in answer["message"]
    assert answer["megabytes"] < MEGABYTES
