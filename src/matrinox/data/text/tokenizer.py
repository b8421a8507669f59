"""What every tokenizer is: text to integer ids and back, and special tokens, which no text has."""

import os
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
from jaxtyping import Int32, Integer

from matrinox.contract import AnyArray, contract
from matrinox.contract.nearest import nearest
from matrinox.data.text.tokenizer_file import write_tokenizer_file
from matrinox.io.config import check_config, encode_config

STOP = "<stop>"
"""The special token that ends a text."""


class Tokenizer(ABC):
    """Text to ids from 0 to below `vocabulary`, and back. A subclass is a frozen dataclass, with plain data as fields.

    Behind the ids of text come those of the special tokens, in the order in which they are named. No text gives one:
    what is written in it is text, be it `<stop>`.
    """

    kind: ClassVar[str]
    """What the file of `save` calls it."""

    special: tuple[str, ...]
    """The names of the special tokens, in the order of their ids."""

    def __post_init__(self) -> None:
        check_config(self)
        if repeated := {name for name in self.special if self.special.count(name) > 1}:
            raise ValueError(f"`special` holds {min(repeated)!r} twice: name each special token once.")

    @property
    @abstractmethod
    def ordinary(self) -> int:
        """How many ids stand for text: those of special tokens come behind them."""

    @property
    def vocabulary(self) -> int:
        """How many ids there are, special tokens with them: the `vocabulary` of an `nn.Embedding`."""
        return self.ordinary + len(self.special)

    def special_id(self, name: str) -> int:
        """The id of a special token.

        **Raises:** `ValueError` if there is none of this name, with the nearest.
        """
        if name not in self.special:
            known = ", ".join(map(repr, self.special)) or "none"
            close = f": did you mean {nearest(name, self.special)!r}?" if self.special else "."
            raise ValueError(
                f"`name` (={name!r}) must be one of the special tokens, {known}{close} Name them in `special`."
            )
        return self.ordinary + self.special.index(name)

    @property
    def stop(self) -> int | None:
        """The id of `"<stop>"`, which ends a text, or `None` where it is no special token."""
        return self.special_id(STOP) if STOP in self.special else None

    @contract
    def encode(self, text: str, *, stop: bool = False) -> Int32[np.ndarray, " tokens"]:
        """The ids of a text.

        **Arguments:** `text`: any; `stop`: with the stop token behind it.
        **Returns:** int32, `(tokens,)`.
        **Raises:** `ValueError` for text that has no ids, with the place, and for a `stop` that there is not;
        `ContractError` for bytes.
        """
        ids = self._encode(text)
        return np.append(ids, np.int32(self.special_id(STOP))) if stop else ids

    @contract
    def decode(self, ids: Integer[AnyArray, " tokens"]) -> str:
        """The text of ids; special tokens give none.

        **Arguments:** `ids`: `(tokens,)`.
        **Returns:** a text; `decode(encode(text))` is `text`. Bytes that are no UTF-8, as a model may give them, become
        the replacement character.
        **Raises:** `ValueError` for an id outside 0 … vocabulary − 1, with its place; `ContractError` if `ids` is not
        one axis of integers.
        """
        numbers = np.asarray(ids).astype(np.int64)
        outside = np.flatnonzero((numbers < 0) | (numbers >= self.vocabulary))
        if outside.size:
            place = outside[0]
            raise ValueError(
                f"`ids` holds {numbers[place]} at place {place}, and there are {self.vocabulary} tokens: give ids from "
                f"0 to below {self.vocabulary}."
            )
        return self._decode(numbers[numbers < self.ordinary])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes one JSON file, atomically, which `load_tokenizer` reads.

        **Arguments:** `path`: where to write.
        **Raises:** `ModelFileError` if it cannot be written; an existing file is then as it was.
        """
        write_tokenizer_file(path, self.kind, encode_config(self))

    @abstractmethod
    def _encode(self, text: str) -> np.ndarray: ...

    @abstractmethod
    def _decode(self, ids: np.ndarray) -> str:
        """The text of ids below `ordinary`."""


def refuse_surrogates(text: str, error: UnicodeEncodeError) -> ValueError:
    """The error for half of a character, which no encoding has."""
    return ValueError(
        f"`text` holds {text[error.start]!r} at character {error.start}, half of a character, which no encoding has: "
        "read it with the encoding in which it was written."
    )
