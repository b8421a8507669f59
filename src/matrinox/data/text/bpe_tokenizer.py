"""`BPETokenizer`: pieces of words, merged from bytes, learnt from text."""

import functools
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from matrinox.contract import ContractError, contract
from matrinox.data.text.tokenizer import Tokenizer, refuse_surrogates


@dataclass(frozen=True)
class BPETokenizer(Tokenizer):
    """A token for each piece of a word, by byte-pair encoding: `BPETokenizer.fit(text, vocabulary=1000)` learns them.

    The pieces are made of bytes, of which all 256 are tokens, so that any text can be encoded, and comes back as it
    was. They do not reach over words, which begin with the space before them.

    **Arguments:** `pieces`: the tokens in the order of their ids, a character for each byte, as GPT-2 writes them;
    `merges`: the pairs that are merged, first to last, each as `"left right"`; `special`: names of special tokens.
    **Raises:** `ValueError` for a value of another type, a byte without a token, a piece given twice, and a merge of
    pieces that are not there; `ImportError`, naming the extra to install, without `tokenizers`.
    **Source:** Sennrich et al. 2016, arXiv 1508.07909; Radford et al. 2019, on bytes; Hugging Face `tokenizers`;
    TorchLean, BPE tokenizer.
    """

    kind: ClassVar[str] = "bpe"

    pieces: tuple[str, ...]
    merges: tuple[str, ...]
    special: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        super().__post_init__()
        known = set(self.pieces)
        if len(known) < len(self.pieces):
            twice = next(piece for piece in self.pieces if self.pieces.count(piece) > 1)
            raise ValueError(f"`pieces` holds {twice!r} twice: name each once.")
        if lacking := sorted(set(_library().pre_tokenizers.ByteLevel.alphabet()) - known):
            raise ValueError(f"`pieces` lacks the byte {lacking[0]!r}: every byte must have a token.")
        for merge in self.merges:
            pair = merge.split(" ")
            if len(pair) != 2 or not {*pair, "".join(pair)} <= known:
                raise ValueError(f"`merges` holds {merge!r}, which must be two of `pieces` that together are a third.")

    @staticmethod
    @contract
    def fit(text: str | Iterable[str], *, vocabulary: int, special: tuple[str, ...] = ()) -> "BPETokenizer":
        """The tokenizer learnt from text: the most frequent pair of tokens becomes one, again and again.

        Equal text gives an equal tokenizer, on every machine.

        **Arguments:** `text`: what is trained on, in one or in parts, over the ends of which nothing is merged;
        `vocabulary`: how many tokens there are at most, all bytes and special tokens with them: fewer where no pair is
        there twice; `special`: as above.
        **Raises:** `ValueError` for a `vocabulary` that has no room for these; `ContractError` for what is no text;
        `ImportError`, naming the extra to install, without `tokenizers`.
        """
        least = 256 + len(special)
        if vocabulary < least:
            raise ValueError(
                f"`vocabulary` (={vocabulary}) must be at least {least}, for 256 bytes and {len(special)} special "
                "tokens: choose such as 1000."
            )
        library = _library()
        engine = library.Tokenizer(library.models.BPE())
        engine.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        trainer = library.trainers.BpeTrainer(
            vocab_size=vocabulary - len(special),
            min_frequency=2,
            initial_alphabet=library.pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        parts = [text] if isinstance(text, str) else text
        engine.train_from_iterator((_encodable(part, "a part of `text`") for part in parts), trainer)
        learnt = json.loads(engine.to_str())["model"]
        pieces = sorted(learnt["vocab"], key=learnt["vocab"].__getitem__)
        return BPETokenizer(tuple(pieces), tuple(map(" ".join, learnt["merges"])), special)

    @property
    def ordinary(self) -> int:
        """How many pieces there are."""
        return len(self.pieces)

    @functools.cached_property
    def _engine(self) -> Any:
        library = _library()
        numbers = {piece: number for number, piece in enumerate(self.pieces)}
        engine = library.Tokenizer(library.models.BPE(numbers, [tuple(merge.split(" ")) for merge in self.merges]))
        engine.pre_tokenizer = library.pre_tokenizers.ByteLevel(add_prefix_space=False)
        engine.decoder = library.decoders.ByteLevel()
        return engine

    def _encode(self, text: str) -> np.ndarray:
        return np.asarray(self._engine.encode(_encodable(text)).ids, np.int32)

    def _decode(self, ids: np.ndarray) -> str:
        return self._engine.decode(ids.tolist(), skip_special_tokens=False)


def _encodable(text: Any, name: str = "`text`") -> str:
    if not isinstance(text, str):
        raise ContractError(f"{name} is {text!r:.60} ({type(text).__name__}); it takes a str.")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise refuse_surrogates(text, error) from None
    return text


def _library() -> Any:
    try:
        import tokenizers
    except ImportError as error:
        raise ImportError(
            'BPETokenizer needs the library tokenizers, which is not installed: pip install "matrinox[text]"'
        ) from error
    return tokenizers
