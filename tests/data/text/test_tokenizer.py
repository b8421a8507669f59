"""What every tokenizer promises, of each kind."""

import dataclasses

import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data.text import BPETokenizer, ByteTokenizer, CharTokenizer

TEXTS = [
    "",
    "to be, or not to be",
    "  two  spaces\tand\r\nlines\n\n",
    "naïve Ünïcödé – “quotes”",
    "日本語 العربية हिन्दी",
    "😀👩‍👩‍👧‍👦🏳️‍🌈",
    "\x00\x7f\u200b\ufeff\U0010ffff",
    "<stop><unknown>",
    "e\u0301 is not \u00e9",
]
SPECIAL = ("<stop>", "<pad>")
TOKENIZERS = {
    "byte": ByteTokenizer(special=SPECIAL),
    "char": CharTokenizer.fit("".join(TEXTS), special=SPECIAL),
    "bpe": BPETokenizer.fit(TEXTS, vocabulary=300, special=SPECIAL),
}

every_tokenizer = pytest.mark.parametrize("tokenizer", TOKENIZERS.values(), ids=TOKENIZERS)


@every_tokenizer
def test_decoding_what_was_encoded_gives_any_text_back(tokenizer):
    for text in TEXTS:
        ids = tokenizer.encode(text)
        assert ids.dtype == np.int32
        assert ids.ndim == 1
        assert tokenizer.decode(ids) == text
        assert ids.size == 0 or 0 <= ids.min() <= ids.max() < tokenizer.ordinary


@every_tokenizer
def test_special_tokens_stand_behind_those_of_text_and_no_text_gives_one(tokenizer):
    assert tokenizer.vocabulary == tokenizer.ordinary + 2
    assert (tokenizer.special_id("<stop>"), tokenizer.special_id("<pad>")) == (tokenizer.stop, tokenizer.stop + 1)
    assert tokenizer.stop == tokenizer.ordinary
    assert tokenizer.stop not in tokenizer.encode("<stop>")
    ended = tokenizer.encode("to be", stop=True)
    assert (ended[-1], ended.dtype) == (tokenizer.stop, np.int32)
    assert tokenizer.decode(np.append(ended, tokenizer.stop + 1)) == "to be"
    assert tokenizer.encode("", stop=True).tolist() == [tokenizer.stop]


@every_tokenizer
def test_without_special_tokens_there_is_no_stop(tokenizer):
    plain = dataclasses.replace(tokenizer, special=())
    assert (plain.stop, plain.vocabulary) == (None, tokenizer.ordinary)
    np.testing.assert_array_equal(plain.encode("to be"), tokenizer.encode("to be"))
    with pytest.raises(ValueError, match=r"`name` \(='<stop>'\) must be one of the special tokens, none\. Name them"):
        plain.encode("to be", stop=True)


@every_tokenizer
def test_an_id_out_of_range_is_refused_with_its_place(tokenizer):
    v = tokenizer.vocabulary
    for wrong in (-1, v, 2**31 - 1):
        with pytest.raises(ValueError, match=rf"`ids` holds {wrong} at place 1, and there are {v} tokens: give ids"):
            tokenizer.decode(np.array([0, wrong, 0]))


@every_tokenizer
def test_what_is_no_text_and_no_row_of_ids_is_refused(tokenizer):
    with pytest.raises(ContractError):
        tokenizer.encode(b"bytes")
    for ids in (np.zeros((2, 2), int), np.zeros(3), [0, 1]):
        with pytest.raises(ContractError):
            tokenizer.decode(ids)


@every_tokenizer
def test_ids_of_any_integer_dtype_are_taken(tokenizer):
    ids = tokenizer.encode("to be")
    for dtype in (np.uint16, np.int64):
        assert tokenizer.decode(ids.astype(dtype)) == "to be"


@pytest.mark.parametrize("tokenizer", [TOKENIZERS["byte"], TOKENIZERS["bpe"]], ids=["byte", "bpe"])
def test_half_of_a_character_is_refused_with_its_place(tokenizer):
    with pytest.raises(ValueError, match=r"`text` holds '\\ud83d' at character 2, half of a character"):
        tokenizer.encode("ab\ud83d")


def test_a_special_token_named_twice_and_an_unknown_one_are_refused():
    with pytest.raises(ValueError, match="`special` holds '<a>' twice: name each special token once"):
        ByteTokenizer(special=("<a>", "<b>", "<a>"))
    with pytest.raises(ValueError, match=r"'<stop>', '<pad>': did you mean '<stop>'\? Name them in `special`"):
        TOKENIZERS["byte"].special_id("<stpo>")


@every_tokenizer
def test_a_field_of_another_type_is_refused(tokenizer):
    """A name in place of names would be one special token for each letter."""
    for special in ("<stop>", ["<stop>"], (1,)):
        with pytest.raises(ValueError, match=rf"`{type(tokenizer).__name__}\.special"):
            dataclasses.replace(tokenizer, special=special)
