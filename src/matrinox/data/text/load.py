"""`load_tokenizer`: the tokenizer that a file holds."""

import os
from typing import Any

from matrinox.contract.nearest import guess
from matrinox.data.text.bpe_tokenizer import BPETokenizer
from matrinox.data.text.byte_tokenizer import ByteTokenizer
from matrinox.data.text.char_tokenizer import CharTokenizer
from matrinox.data.text.tokenizer import Tokenizer
from matrinox.data.text.tokenizer_file import read_tokenizer_file
from matrinox.io.config import decode_config
from matrinox.io.errors import ModelFileError, show
from matrinox.io.files import one_error

_KINDS: dict[str, Any] = {cls.kind: cls for cls in (BPETokenizer, ByteTokenizer, CharTokenizer)}
# The values of a tokenizer are texts and choices: no integer among them is large.
_LARGEST = 2**16


def load_tokenizer(path: str | os.PathLike[str]) -> Tokenizer:
    """The tokenizer that `save` wrote. Everything is checked before anything is built.

    **Arguments:** `path`: the file.
    **Returns:** a tokenizer that equals the one saved.
    **Raises:** `ModelFileError` if the file cannot be read, is damaged, or is another file; `ImportError`, naming the
    extra to install, for a `BPETokenizer` without `tokenizers`.
    """
    with one_error(f"cannot load {os.fspath(path)!r}"):
        kind, holds = read_tokenizer_file(path)
        if kind not in _KINDS:
            raise ModelFileError(
                f"it holds a tokenizer of the kind {show(kind)}, not one of {', '.join(_KINDS)}{guess(kind, _KINDS)}"
            )
        return decode_config(_KINDS[kind], holds, largest=_LARGEST)
