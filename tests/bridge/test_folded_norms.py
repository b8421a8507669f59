"""Normalising layers over p·n·n features, with the same function."""

import equinox as eqx
import pytest

from matrinox import nn
from matrinox.bridge import to_equinox


def test_norms_of_a_place_are_of_its_features(assert_folded, draw, drawn):
    assert_folded(drawn(lambda: nn.LayerNorm(p=3, n=2, eps=0.1)), draw(2, 3, 2, 2))
    assert_folded(drawn(lambda: nn.RMSNorm(p=3, n=2, use_bias=False)), draw(2, 4, 3, 2, 2), axes=1)


def test_norms_over_space_are_of_groups_of_features(assert_folded, draw, drawn):
    x = draw(2, 3, 4, 2, 2)
    assert_folded(drawn(lambda: nn.GroupNorm(groups=2, p=4, n=2, axes=1)), x, axes=1)
    assert_folded(drawn(lambda: nn.InstanceNorm(p=4, n=2, axes=1, use_bias=False)), x, axes=1)
    assert_folded(nn.GroupNorm(groups=2, p=4, n=2, use_weight=False, use_bias=False), x[:, 0])


def test_each_is_of_its_own_kind_and_statistics_of_other_axes_are_refused():
    assert type(to_equinox(nn.LayerNorm(p=1, n=2))) is eqx.nn.LayerNorm
    assert type(to_equinox(nn.InstanceNorm(p=1, n=2, axes=0))) is eqx.nn.GroupNorm
    with pytest.raises(
        ValueError, match=r"its statistics run over 2 space axes, and those of eqx\.nn\.GroupNorm over all"
    ):
        to_equinox(nn.GroupNorm(groups=1, p=1, n=2, axes=2))
