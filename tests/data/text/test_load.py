import pytest

from matrinox.data.text import BPETokenizer, ByteTokenizer, CharTokenizer, load_tokenizer
from matrinox.data.text.tokenizer_file import write_tokenizer_file
from matrinox.io.errors import ModelFileError

TEXT = 'brackets [{("\\/\x00 and 😀😀 again, 日本 日本'


@pytest.mark.parametrize(
    "tokenizer",
    [
        ByteTokenizer(special=("<stop>",)),
        CharTokenizer.fit(TEXT, unknown=True, special=("<stop>", "<é>")),
        BPETokenizer.fit(TEXT, vocabulary=262, special=("<stop>",)),
    ],
    ids=["byte", "char", "bpe"],
)
def test_a_saved_tokenizer_loads_as_an_equal_one(tokenizer, tmp_path):
    path = tmp_path / "tokenizer.json"
    tokenizer.save(path)
    loaded = load_tokenizer(path)
    assert loaded == tokenizer
    assert (loaded.encode(TEXT, stop=True) == tokenizer.encode(TEXT, stop=True)).all()
    loaded.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_bytes() == path.read_bytes()


@pytest.mark.parametrize(
    ("kind", "holds", "message"),
    [
        ("chat", {"special": []}, r"the kind 'chat', not one of bpe, byte, char: did you mean 'char'"),
        ("byte", {"special": [], "alphabet": "a"}, "`config` has the unknown field 'alphabet'"),
        ("char", {"special": []}, "`config` lacks the field 'alphabet'"),
        ("char", {"alphabet": "aa", "unknown": False, "special": []}, "`alphabet` holds 'a' twice"),
        ("byte", {"special": [1]}, r"`config.special\[0\]` is 1, not a string"),
        ("bpe", {"pieces": ["a"], "merges": [], "special": []}, "`pieces` lacks the byte"),
    ],
    ids=["kind", "field", "lacking", "twice", "type", "pieces"],
)
def test_what_is_no_tokenizer_is_refused_with_the_path(tmp_path, kind, holds, message):
    path = tmp_path / "tokenizer.json"
    write_tokenizer_file(path, kind, holds)
    with pytest.raises(ModelFileError, match=rf"cannot load '.*tokenizer.json': .*{message}"):
        load_tokenizer(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(ModelFileError, match=r"cannot load '.*none.json': No such file"):
        load_tokenizer(tmp_path / "none.json")
