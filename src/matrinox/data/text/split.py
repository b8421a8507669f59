"""`split_text`: the first part of a text to train on, and the rest to validate on."""

from typing import TypeVar

import numpy as np

_Text = TypeVar("_Text", str, np.ndarray)


def split_text(text: _Text, *, validation: float = 0.1) -> tuple[_Text, _Text]:
    """A text, or its tokens, in two parts, in order: what is validated on comes behind all that is trained on.

    Windows cut out of one of the two share no token with those of the other.

    **Arguments:** `text`: a str, or ids `(tokens,)`; `validation`: the share of the second part, between 0 and 1.
    **Returns:** the part to train on and the part to validate on, whose length is rounded.
    **Raises:** `ValueError` for a share out of range, and where a part would be empty.
    """
    if not 0 < validation < 1:
        raise ValueError(f"`validation` (={validation}) must be between 0 and 1: choose a share such as 0.1.")
    cut = len(text) - round(validation * len(text))
    if not 0 < cut < len(text):
        raise ValueError(
            f"`text` of length {len(text)} has no two parts at a share of `validation` (={validation}): give more text."
        )
    return text[:cut], text[cut:]
