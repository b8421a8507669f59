"""The nearest known name to a misspelt one, for messages that ask "did you mean …?"."""

import difflib
from collections.abc import Iterable

_NEAR = 0.6
# To compare what a hostile file holds would take long.
_LONGEST_WORD = 200


def nearest(word: object, known: Iterable[str]) -> str:
    """The name among `known`, which must not be empty, that is most like `word`; upper and lower case are alike."""
    by_letters = {name.lower(): name for name in known}
    (match,) = difflib.get_close_matches(str(word).lower(), by_letters, n=1, cutoff=0.0)
    return by_letters[match]


def guess(word: object, known: Iterable[str]) -> str:
    """`: did you mean 'depth'?`, or nothing where no known name is near, or what came is no word.

    Near are names of about the same letters, and those of which the word is the initials, as `lr` for `learning_rate`.
    """
    names = list(known)
    if not names or not isinstance(word, str) or len(word) > _LONGEST_WORD:
        return ""
    initials = {"".join(part[:1] for part in name.lower().split("_")): name for name in names if "_" in name}
    match = initials.get(word.lower()) or nearest(word, names)
    near = word.lower() in initials or difflib.SequenceMatcher(None, word.lower(), match.lower()).ratio() >= _NEAR
    return f": did you mean {match!r}?" if near else ""
