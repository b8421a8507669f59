"""Leaves: every kind of leaf comes back bit for bit, as what it was; what no file can hold is refused."""

import hashlib
import math
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import ml_dtypes
import numpy as np
import pytest
import safetensors

from matrinox.io import Leaf, ModelFileError, load, read_header, save

VALUES = np.array([[0.0, -1.5, 2.0], [3.0, 1e-3, -7.0]])
NARROW = (
    *("bool", "int8", "int16", "int32", "uint8", "uint16", "uint32"),
    *("float8_e4m3fn", "float8_e5m2", "float16", "bfloat16", "float32", "complex64"),
)
WIDE = ("int64", "uint64", "float64", "complex128")


def round_trip(path: Path, tree: Any, like: Any = None) -> Any:
    save(path, tree)
    return load(path, like=tree if like is None else like)


def assert_same(a: Any, b: Any) -> None:
    assert type(a) is type(b)
    assert a.dtype == b.dtype
    assert a.shape == b.shape
    assert np.asarray(a).tobytes() == np.asarray(b).tobytes()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.safetensors"


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (2, 3)])
@pytest.mark.parametrize("dtype", NARROW)
def test_an_array_makes_the_round_trip_bit_for_bit(path: Path, dtype: str, shape: tuple[int, ...]) -> None:
    numbers = np.resize(VALUES, shape).astype(jnp.dtype(dtype))
    for array in (numbers, jnp.asarray(numbers)):
        assert_same(round_trip(path, {"w": array})["w"], array)


@pytest.mark.usefixtures("x64")
@pytest.mark.parametrize("dtype", WIDE)
def test_a_64_bit_array_makes_the_round_trip_in_64_bit_mode(path: Path, dtype: str) -> None:
    for array in (jnp.asarray(VALUES.astype(dtype)), jnp.zeros((), dtype), jnp.zeros((0, 2), dtype)):
        assert_same(round_trip(path, [array])[0], array)


@pytest.mark.parametrize("dtype", WIDE)
def test_a_64_bit_numpy_array_needs_no_64_bit_mode(path: Path, dtype: str) -> None:
    array = VALUES.astype(dtype)
    assert_same(round_trip(path, [array])[0], array)


def test_a_64_bit_array_is_not_narrowed_without_a_word(path: Path) -> None:
    with jax.enable_x64(True):
        save(path, {"a": jnp.zeros(2), "b": jnp.zeros(2, "complex128"), "c": jnp.zeros(2, "float32")})
    message = (
        r"2 leaves have 64 bits \(`\['a'\]` float64\[2\], `\['b'\]` complex128\[2\]\) .*\.update\(\"jax_enable_x64"
    )
    with pytest.raises(ModelFileError, match=message):
        load(path, like={"a": jnp.zeros(2), "b": jnp.zeros(2, "complex64"), "c": jnp.zeros(2)})


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0, dtype=np.float32).reshape(3, 4).T,
        np.asfortranarray(np.arange(12, dtype=np.int32).reshape(3, 4)),
        np.arange(12, dtype=np.int16)[::-3],
        np.broadcast_to(np.float32(2), (3, 2)),
        np.arange(4, dtype=np.complex64)[::2],
        np.arange(6).astype(ml_dtypes.bfloat16).reshape(2, 3).T,
        np.frombuffer(bytes(range(13)), np.uint8)[1:].view("<f4"),
    ],
    ids=["transposed", "fortran", "reversed", "broadcast", "strided", "bfloat16", "unaligned"],
)
def test_an_array_laid_out_oddly_makes_the_round_trip(path: Path, array: np.ndarray) -> None:
    assert_same(round_trip(path, [array])[0], np.array(array, order="C"))


def test_big_endian_numbers_are_saved_by_value(path: Path) -> None:
    array = np.array([1.0, 2.0, -3.5], ">f4")
    assert_same(round_trip(path, [array])[0], array.astype("<f4"))


def test_numpy_stays_numpy_and_jax_stays_jax_as_the_model_has_them(path: Path) -> None:
    save(path, [np.ones(2, np.float32), jnp.ones(2), np.float32(3)])
    numpy, scalar, jax_array = np.zeros(2, np.float32), np.float32(0), jnp.zeros(2)
    kinds = [type(x) for x in load(path, like=[numpy, jax_array, scalar])]
    assert kinds == [np.ndarray, type(jnp.ones(2)), np.float32]
    swapped = load(path, like=[jax.ShapeDtypeStruct((2,), "float32"), numpy, jnp.zeros(())])
    assert [isinstance(x, jax.Array) for x in swapped] == [True, False, True]


def test_a_loaded_numpy_array_can_be_written_to(path: Path) -> None:
    loaded = round_trip(path, [np.zeros(2)])[0]
    loaded += 1
    assert loaded.tolist() == [1, 1]


@pytest.mark.parametrize("generator", ["threefry2x32", "rbg", "unsafe_rbg"])
def test_typed_keys_make_the_round_trip(path: Path, generator: str) -> None:
    key = jax.random.key(3, impl=generator)
    tree = {"one": key, "many": jax.random.split(key, 6).reshape(2, 3), "none": jax.random.split(key, 0)}
    loaded = round_trip(path, tree)
    for name in tree:
        assert loaded[name].dtype == tree[name].dtype
        assert_same(jax.random.key_data(loaded[name]), jax.random.key_data(tree[name]))
    assert jax.random.normal(loaded["one"]) == jax.random.normal(key)


def test_a_raw_key_makes_the_round_trip_as_the_numbers_it_is(path: Path) -> None:
    assert_same(round_trip(path, jax.random.PRNGKey(3)), jax.random.PRNGKey(3))


def test_a_typed_key_is_not_loaded_as_a_raw_one_or_from_another_generator(path: Path) -> None:
    save(path, {"key": jax.random.key(0)})
    with pytest.raises(ModelFileError, match=r"in the file key<fry>\[\], in the model uint32\[2\]"):
        load(path, like={"key": jax.random.PRNGKey(0)})
    with pytest.raises(ModelFileError, match=r"in the file key<fry>\[\], in the model key<rbg>\[\]"):
        load(path, like={"key": jax.random.key(0, impl="rbg")})


@pytest.mark.parametrize("number", [True, 7, -(2**4000), 0.1, -0.0, math.inf, -math.inf, 1e-320, 1 + 2j])
def test_a_python_number_is_restored_from_the_file(path: Path, number: Any) -> None:
    loaded = round_trip(path, {"x": number}, like={"x": type(number)()})["x"]
    assert type(loaded) is type(number)
    assert repr(loaded) == repr(number)


def test_a_python_nan_is_restored(path: Path) -> None:
    assert math.isnan(round_trip(path, [math.nan])[0])


def test_a_python_number_of_another_type_is_a_difference(path: Path) -> None:
    save(path, {"x": True, "y": 1.0})
    with pytest.raises(ModelFileError) as caught:
        load(path, like={"x": 1, "y": jnp.zeros(())})
    assert "['x']: in the file a Python bool, in the model a Python int" in str(caught.value)
    assert "['y']: in the file a Python float, in the model float32[]" in str(caught.value)


def test_functions_and_texts_come_from_the_model_at_hand(path: Path) -> None:
    save(path, {"f": jnp.tanh, "s": "saved", "w": jnp.ones(1), "n": None})
    loaded = load(path, like={"f": jnp.sin, "s": "here", "w": jnp.zeros(1), "n": None})
    assert (loaded["f"], loaded["s"], loaded["n"]) == (jnp.sin, "here", None)
    assert loaded["w"] == 1


def test_an_array_that_stands_in_two_places_comes_back_in_both(path: Path) -> None:
    array = jnp.arange(3.0)
    loaded = round_trip(path, {"a": array, "b": [array, array]})
    for found in (loaded["a"], *loaded["b"]):
        assert_same(found, array)


def test_a_shared_layer_stays_shared(path: Path) -> None:
    embedding = eqx.nn.Embedding(3, 2, key=jax.random.key(0))
    head = eqx.nn.Linear(2, 3, key=jax.random.key(1))
    pair = (embedding, head)
    shared = eqx.nn.Shared(pair, where=lambda pair: pair[1].weight, get=lambda pair: pair[0].weight)
    assert [leaf.path for leaf in _header(path, shared)] == ["pytree[0].weight", "pytree[1].bias"]
    embedding_back, head_back = load(path, like=shared)()
    assert embedding_back.weight is head_back.weight


def _header(path: Path, tree: Any) -> tuple[Leaf, ...]:
    save(path, tree)
    return read_header(path).leaves


def test_a_tree_without_leaves_makes_the_round_trip(path: Path) -> None:
    assert round_trip(path, {"a": (), "b": None}) == {"a": (), "b": None}


def test_leaves_are_described_by_path_shape_and_dtype(path: Path) -> None:
    tree = {"layers": [jnp.zeros((2, 3), "bfloat16")], "rate": 0.5, "key": jax.random.key(0)}
    assert _header(path, tree) == (
        Leaf("['key']", "key", "key<fry>", ()),
        Leaf("['layers'][0]", "array", "bfloat16", (2, 3)),
        Leaf("['rate']", "float", value=0.5),
    )


@pytest.mark.parametrize(
    ("leaf", "message"),
    [
        (
            jnp.zeros(2, "int4"),
            r"`\['w'\]` is int4\[2\], which the format does not hold: cast it to a NumPy number type",
        ),
        (np.array(["a"]), r"`\['w'\]` is str32\[1\], which the format does not hold"),
        (np.array([object()]), r"`\['w'\]` is object\[1\], which the format does not hold"),
        (np.zeros(1, [("a", "f4")]), "which the format does not hold"),
        (np.zeros(1, "datetime64[s]"), "which the format does not hold"),
        (jax.ShapeDtypeStruct((2,), "float32"), "is a shape without numbers: save the model itself, not its skeleton"),
        (2**5000, r"`\['w'\]` is an integer of 5001 bits, of at most 4096"),
    ],
)
def test_what_the_format_cannot_hold_is_refused_by_its_path(path: Path, leaf: Any, message: str) -> None:
    with pytest.raises(ModelFileError, match=message):
        save(path, {"w": leaf})
    assert not path.exists()


def test_a_traced_array_is_refused(path: Path) -> None:
    @jax.jit
    def step(x: jax.Array) -> jax.Array:
        save(path, {"w": x})
        return x

    with pytest.raises(ModelFileError, match=r"`\['w'\]` is being traced and has no value yet: save outside jit"):
        step(jnp.zeros(2))


def test_two_leaves_of_one_name_are_refused(path: Path) -> None:
    class Twin:
        def __repr__(self) -> str:
            return "twin"

        def __lt__(self, other: object) -> bool:
            return False

    with pytest.raises(ModelFileError, match=r"two leaves of the tree would share the name `\[twin\]`: rename a field"):
        save(path, {Twin(): jnp.zeros(1), Twin(): jnp.zeros(1)})


def test_bytes_that_are_neither_true_nor_false_are_refused(path: Path, forge: Any) -> None:
    save(path, {"w": jnp.array([True, False])})
    table, _ = forge.taken_apart(path.read_bytes())
    data = b"\x01\x02"
    table["__metadata__"]["data_sha256"] = hashlib.sha256(data).hexdigest()
    path.write_bytes(forge.signed(forge.text_of(table).encode(), data))
    with pytest.raises(ModelFileError, match=r"`\['w'\]` holds bytes that are neither true nor false"):
        load(path, like={"w": jnp.array([True, False])})


def test_safetensors_itself_reads_the_arrays(path: Path) -> None:
    tree = {
        "bytes": np.arange(3, dtype=np.uint8),
        "half": jnp.arange(5, dtype="bfloat16"),
        "single": np.asfortranarray(np.arange(6, dtype=np.float32).reshape(2, 3)),
        "double": np.arange(3.0),
        "complex": np.array([1 + 2j, 3 - 4j]),
    }
    save(path, tree)
    with safetensors.safe_open(path, framework="numpy") as file:
        assert sorted(file.keys()) == sorted(f"['{name}']" for name in tree)
        for name in ("bytes", "half", "single", "double"):
            found = file.get_tensor(f"['{name}']")
            assert found.dtype == tree[name].dtype
            assert np.array_equal(found, tree[name])
        assert file.get_tensor("['complex']").tolist() == [[1, 2], [3, -4]]
        assert file.metadata()["format"] == "matrinox"


def test_every_array_lies_aligned_in_the_file(path: Path, forge: Any) -> None:
    save(path, [np.zeros(3, np.uint8), np.zeros(3, np.float64), np.zeros(3, np.float16), jnp.zeros(3)])
    raw = path.read_bytes()
    table, data = forge.taken_apart(raw)
    sizes = {"U8": 1, "F16": 2, "F32": 4, "F64": 8}
    assert (len(raw) - len(data)) % 8 == 0
    for name, entry in table.items():
        assert name == "__metadata__" or entry["data_offsets"][0] % sizes[entry["dtype"]] == 0
