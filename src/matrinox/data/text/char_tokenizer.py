"""`CharTokenizer`: the characters of a text, of an alphabet."""

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from matrinox.contract import contract
from matrinox.data.text.tokenizer import Tokenizer

_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


@dataclass(frozen=True)
class CharTokenizer(Tokenizer):
    """A token for each character, of an alphabet: `CharTokenizer.fit(text)` takes that of the text trained on.

    **Arguments:** `alphabet`: the characters, in the order of their ids; `unknown`: give all other characters the one
    id behind these, which comes back as the replacement character, rather than refuse them; `special`: names of special
    tokens, such as `("<stop>",)`.
    **Raises:** `ValueError` for a value of another type, an empty alphabet, and a character or name given twice.
    **Source:** TorchLean, character tokenizer.

    >>> tokenizer = CharTokenizer.fit("to be or not to be")
    >>> tokenizer.alphabet, tokenizer.vocabulary
    (' benort', 7)
    >>> tokenizer.encode("tone")
    array([6, 4, 3, 2], dtype=int32)
    >>> tokenizer.encode("note well")
    Traceback (most recent call last):
    ValueError: `text` holds 'w' at character 5 (line 1), which is not in the alphabet of 7 characters: fit on text \
that has it, or choose unknown=True.
    """

    kind: ClassVar[str] = "char"

    alphabet: str
    unknown: bool = False
    special: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.alphabet:
            raise ValueError("`alphabet` (='') must hold at least one character: take it from text, by `fit`.")
        if len(set(self.alphabet)) < len(self.alphabet):
            twice = next(one for one in self.alphabet if self.alphabet.count(one) > 1)
            raise ValueError(f"`alphabet` holds {twice!r} twice: name each character once.")

    @staticmethod
    @contract
    def fit(text: str, *, unknown: bool = False, special: tuple[str, ...] = ()) -> "CharTokenizer":
        """The tokenizer of the characters of a text, sorted.

        **Arguments:** `text`: what is trained on; `unknown`, `special`: as above.
        **Raises:** `ValueError` for an empty text; `ContractError` for bytes.
        """
        if not text:
            raise ValueError("`text` (='') must hold at least one character: fit on the text to train on.")
        return CharTokenizer("".join(sorted(set(text))), unknown, special)

    @property
    def ordinary(self) -> int:
        """How many characters there are in the alphabet, and the unknown one."""
        return len(self.alphabet) + self.unknown

    def _encode(self, text: str) -> np.ndarray:
        known, points = _points(self.alphabet), _points(text)
        order = np.argsort(known)
        places = np.minimum(np.searchsorted(known, points, sorter=order), len(known) - 1)
        ids = order[places]
        strange = np.flatnonzero(known[ids] != points)
        if strange.size and not self.unknown:
            place = int(strange[0])
            raise ValueError(
                f"`text` holds {text[place]!r} at character {place} (line {text.count(chr(10), 0, place) + 1}), which "
                f"is not in the alphabet of {len(known)} characters: fit on text that has it, or choose "
                "unknown=True."
            )
        ids[strange] = len(known)
        return ids.astype(np.int32)

    def _decode(self, ids: np.ndarray) -> str:
        characters = self.alphabet + _REPLACEMENT
        return "".join(characters[number] for number in ids)


def _points(text: str) -> np.ndarray:
    return np.frombuffer(text.encode("utf-32-le", "surrogatepass"), np.uint32)
