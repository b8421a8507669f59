"""What an entry of the zoo is trained, chosen and tested on: three parts, the same on every machine."""

import abc
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from matrinox.data import GroupWords, XorTokens, load_splits, load_text
from matrinox.data.examples import Examples
from matrinox.data.text import CharTokenizer, TokenWindows, split_text

_VALIDATION = 0.1
# To train on, for validation and for test.
_WORDS = (65536, 256, 1000)
# Those of tinyshakespeare, in the order of their codes, so that a model reads and writes text where the data are not.
_ALPHABETS = {"tinyshakespeare": "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"}


class Parts(NamedTuple):
    """Fit on `train`, choose on `validation`, report `test` once."""

    train: Examples
    validation: Examples
    test: Examples


@dataclass(frozen=True)
class EntryData(abc.ABC):
    """Where an entry's parts come from, and what they are called. A subclass is a frozen dataclass of plain values."""

    name: str

    @property
    @abc.abstractmethod
    def split(self) -> str:
        """How the parts are made, in words."""

    @abc.abstractmethod
    def splits(self, seed: int) -> Parts:
        """The parts for a seed of training.

        **Raises:** `FileNotFoundError`, `ImportError` where the data are not here, saying how to get them.
        """


@dataclass(frozen=True)
class BuiltIn(EntryData):
    """A data set that `load_splits` takes: its published test part or a fifth, and a tenth for validation.

    **Arguments:** `name`: of the data set; `by_seed`: whether each seed of training has a split of its own, as where
    there are so few examples that one split says little.
    """

    by_seed: bool = False

    @property
    def split(self) -> str:
        """How the parts are made, in words."""
        how = "10% validation; the published test part, or 20%"
        return f"{how}; another split for each seed" if self.by_seed else f"{how}; the same split for every seed"

    def splits(self, seed: int) -> Parts:
        """The parts for a seed of training."""
        parts = load_splits(self.name, validation=_VALIDATION, seed=seed if self.by_seed else 0)
        return Parts(parts.train, parts.validation, parts.test)


@dataclass(frozen=True)
class Characters(EntryData):
    """Windows of a text's characters: trained on at every place, and evaluated so that each character counts once.

    The last tenth of the text is tested on, as nanoGPT validates on it; the last tenth of what is before that is for
    validation.

    **Arguments:** `name`: a text that `load_text` takes, `"tinyshakespeare"`; `length`: characters of a window.
    """

    length: int

    @property
    def tokenizer(self) -> CharTokenizer:
        """What turns text into the tokens that the model takes.

        **Raises:** `ValueError` for a text whose characters are not known here.
        """
        if self.name not in _ALPHABETS:
            known = ", ".join(_ALPHABETS)
            raise ValueError(f"`name` (={self.name!r}) must be a text whose characters are known here: {known}.")
        return CharTokenizer(_ALPHABETS[self.name])

    @property
    def split(self) -> str:
        """How the parts are made, in words."""
        return (
            f"windows of {self.length} characters; the last tenth of the text for test, the last tenth of the rest for "
            "validation; the same split for every seed"
        )

    def splits(self, seed: int) -> Parts:
        """The parts for a seed of training."""
        del seed
        tokens = self.tokenizer.encode(load_text(self.name))
        # nanoGPT's cut; `split_text` rounds the last tenth to one character less.
        rest, test = np.split(tokens, [int(0.9 * len(tokens))])
        train, validation = split_text(rest, validation=_VALIDATION)
        apart = (TokenWindows(part, self.length, stride=self.length, name=self.name) for part in (validation, test))
        return Parts(TokenWindows(train, self.length, name=self.name), *apart)


@dataclass(frozen=True)
class Xor(EntryData):
    """`XorTokens` as its seed system has them: the exclusive or of two signs, of which a share `flip` is wrong.

    **Arguments:** `name`; `flip`: the share, so that no classifier is expected to be right more often than `1 − flip`.
    """

    flip: float = 0.35

    @property
    def split(self) -> str:
        """How the parts are made, in words."""
        return (
            "262144 examples to train on, 10000 for validation, 100000 for test, each part drawn from a seed of its "
            "own; the same for every seed of training"
        )

    def splits(self, seed: int) -> Parts:
        """The parts, the same for every seed of training."""
        del seed
        sizes = 2**18, 10_000, 100_000
        return Parts(*(XorTokens(size, flip=self.flip, seed=part) for part, size in enumerate(sizes)))


@dataclass(frozen=True)
class Words(EntryData):
    """Words over a finite group and their products: short ones to train on, long ones for validation and test.

    **Arguments:** `name`: of the group, as `group_table` takes it; `length`, `validated`, `tested`: tokens in a word of
    each part.
    """

    length: int = 32
    validated: int = 300
    tested: int = 500

    @property
    def split(self) -> str:
        """How the parts are made, in words."""
        return (
            f"{_WORDS[0]} words of {self.length} tokens to train on, {_WORDS[1]} of {self.validated} for validation, "
            f"{_WORDS[2]} of {self.tested} for test, each part drawn from a seed of its own; the same for every seed"
        )

    def splits(self, seed: int) -> Parts:
        """The parts, the same for every seed of training."""
        del seed
        lengths = self.length, self.validated, self.tested
        sizes = zip(lengths, _WORDS, range(3), strict=True)
        return Parts(*(GroupWords(self.name, length=t, examples=size, seed=part) for t, size, part in sizes))
