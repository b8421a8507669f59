import numpy as np

from matrinox.data.text import ByteTokenizer


def test_ids_are_the_bytes_of_utf_8():
    text = "né 😀"
    assert ByteTokenizer().encode(text).tolist() == list(text.encode("utf-8"))
    assert ByteTokenizer().vocabulary == 256


def test_bytes_that_are_no_utf_8_become_the_replacement_character():
    assert ByteTokenizer().decode(np.array([104, 105, 195])) == "hi\N{REPLACEMENT CHARACTER}"
    assert ByteTokenizer().decode(np.arange(256))[:128] == "".join(map(chr, range(128)))
