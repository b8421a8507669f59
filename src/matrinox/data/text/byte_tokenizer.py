"""`ByteTokenizer`: the bytes of a text in UTF-8."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from matrinox.data.text.tokenizer import Tokenizer, refuse_surrogates


@dataclass(frozen=True)
class ByteTokenizer(Tokenizer):
    """A token for each byte of the text in UTF-8: 256 and the special ones, of any text, with nothing to fit.

    **Arguments:** `special`: names of special tokens, such as `("<stop>",)`.
    **Raises:** `ValueError` for a value of another type, and a name given twice.
    **Source:** TorchLean, byte tokenizer; Xue et al. 2022, arXiv 2105.13626.

    >>> tokenizer = ByteTokenizer(special=("<stop>",))
    >>> tokenizer.encode("né", stop=True)
    array([110, 195, 169, 256], dtype=int32)
    >>> tokenizer.decode(tokenizer.encode("né", stop=True))
    'né'
    """

    kind: ClassVar[str] = "byte"

    special: tuple[str, ...] = ()

    @property
    def ordinary(self) -> int:
        """256."""
        return 256

    def _encode(self, text: str) -> np.ndarray:
        try:
            return np.frombuffer(text.encode(), np.uint8).astype(np.int32)
        except UnicodeEncodeError as error:
            raise refuse_surrogates(text, error) from None

    def _decode(self, ids: np.ndarray) -> str:
        return ids.astype(np.uint8).tobytes().decode(errors="replace")
