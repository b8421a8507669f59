import hashlib
import sys

import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data.text import BPETokenizer, ByteTokenizer

TEXT = "low low low low low lower lower newest newest newest newest newest newest widest widest widest"


def test_merges_are_those_of_the_paper_worked_out_by_hand():
    # Sennrich et al. 2016, with a space before each word but the first: e s, es t, then l o, lo w.
    tokenizer = BPETokenizer.fit(TEXT, vocabulary=260)
    assert tokenizer.merges == ("e s", "es t", "l o", "lo w")
    assert tokenizer.pieces[256:] == ("es", "est", "lo", "low")
    assert tokenizer.encode("lowest").tolist() == [259, 257]


def test_more_merges_give_fewer_tokens_and_stop_where_no_pair_is_there_twice():
    sizes = [BPETokenizer.fit(TEXT, vocabulary=v).encode(TEXT).size for v in (256, 260, 270)]
    assert sizes[0] == len(TEXT)
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] > sizes[1] > sizes[2]
    whole = BPETokenizer.fit(TEXT, vocabulary=5000)
    assert 256 < whole.vocabulary < 300


def test_with_no_merge_ids_are_bytes_in_another_order():
    text = "né 😀\n"
    tokenizer = BPETokenizer.fit("", vocabulary=256)
    pairs = set(zip(tokenizer.encode(text).tolist(), ByteTokenizer().encode(text).tolist(), strict=True))
    assert len(pairs) == len({one for one, _ in pairs}) == len({other for _, other in pairs})


def test_every_process_learns_the_same_however_often_pairs_tie():
    # Of 400 words drawn alike most pairs are there as often as others.
    words = ["".join(letters) for letters in np.random.RandomState(0).choice(list("abcdefgh"), (400, 5))]
    tokenizer = BPETokenizer.fit(" ".join(words), vocabulary=600)
    learnt = hashlib.sha256("\n".join(tokenizer.pieces).encode()).hexdigest()
    assert (len(tokenizer.merges), learnt[:16]) == (180, "c24d2597376ebb7e")
    parts = [word if index == 0 else f" {word}" for index, word in enumerate(words)]
    assert BPETokenizer.fit(iter(parts), vocabulary=600) == tokenizer


def test_special_tokens_count_in_the_vocabulary():
    tokenizer = BPETokenizer.fit(TEXT, vocabulary=260, special=("<stop>",))
    assert (tokenizer.vocabulary, tokenizer.stop, len(tokenizer.merges)) == (260, 259, 3)
    with pytest.raises(ValueError, match=r"`vocabulary` \(=256\) must be at least 257, for 256 bytes and 1 special"):
        BPETokenizer.fit(TEXT, vocabulary=256, special=("<stop>",))


def test_pieces_that_do_not_fit_together_are_refused():
    tokenizer = BPETokenizer.fit(TEXT, vocabulary=258)
    with pytest.raises(ValueError, match="`pieces` lacks the byte '!': every byte must have a token"):
        BPETokenizer(tokenizer.pieces[1:], tokenizer.merges)
    with pytest.raises(ValueError, match="`pieces` holds 'est' twice: name each once"):
        BPETokenizer((*tokenizer.pieces, "est"), tokenizer.merges)
    for merge in ("e w", "e", "e s t"):
        with pytest.raises(ValueError, match=f"`merges` holds '{merge}', which must be two of `pieces`"):
            BPETokenizer(tokenizer.pieces, (*tokenizer.merges, merge))


def test_what_is_no_text_is_refused():
    for text in (5, b"ab"):
        with pytest.raises(ContractError, match=f"fit got text as {text}"):
            BPETokenizer.fit(text, vocabulary=260)  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match=r"a part of `text` is b'cd' \(bytes\); it takes a str"):
        BPETokenizer.fit(iter(("ab", b"cd")), vocabulary=260)  # pyright: ignore[reportArgumentType]


def test_without_the_library_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(ImportError, match=r'tokenizers, which is not installed: pip install "matrinox\[text\]"'):
        BPETokenizer.fit(TEXT, vocabulary=260)
