"""Predicted classes as short text."""

import base64

import numpy as np
from jaxtyping import Integer

from matrinox.contract import AnyArray, contract


@contract
def pack(predictions: Integer[AnyArray, " examples"]) -> str:
    """Class numbers as short text: the NumPy type, a colon, and the little-endian bytes in base 64.

    **Arguments:** `predictions`: `(examples,)`, none negative.
    **Returns:** the text that `unpack` takes.
    **Raises:** `ContractError` if it is not one axis of integers; `ValueError` if a number is negative.
    """
    numbers = np.asarray(predictions)
    if numbers.size and numbers.min() < 0:
        raise ValueError(f"`predictions` holds {numbers.min()}, which must be 0 or more: give class numbers.")
    kind = np.min_scalar_type(int(numbers.max(initial=0))).newbyteorder("<")
    return f"{kind.str[1:]}:{base64.b64encode(numbers.astype(kind).tobytes()).decode()}"


@contract
def unpack(text: str) -> np.ndarray:
    """The class numbers that `pack` wrote, `(examples,)`.

    **Raises:** `ValueError` if the text is not what `pack` writes; `ContractError` if it is no text.
    """
    kind, colon, data = text.partition(":")
    if kind not in ("u1", "u2", "u4", "u8") or not colon:
        raise ValueError(f"packed predictions begin with {text[:8]!r}, which must be u1:, u2:, u4: or u8:.")
    return np.frombuffer(base64.b64decode(data, validate=True), f"<{kind}").astype(np.int64)
