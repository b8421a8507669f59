import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data.text import CharTokenizer


def test_the_alphabet_is_that_of_the_text_in_order():
    tokenizer = CharTokenizer.fit("hello\n😀")
    assert tokenizer.alphabet == "\nehlo😀"
    assert tokenizer.encode("hole😀").tolist() == [2, 4, 3, 1, 5]


def test_ids_follow_an_alphabet_in_any_order():
    tokenizer = CharTokenizer("zebra")
    assert tokenizer.encode("bazaar").tolist() == [2, 4, 0, 4, 4, 3]
    assert tokenizer.decode(np.array([2, 1, 4, 3])) == "bear"


def test_a_character_that_is_unknown_is_refused_with_its_place():
    tokenizer = CharTokenizer.fit("ab\n")
    message = r"`text` holds 'é' at character 4 \(line 2\), which is not in the alphabet of 3 characters: fit on text"
    with pytest.raises(ValueError, match=message):
        tokenizer.encode("ab\naéc")
    with pytest.raises(ValueError, match=r"`text` holds '\\ud83d' at character 0"):
        tokenizer.encode("\ud83d")


def test_or_has_an_id_of_its_own():
    tokenizer = CharTokenizer.fit("ab", unknown=True, special=("<stop>",))
    assert tokenizer.encode("a?b😀").tolist() == [0, 2, 1, 2]
    assert (tokenizer.vocabulary, tokenizer.stop) == (4, 3)
    assert tokenizer.decode(tokenizer.encode("a?b", stop=True)) == "a\N{REPLACEMENT CHARACTER}b"


def test_what_is_no_alphabet_is_refused():
    with pytest.raises(ValueError, match=r"`alphabet` \(=''\) must hold at least one character: take it"):
        CharTokenizer("")
    with pytest.raises(ValueError, match="`alphabet` holds 'b' twice: name each character once"):
        CharTokenizer("abcb")
    with pytest.raises(ValueError, match=r"`text` \(=''\) must hold at least one character: fit"):
        CharTokenizer.fit("")
    with pytest.raises(ContractError, match="fit got text as b'ab'"):
        CharTokenizer.fit(b"ab")  # pyright: ignore[reportArgumentType]
