"""Arrays as short text."""

import base64
import math
import re
import zlib

import numpy as np
from jaxtyping import Shaped

from matrinox.contract import AnyArray, contract


@contract
def pack(array: Shaped[AnyArray, "..."]) -> str:
    """An array as short text: the NumPy type, the shape, and the little-endian bytes, compressed, in base 64.

    Whole numbers are kept in as few bytes as the largest takes, all others as float32: class numbers of 10,000 examples
    take some 6,000 letters, `"u1[10000]:eNp…"`.

    **Arguments:** `array`: `(…)`, of numbers or truths.
    **Returns:** the text that `unpack` takes.
    **Raises:** `ValueError` for whole numbers below 0, and for what is no number.
    """
    values = np.asarray(array)
    if np.issubdtype(values.dtype, np.integer) or values.dtype == bool:
        if values.size and values.min() < 0:
            raise ValueError(f"`array` holds {values.min()}, which must be 0 or more: give class numbers, or floats.")
        kind = np.min_scalar_type(int(values.max(initial=0)))
    elif np.issubdtype(values.dtype, np.complexfloating) or not np.can_cast(values.dtype, np.float64, "same_kind"):
        raise ValueError(f"`array` (={values.dtype}{list(values.shape)}) must be numbers: give integers or floats.")
    else:
        kind = np.dtype(np.float32)
    kind = kind.newbyteorder("<")
    shape = ",".join(map(str, values.shape))
    # Class numbers repeat no pattern, so that to code each alone takes the least.
    squeeze = zlib.compressobj(level=9, strategy=zlib.Z_FILTERED)
    data = squeeze.compress(np.ascontiguousarray(values, kind).tobytes()) + squeeze.flush()
    return f"{kind.str[1:]}[{shape}]:{base64.b64encode(data).decode()}"


@contract
def unpack(text: str) -> np.ndarray:
    """The array that `pack` wrote: int64 of whole numbers, float32 of others.

    **Raises:** `ValueError` if the text is not what `pack` writes; `ContractError` if it is no text.
    """
    found = re.fullmatch(r"(u1|u2|u4|u8|f4)\[((?:[0-9]{1,12}(?:,[0-9]{1,12})*)?)\]:([A-Za-z0-9+/=]*)", text)
    if found is None:
        raise ValueError(f"a packed array begins with {text[:12]!r}, which must be such as u1[100]: or f4[100,2]:")
    kind, sizes, data = found.groups()
    dtype = np.dtype(f"<{kind}")
    shape = tuple(int(size) for size in sizes.split(",") if size)
    due = math.prod(shape) * dtype.itemsize
    try:
        # What is longer than it says is not read to its end.
        raw = zlib.decompressobj().decompress(base64.b64decode(data, validate=True), due + 1)
    except (ValueError, zlib.error) as error:
        raise ValueError(f"a packed array {text[:12]!r} is damaged: {error}") from error
    if len(raw) != due:
        raise ValueError(f"a packed array {text[:12]!r} must be of {due} bytes, and is not: it is damaged.")
    array = np.frombuffer(raw, dtype).reshape(shape)
    return array.astype(np.float32 if dtype.kind == "f" else np.int64)
