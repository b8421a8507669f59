import pytest

from matrinox.functional.axis import from_the_end


def test_one_axis_or_several_come_as_a_tuple():
    assert from_the_end(-1) == (-1,)
    assert from_the_end((-3, -1), rank=3) == (-3, -1)
    assert from_the_end((), rank=3) == ()


def test_the_message_names_the_argument():
    with pytest.raises(ValueError, match=r"`shared` \(=1\) must be below 0"):
        from_the_end(1, name="shared")


@pytest.mark.parametrize(
    ("axis", "rank", "message"),
    [
        (0, None, r"`axis` \(=0\) must be below 0: count from the end, as leading axes are batch\."),
        ((-1, 2), None, r"`axis` \(=\(-1, 2\)\) must be below 0"),
        ((-1, -2, -1), None, r"`axis` \(=\(-1, -2, -1\)\) must name each axis once: leave out what is there twice\."),
        (-4, 3, r"`axis` \(=-4\) must be of the 3 axes of x: choose from -3 to -1\."),
    ],
)
def test_axes_that_are_not_there_are_refused(axis, rank, message):
    with pytest.raises(ValueError, match=message):
        from_the_end(axis, rank)
