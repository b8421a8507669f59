"""The nearest known name to a misspelt one, for messages that ask "did you mean …?"."""

import difflib
from collections.abc import Iterable


def nearest(word: object, known: Iterable[str]) -> str:
    """The name among `known`, which must not be empty, that is most like `word`; upper and lower case are alike."""
    by_letters = {name.lower(): name for name in known}
    (match,) = difflib.get_close_matches(str(word).lower(), by_letters, n=1, cutoff=0.0)
    return by_letters[match]
