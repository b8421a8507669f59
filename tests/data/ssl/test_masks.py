"""Masks."""

import jax
import numpy as np
import pytest

from matrinox.data import (
    BlockMask,
    PeriodicMask,
    PrefixMask,
    RandomMask,
    block_mask,
    periodic_mask,
    prefix_mask,
    random_mask,
)

KEY = jax.random.key(0)
# One program each, in place of one for every operation.
draw_random = jax.jit(random_mask, static_argnums=(1, 2), static_argnames=("share",))
draw_block = jax.jit(block_mask, static_argnums=(1, 2), static_argnames=("block",))


def test_a_random_mask_hides_as_many_places_in_every_example_and_each_as_often():
    mask = np.asarray(draw_random(KEY, 400, (3, 4), share=0.4))
    assert mask.shape == (400, 3, 4)
    assert set(mask.sum((1, 2))) == {5}
    np.testing.assert_allclose(mask.mean(0), 5 / 12, atol=0.08)
    assert len({row.tobytes() for row in mask}) > 200


def test_a_block_mask_hides_one_block_at_every_place_in_turn():
    mask = np.asarray(draw_block(KEY, 200, (4, 5), block=(2, 3)))
    corners = set()
    for each in mask:
        rows, columns = np.flatnonzero(each.any(1)), np.flatnonzero(each.any(0))
        assert each.sum() == 6
        assert (np.ptp(rows), np.ptp(columns)) == (1, 2)
        corners.add((rows[0], columns[0]))
    assert len(corners) == 9


def test_masks_of_places_in_a_row_worked_out_by_hand():
    row = [[False, False, False, False, True, True]] * 2
    np.testing.assert_array_equal(prefix_mask(2, (6,), share=1 / 3), row)
    np.testing.assert_array_equal(prefix_mask(2, (2, 3), share=1 / 3), np.reshape(row, (2, 2, 3)))
    every_third = [[[False, True, False, False], [True, False, False, True]]]
    np.testing.assert_array_equal(periodic_mask(1, (2, 4), period=3, offset=1), every_third)
    np.testing.assert_array_equal(periodic_mask(1, (2, 4), period=3, offset=7), every_third)


CONFIGS = {
    "random": (RandomMask(0.25), 4, lambda: draw_random(KEY, 6, (4, 4), share=0.25)),
    "block": (BlockMask(0.25), 4, lambda: draw_block(KEY, 6, (4, 4), block=(2, 2))),
    "prefix": (PrefixMask(0.25), 4, lambda: prefix_mask(6, (4, 4), share=0.25)),
    "periodic": (PeriodicMask(5, 1), 3, lambda: periodic_mask(6, (4, 4), period=5, offset=1)),
}


@pytest.mark.parametrize("name", CONFIGS)
def test_a_config_of_a_mask_hides_what_its_function_hides(name):
    config, hidden, function = CONFIGS[name]
    mask = np.asarray(jax.jit(lambda key: config(key, 6, (4, 4)))(KEY))
    np.testing.assert_array_equal(mask, function())
    assert set(mask.sum((1, 2))) == {hidden}


def test_a_share_of_a_block_is_its_root_along_each_axis():
    assert BlockMask(0.25).block((8, 6)) == (4, 3)
    assert BlockMask(0.3).block((10,)) == (3,)
    assert BlockMask(0.01).block((4, 4)) == (1, 1)
    with pytest.raises(ValueError, match=r"`share` \(=0\.99\) hides all of `grid` \(=\(2, 2\)\)"):
        BlockMask(0.99).block((2, 2))


def test_shares_that_are_none_or_hide_no_place_or_all_are_refused():
    for share in (0.0, 1.0, -0.5, float("nan")):
        for make in (RandomMask, BlockMask, PrefixMask, lambda share: random_mask(KEY, 2, (4,), share=share)):
            with pytest.raises(ValueError, match=r"`share` \(=.*\) must be between 0 and 1"):
                make(share)
    for share, hidden in ((0.1, 0), (0.9, 4)):
        for make in (RandomMask(share), PrefixMask(share)):
            with pytest.raises(ValueError, match=rf"hides {hidden} of 4 places, which must be from 1 to 3"):
                make(KEY, 2, (4,))
    with pytest.raises(ValueError, match=r"`RandomMask\.share` is '0\.5', not a number"):
        RandomMask("0.5")  # pyright: ignore[reportArgumentType]


def test_sizes_that_do_not_fit_are_refused():
    for make in (lambda: prefix_mask(0, (4,), share=0.5), lambda: random_mask(KEY, 2, (), share=0.5)):
        with pytest.raises(ValueError, match=r"`batch` \(=.*\) and `grid` \(=.*\) must be at least 1"):
            make()
    for block in ((3,), (5, 1), (0, 1)):
        with pytest.raises(ValueError, match=r"`block` \(=.*\) must fit into `grid` \(=\(4, 4\)\)"):
            block_mask(KEY, 2, (4, 4), block=block)
    for make in (lambda: PeriodicMask(1), lambda: periodic_mask(2, (4,), period=3, offset=-1)):
        with pytest.raises(ValueError, match=r"`period` \(=.\) must be at least 2 and `offset` \(=-?.\) at least 0"):
            make()
    with pytest.raises(ValueError, match=r"`offset` \(=5\) must be a place below 4 modulo `period` \(=8\)"):
        periodic_mask(2, (4,), period=8, offset=5)
