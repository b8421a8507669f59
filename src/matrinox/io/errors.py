"""The one error of model files, and how it shows what a file or a caller said."""

import reprlib
from typing import Any

_short = reprlib.Repr()
_short.maxstring = _short.maxother = 80
_short.maxlong = 24
_short.maxlevel = 3


class ModelFileError(ValueError):
    """A model file cannot be written, or cannot be read as what was asked for; nothing was built or overwritten."""


def show(value: Any) -> str:
    """`value` for a message: short however long or deep it is, and on one line even when a hostile file chose it."""
    return _short.repr(value)
