import numpy as np
import pytest

from matrinox.data.text import split_text


def test_the_parts_are_the_text_in_order():
    train, validation = split_text("to be or not to be", validation=0.25)
    assert (train, validation) == ("to be or not t", "o be")
    assert train + validation == "to be or not to be"
    assert len(validation) == round(0.25 * 18)


def test_tokens_are_split_as_their_text():
    train, validation = split_text(np.arange(100))
    np.testing.assert_array_equal(train, np.arange(90))
    np.testing.assert_array_equal(validation, np.arange(90, 100))


def test_shares_out_of_range_and_too_short_texts_are_refused():
    for share in (0.0, 1.0, -0.1, float("nan")):
        with pytest.raises(ValueError, match=r"`validation` \(=.*\) must be between 0 and 1: choose a share"):
            split_text("abc", validation=share)
    with pytest.raises(ValueError, match=r"`text` of length 3 has no two parts at a share of `validation` \(=0.1\)"):
        split_text("abc")
