"""NPY and NPZ files: arrays that are read where they lie in the file (memory-mapped), or as a whole."""

import math
import os
import struct
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from jaxtyping import Integer

from matrinox.contract import AnyArray, contract
from matrinox.contract.nearest import guess
from matrinox.data.examples import DataSet, fingerprint_of_arrays
from matrinox.data.source import Source

PathLike = str | os.PathLike[str]
# The end of what stands before a member of a zip: the lengths of its name and of the extra field behind it.
_LOCAL_HEADER = struct.Struct("<26xHH")


class _ArrayFiles(Source):
    def __init__(self, name: str, inputs: tuple[str, np.ndarray], targets: tuple[str, np.ndarray] | None = None):
        self.name = name
        (where, self._inputs), (due, self._targets) = inputs, targets or ("", None)
        for what, array in ((where, self._inputs), (due, self._targets)):
            if array is not None and array.ndim == 0:
                raise ValueError(f"{what!r} holds one number, and an array `(examples, …)` is due: give one of these.")
        if self._targets is not None and len(self._targets) != len(self._inputs):
            raise ValueError(
                f"{where!r} has {len(self._inputs)} inputs and {due!r} has {len(self._targets)} targets, which must be "
                "as many: give arrays of the same examples."
            )

    def __len__(self) -> int:
        return len(self._inputs)

    @property
    def targets(self) -> np.ndarray | None:
        """All targets, `(examples, …)`, mapped where the files are: what `split_rows` takes for `classes`."""
        return self._targets

    @contract
    def gather(self, rows: Integer[AnyArray, " batch"]) -> tuple[np.ndarray, np.ndarray | None]:
        """The examples of these numbers, read now.

        **Arguments:** `rows`: `(batch,)`, each from 0 to below the number of examples.
        **Returns:** inputs and targets `(batch, …)`; `None` for targets that there are not.
        **Raises:** `ContractError` if `rows` is not one axis of integers.
        """
        numbers = np.asarray(rows)
        return _native(self._inputs[numbers]), None if self._targets is None else _native(self._targets[numbers])

    def fingerprint(self) -> str:
        """SHA-256 over dtype, shape and bytes, in hexadecimal: that of a `DataSet` of the same arrays."""
        return fingerprint_of_arrays(self._inputs, self._targets)

    def in_memory(self) -> DataSet:
        """All of them, in the dtypes that JAX makes of those in the file."""
        targets = None if self._targets is None else _native(self._targets)
        return DataSet(_native(self._inputs), targets, name=self.name)


class NpyFiles(_ArrayFiles):
    """Examples in NPY files, memory-mapped: an example is read from disk when it is asked for, in the dtype it has.

    **Arguments:** `inputs`: a file with an array `(examples, …)`; `targets`: the same for targets, or `None` for a task
    that makes its own; `name`: what the examples are called in logs, by default the file of the inputs.
    **Raises:** `ValueError` for a file that is no NPY file or cut, for an array that is not of numbers (Python objects,
    which would run code, text, records), and if there are not as many inputs as targets. `OSError` if a file cannot be
    opened.
    """

    @contract
    def __init__(self, inputs: PathLike, targets: PathLike | None = None, *, name: str | None = None):
        found = [(os.fspath(path), _read_npy(os.fspath(path))) for path in (inputs, targets) if path is not None]
        super().__init__(Path(inputs).stem if name is None else name, *found)


class NpzFile(_ArrayFiles):
    """Examples in an NPZ file, memory-mapped where that can be: an example is then read when it is asked for.

    An array that was written by `np.savez` is mapped. One that was written by `np.savez_compressed` has no bytes on
    disk to map: it is read into memory as a whole, once, and its checksum compared.

    **Arguments:** `path`: the file; `inputs`: the name of an array `(examples, …)` in it; `targets`: the same for
    targets, or `None` for a task that makes its own; `name`: what the examples are called in logs, by default the file.
    **Raises:** `ValueError` as `NpyFiles`, and for an array that the file does not have, naming the nearest. `OSError`
    if the file cannot be opened.
    """

    @contract
    def __init__(self, path: PathLike, inputs: str, targets: str | None = None, *, name: str | None = None):
        found = [
            (f"{os.fspath(path)}[{array}]", _read_npz(path, array)) for array in (inputs, targets) if array is not None
        ]
        super().__init__(Path(path).stem if name is None else name, *found)


@contract
def read_npy(inputs: PathLike, targets: PathLike | None = None, *, name: str | None = None) -> DataSet:
    """Examples in NPY files, read into memory.

    **Arguments:** as `NpyFiles` takes them.
    **Returns:** a data set, in the dtypes that JAX makes of those in the files.
    **Raises:** as `NpyFiles`.
    """
    return NpyFiles(inputs, targets, name=name).in_memory()


@contract
def read_npz(path: PathLike, inputs: str, targets: str | None = None, *, name: str | None = None) -> DataSet:
    """Examples in an NPZ file, read into memory, such as `read_npz("mnist.npz", "x_train", "y_train")`.

    **Arguments:** as `NpzFile` takes them.
    **Returns:** a data set, in the dtypes that JAX makes of those in the file.
    **Raises:** as `NpzFile`.
    """
    return NpzFile(path, inputs, targets, name=name).in_memory()


@dataclass(frozen=True)
class _Header:
    shape: tuple[int, ...]
    fortran: bool
    dtype: np.dtype
    length: int

    @property
    def nbytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def _read_npy(path: str) -> np.ndarray:
    with open(path, "rb") as file:
        header = _header(file, path)
    return _mapped(path, 0, os.path.getsize(path), header, path)


def _read_npz(path: PathLike, array: str) -> np.ndarray:
    where = f"{os.fspath(path)}[{array}]"
    try:
        with zipfile.ZipFile(path) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if array not in members:
                known = ", ".join(members) or "none"
                raise ValueError(f"{os.fspath(path)!r} has no array {array!r} among {known}{guess(array, members)}.")
            member = members[array]
            with archive.open(member) as file:
                header = _header(file, where)
                if member.compress_type != zipfile.ZIP_STORED:
                    return _shaped(file.read(), header, where)
    except (zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(f"{where!r} is no array of an NPZ file, or damaged: {error}") from error
    with open(path, "rb") as file:
        file.seek(member.header_offset)
        start = member.header_offset + _LOCAL_HEADER.size + sum(_LOCAL_HEADER.unpack(file.read(_LOCAL_HEADER.size)))
    return _mapped(os.fspath(path), start, member.file_size, header, where)


def _header(file: IO[bytes], where: str) -> _Header:
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError(f"its version is {version}, and that of an array of numbers is (1, 0) or (2, 0)")
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        header = _Header(*read(file), length=file.tell())
    except ValueError as error:
        raise ValueError(f"{where!r} is no NPY file, or damaged: {error}.") from error
    if header.dtype.hasobject:
        raise ValueError(
            f"{where!r} holds Python objects (dtype {header.dtype}), which are not read, as to read them runs code "
            "that the file names: save an array of numbers."
        )
    if header.dtype.kind not in "biufc":
        raise ValueError(f"{where!r} holds {header.dtype}, which must be numbers: save class numbers, not names.")
    return header


def _mapped(path: str, start: int, size: int, header: _Header, where: str) -> np.ndarray:
    _require_whole(size, header, where)
    if header.nbytes == 0:
        return np.empty(header.shape, header.dtype)
    order = "F" if header.fortran else "C"
    return np.memmap(path, header.dtype, mode="r", offset=start + header.length, shape=header.shape, order=order)


def _shaped(data: bytes, header: _Header, where: str) -> np.ndarray:
    _require_whole(len(data) + header.length, header, where)
    return np.frombuffer(data, header.dtype).reshape(header.shape, order="F" if header.fortran else "C")


def _require_whole(size: int, header: _Header, where: str) -> None:
    due = header.length + header.nbytes
    if size != due:
        raise ValueError(f"{where!r} has {size} bytes and its header describes {due}: it is cut or grown.")


def _native(array: np.ndarray) -> np.ndarray:
    """As JAX takes it: in memory, in the byte order of the machine."""
    return np.asarray(array, array.dtype.newbyteorder("="))
