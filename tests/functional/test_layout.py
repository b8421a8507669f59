import numpy as np
import pytest

from matrinox.functional.layout import axes_given, axes_taken, from_channel_last, layouts_of, to_channel_last


@pytest.mark.parametrize(
    ("layout", "axes", "letters"),
    [
        ("channel_last", 1, ("t p n n", "t q n n")),
        ("channel_first", 3, ("p d h w n n", "q d h w n n")),
        ("p n n h w", 2, ("p n n h w", "q n n h w")),
        (" n h  p w n ", 2, ("n h p w n", "n h q w n")),
        (("channel_first", "channel_last"), 2, ("p h w n n", "h w q n n")),
        (("w h p n n", "q n n w h"), 2, ("w h p n n", "q n n w h")),
    ],
)
def test_a_layout_is_spelt_in_axis_letters_with_p_taken_and_q_given(layout, axes, letters):
    assert layouts_of(layout, axes) == letters


@pytest.mark.parametrize(
    ("layout", "message"),
    [
        ("chanel_first", r"`layout` \(='chanel_first'\) must be 'channel_last', .*: did you mean 'channel_first'\?"),
        ("NCHW", r"axis letters such as 'h w p n n'\.$"),
        ("hwpnn", r"must be .* or axis letters such as 'h w p n n'"),
        ("h w p n", r"`layout` \(='h w p n'\) must name each of h, w, p once and n twice: reorder 'h w p n n'"),
        ("h h p n n", "must name each of h, w, p once and n twice"),
        ("t p n n", "must name each of h, w, p once"),
        ("h w q n n", "must name each of h, w, p once"),
        (
            ("h w p n n", "p h w n n"),
            r"`layout\[1\]` \(='p h w n n'\) must name each of h, w, q once .*: reorder 'h w q n",
        ),
        (("chanel_last", "channel_last"), r"`layout\[0\]` \(='chanel_last'\) must be .* did you mean 'channel_last'"),
    ],
)
def test_a_layout_that_does_not_name_each_axis_is_refused(layout, message):
    with pytest.raises(ValueError, match=message):
        layouts_of(layout, 2)


def test_annotations_follow_the_layout():
    assert axes_taken(2, "channel_last", 3, 4) == "h w p=3 n=4 n=4"
    assert axes_taken(1, "p n n t", 3, 4, 2) == "examples p=3 n=4 n=4 t"
    assert axes_given(2, "channel_first", 5, 4) == "q=5 _h_out _w_out n=4 n=4"
    assert axes_given(1, ("channel_first", "n q t n"), 5, 4, 2) == "examples//2 n=4 q=5 _t_out n=4"


def test_the_axes_of_a_layout_at_fault_are_free():
    assert axes_taken(1, "p t", 3, 4) == axes_given(1, "channel", 3, 4) == "_ _ _ _"


@pytest.mark.parametrize("letters", ["h w p n n", "p h w n n", "n p w n h", "w n h n p"])
def test_axes_find_their_places_and_back(letters):
    order = letters.split()
    rows, columns = (place for place, letter in enumerate(order) if letter == "n")
    x = np.arange(2 * 3 * 4 * 5 * 6 * 7).reshape(2, *((3, 4, 5, 6, 7)[place] for place in range(5)))
    expected = np.moveaxis(x, [1 + order.index(letter) for letter in "hwp"] + [1 + rows, 1 + columns], range(1, 6))
    last = to_channel_last(x, letters)
    assert np.array_equal(last, expected)
    assert np.array_equal(from_channel_last(last, letters), x)
