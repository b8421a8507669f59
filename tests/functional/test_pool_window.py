import inspect

import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import functional
from matrinox.functional import avg_pool1d, max_pool1d, max_pool2d
from matrinox.functional.pool_window import Windows, window_sums, windows_of, windows_over

POOLS = ["max_pool", "avg_pool", "sum_pool", "pool", "maxd_pool", "avgd_pool"]


@pytest.mark.parametrize("name", POOLS)
@pytest.mark.parametrize(("axes", "letters"), [(1, "t"), (2, "h, w"), (3, "d, h, w")])
def test_the_help_of_each_pool_explains_each_option_and_its_own_shapes(name, axes, letters):
    pool = getattr(functional, f"{name}{axes}d")
    documentation = inspect.getdoc(pool)
    assert f"`x`: `(*batch, {letters}, p, n, n)`" in documentation
    options = documentation.split("**Arguments:**")[1].split("**Returns:**")[0]
    for option in inspect.signature(pool).parameters:
        assert f"`{option}`" in options
    heads = ["**Arguments:**", "**Returns:**", "**Raises:**", "**Source:**"]
    assert sorted(heads, key=documentation.index) == heads
    assert max(len(line) for line in documentation.splitlines()) <= 120


def test_windows_along_an_axis_by_hand():
    windows = Windows(sizes=(2,), strides=(2,), pairs=((1, 0),), dilations=(3,), spreads=(2,))
    # Padded, with holes: 9 1 9 2 9 3; the window stops at 0 and 2 and meets what is 3 further on.
    first, second = windows.along(jnp.array([1.0, 2.0, 3.0]).reshape(3, 1, 1, 1), 0, 9.0)
    assert first.ravel().tolist() == [9, 9]
    assert second.ravel().tolist() == [2, 3]


def test_sums_take_padding_and_holes_for_zeros():
    windows = windows_of(1, 2, 1, ((1, 0),), 1, 2)
    assert window_sums(np.array([1.0, 2.0]).reshape(2, 1, 1, 1), windows).ravel().tolist() == [1, 1, 2]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dilation": 0}, r"`dilation` \(=0\) must be at least 1"),
        ({"dilation": (1, 1, 1)}, r"`dilation` \(=\(1, 1, 1\)\) must have 2 sizes"),
        ({"input_dilation": (1, 0)}, r"`input_dilation` \(=\(1, 0\)\) must be at least 1"),
        (
            {"dilation": 3, "padding": 4},
            r"`padding` \(=4\) must be shorter than `window` \(=2\), which spans 4, or .* 3",
        ),
        ({"dilation": 4}, r"`window` spans 5 along h, which is 4 long \(padded: 4\): choose a smaller `window`"),
    ],
)
def test_options_without_a_meaning_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        max_pool2d(jnp.ones((4, 4, 1, 2, 2)), window=2, **options)


@pytest.mark.parametrize(
    ("options", "place"),
    [
        ({"window": 1, "input_dilation": 2}, 1),
        ({"window": 2, "input_dilation": 2, "dilation": 2}, 1),
        ({"window": 2, "dilation": 5, "padding": 3}, -2),
        ({"window": 2, "dilation": 5, "padding": 3, "stride": 3}, None),
        ({"window": 2, "dilation": 3, "padding": 3}, None),
    ],
)
def test_a_maximum_of_nothing_is_refused(options, place):
    x, options = jnp.ones((3, 1, 1, 1)), {"stride": 1, **options}
    if place is None:
        assert np.isfinite(max_pool1d(x, **options)).all()
    else:
        with pytest.raises(ValueError, match=rf"must meet an entry of `x` wherever it stops, and at place {place} it"):
            max_pool1d(x, **options)
    assert np.isfinite(avg_pool1d(x, **options)).all()


def test_an_axis_without_places_is_refused_however_it_is_padded():
    with pytest.raises(ValueError, match="must meet an entry of `x`"):
        max_pool1d(jnp.ones((0, 1, 1, 1)), window=3, padding=2)


@pytest.mark.parametrize("name", POOLS)
def test_an_empty_batch_stays_empty(name):
    arguments = {"reduce_fn": jnp.min} if name == "pool" else {}
    y = getattr(functional, f"{name}2d")(jnp.ones((0, 4, 4, 1, 2, 2)), window=2, **arguments)
    assert y.shape == (0, 2, 2, 1, 2, 2)


def test_windows_count_their_extents():
    windows = windows_over((9, 9, 1, 1, 1), 2, (2, 3), None, "SAME", (3, 1), 1)
    assert windows.extents == [4, 3]
    assert windows.strides == (2, 3)
    assert windows.pairs == ((1, 2), (1, 1))
    assert not windows.meet_only_entries
