"""Leaves: a tree as named leaves, each with what a file must say of it, its bytes, and the way back."""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any, Literal

import jax
import jax.numpy as jnp
import jax.tree_util as jtu
import numpy as np
from jaxtyping import PyTree

from matrinox import paths
from matrinox.io.errors import ModelFileError

Kind = Literal["array", "key", "bool", "int", "float", "complex"]
Scalar = bool | int | float | complex
SCALARS: dict[str, type[Scalar]] = {"bool": bool, "int": int, "float": float, "complex": complex}

# What NumPy calls a dtype, and what safetensors does. It has no complex128, which is stored as pairs of float64.
_STORED = {
    "bool": "BOOL",
    "int8": "I8",
    "int16": "I16",
    "int32": "I32",
    "int64": "I64",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float16": "F16",
    "bfloat16": "BF16",
    "float32": "F32",
    "float64": "F64",
    "complex64": "C64",
    "complex128": "F64",
}
# A key's generator is taken from this table and never looked up by a name that the file gives: (implementation, words).
_KEYS = {"key<fry>": ("threefry2x32", 2), "key<rbg>": ("rbg", 4), "key<urbg>": ("unsafe_rbg", 4)}


@dataclass(frozen=True)
class Leaf:
    """What a file says of one leaf: an array or a stack of keys by dtype and shape, a Python number by its value."""

    path: str
    kind: Kind
    dtype: str = ""
    shape: tuple[int, ...] = ()
    value: Scalar | None = None

    @property
    def is_array(self) -> bool:
        return self.kind in ("array", "key")

    @property
    def spec(self) -> tuple[str, str, tuple[int, ...]]:
        """What must agree between file and model; the value of a Python number need not."""
        return self.kind, self.dtype, self.shape

    @property
    def stored(self) -> tuple[str, tuple[int, ...]]:
        """The dtype and shape under which safetensors holds it."""
        if self.kind == "key":
            return "U32", (*self.shape, _KEYS[self.dtype][1])
        return _STORED[self.dtype], (*self.shape, 2) if self.dtype == "complex128" else self.shape

    @property
    def raw(self) -> np.dtype:
        """The dtype of the bytes in the file."""
        return np.dtype("<u4") if self.kind == "key" else np.dtype(self.dtype).newbyteorder("<")

    @property
    def nbytes(self) -> int:
        words = _KEYS[self.dtype][1] if self.kind == "key" else 1
        return prod(self.shape) * words * self.raw.itemsize

    def __str__(self) -> str:
        return f"{self.dtype}[{', '.join(map(str, self.shape))}]" if self.is_array else f"a Python {self.kind}"


def storable(kind: str, dtype: str) -> bool:
    """Whether the format holds arrays (or keys) of this dtype."""
    return dtype in (_KEYS if kind == "key" else _STORED)


def leaf_of(path: str, x: Any) -> Leaf | None:
    """What a file says of `x`, or nothing for what only code can rebuild: a function, a string."""
    if isinstance(x, jax.Array | jax.ShapeDtypeStruct | np.ndarray | np.generic):
        kind: Kind = "key" if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else "array"
        return Leaf(path, kind, str(x.dtype) if kind == "key" else x.dtype.name, tuple(x.shape))
    for name, scalar in SCALARS.items():
        if type(x) is scalar:
            return Leaf(path, name, value=x)  # pyright: ignore[reportArgumentType]
    return None


def named_leaves(tree: PyTree) -> list[tuple[str, Any]]:
    """Every leaf by its path; refuses a tree in which two leaves would answer to one path."""
    named = [(paths.show(path), leaf) for path, leaf in jtu.tree_flatten_with_path(tree)[0]]
    seen: set[str] = set()
    for path, _ in named:
        if path in seen or path == "__metadata__":
            raise ModelFileError(
                f"two leaves of the tree would share the name `{path}`: rename a field or a dictionary key"
            )
        seen.add(path)
    return named


def is_numpy(x: Any) -> bool:
    return isinstance(x, np.ndarray | np.generic)


def is_truncated(leaf: Leaf) -> bool:
    """Whether JAX, in its present mode, would silently narrow this leaf to 32 bits."""
    return leaf.kind == "array" and jax.dtypes.canonicalize_dtype(leaf.dtype) != leaf.dtype


def check_storable(leaf: Leaf, x: Any) -> None:
    """Refuses, by its path, a leaf that no file of the format can hold."""
    if isinstance(x, jax.ShapeDtypeStruct):
        raise ModelFileError(f"`{leaf.path}` is a shape without numbers: save the model itself, not its skeleton")
    if leaf.is_array and not storable(leaf.kind, leaf.dtype):
        remedy = "jax.random.key's own generators" if leaf.kind == "key" else "a NumPy number type, bfloat16 or float8"
        raise ModelFileError(f"`{leaf.path}` is {leaf}, which the format does not hold: cast it to {remedy}")


def bytes_of(leaf: Leaf, x: Any) -> memoryview:
    """The leaf's bytes as the file holds them: C order, little-endian."""
    try:
        values = np.asarray(jax.random.key_data(x) if leaf.kind == "key" else x)
    except jax.errors.TracerArrayConversionError:
        raise ModelFileError(f"`{leaf.path}` is being traced and has no value yet: save outside jit and vmap") from None
    # a transposed or strided array would otherwise give its bytes in the order of memory, without a word
    return np.ascontiguousarray(values, leaf.raw).reshape(-1).view(np.uint8).data


def value_of(leaf: Leaf, data: bytearray | None, model_leaf: Any) -> Any:
    """The leaf that the file holds, in the container (JAX or NumPy) that the model has in its place."""
    if data is None:
        return leaf.value
    values = np.frombuffer(data, leaf.raw)
    if leaf.dtype == "bool" and (values.view(np.uint8) > 1).any():
        raise ModelFileError(f"`{leaf.path}` holds bytes that are neither true nor false")
    if leaf.kind == "key":
        implementation, words = _KEYS[leaf.dtype]
        return jax.random.wrap_key_data(jnp.array(values.reshape(*leaf.shape, words)), impl=implementation)
    values = values.reshape(leaf.shape)
    if isinstance(model_leaf, np.generic):
        return values[()]
    # Nothing else holds these bytes, which `jnp.array` would copy, by a program that it compiles for each shape.
    return values.copy() if is_numpy(model_leaf) else jax.device_put(values)


def with_leaves(tree: PyTree, replacement: Callable[[str, Any], Any]) -> PyTree:
    """The tree with `replacement(path, leaf)` in place of each leaf."""
    return jtu.tree_map_with_path(lambda path, leaf: replacement(paths.show(path), leaf), tree)


def rows(left: dict[str, Leaf], right: dict[str, Leaf], in_left: str, in_right: str) -> list[str]:
    """A line for each leaf that differs: `layers[0].weight: in the file float32[3, 2], in the model float32[3, 4]`."""
    lines = []
    for path in [*left, *(path for path in right if path not in left)]:
        a, b = left.get(path), right.get(path)
        if a is None or b is None or a.spec != b.spec:
            name = path if path.isprintable() else repr(path)[1:-1]
            lines.append(f"  {name[:200]}: {in_left} {a or 'nothing'}, {in_right} {b or 'nothing'}")
    return lines
