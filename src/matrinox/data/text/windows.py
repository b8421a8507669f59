"""`TokenWindows`: pieces of one long row of tokens, each with the same shifted by one as targets."""

import hashlib

import equinox as eqx
import jax.numpy as jnp
import numpy as np
from jax.core import Tracer
from jaxtyping import Array, Int32, Integer

from matrinox.contract import AnyArray, contract
from matrinox.data.examples import Examples


@contract
class TokenWindows(Examples):
    """Windows of `length` tokens for a causal language model: the targets are the inputs shifted by one.

    Example i has the inputs `tokens[i·stride : i·stride + length]` and as targets the token behind each. There are
    `(tokens − length − 1) // stride + 1` of them, all cut out of the one array that is held: with a stride of 1 one
    begins at every token, with a stride of `length` every token is a target once, but for the first and what is left.

    **Arguments:** `tokens`: ids, `(tokens,)`; `length`: tokens of a window; `stride`: from the start of one to that of
    the next; `name`: what the examples are called in logs.
    **Raises:** `ValueError` for a `length` or `stride` below 1, for fewer than `length + 1` tokens, and for an id below
    0 or beyond 32 bits; `ContractError` if `tokens` is not one axis of integers.
    **Source:** TorchLean, causal-LM windows.

    >>> import numpy as np
    >>> windows = TokenWindows(np.arange(10), 4, stride=2)
    >>> len(windows)
    3
    >>> windows.gather(np.array([1]))
    (Array([[2, 3, 4, 5]], dtype=int32), Array([[3, 4, 5, 6]], dtype=int32))
    """

    tokens: Integer[Array, " tokens"]
    length: int = eqx.field(static=True)
    stride: int = eqx.field(static=True)
    name: str = eqx.field(static=True)

    def __init__(self, tokens: Integer[AnyArray, " tokens"], length: int, *, stride: int = 1, name: str = "text"):
        for what, value in (("length", length), ("stride", stride)):
            if value < 1:
                raise ValueError(f"`{what}` (={value}) must be at least 1: count in tokens.")
        if len(tokens) < length + 1:
            raise ValueError(
                f"`tokens` has {len(tokens)} tokens, and a window of `length` (={length}) with its targets takes "
                f"{length + 1}: give more text, or choose a shorter length."
            )
        if not isinstance(tokens, Tracer):
            least, most = int(np.min(tokens)), int(np.max(tokens))
            # JAX would wrap a wide one to another.
            if least < 0 or most >= 2**31:
                raise ValueError(
                    f"`tokens` holds {least if least < 0 else most}, which must be from 0 to below 2³¹: give the ids "
                    "of a tokenizer."
                )
        self.tokens = jnp.asarray(tokens)
        self.length = length
        self.stride = stride
        self.name = name

    def __len__(self) -> int:
        return (len(self.tokens) - self.length - 1) // self.stride + 1

    def gather(
        self, rows: Integer[AnyArray, " batch"]
    ) -> tuple[Int32[Array, "batch {self.length}"], Int32[Array, "batch {self.length}"]]:
        """The windows of these numbers.

        **Arguments:** `rows`: `(batch,)`, which nothing checks.
        **Returns:** inputs and targets, `(batch, length)` each.
        **Raises:** `ContractError` if `rows` is not one axis of integers.
        """
        # Of its own width a window's number may be too small for a place in the text.
        starts = jnp.asarray(rows).astype(int) * self.stride
        cut = self.tokens[starts[:, None] + jnp.arange(self.length + 1)].astype(jnp.int32)
        return cut[:, :-1], cut[:, 1:]

    def fingerprint(self) -> str:
        """SHA-256 over tokens, length and stride, in hexadecimal: equal windows, equal fingerprint."""
        tokens = np.asarray(self.tokens)
        digest = hashlib.sha256(f"{tokens.dtype.str}{tokens.shape}{self.length} {self.stride}".encode())
        digest.update(tokens.tobytes())
        return digest.hexdigest()
