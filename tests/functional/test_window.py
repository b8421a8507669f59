import math

import jax
import jax.numpy as jnp
import pytest

from matrinox.contract import ContractError
from matrinox.functional import matrix_conv2d
from matrinox.functional.window import down2, pad_pairs, per_axis, require_fit, spread_size
from matrinox.params import MatrixParams


def test_one_size_holds_for_every_axis():
    assert per_axis("stride", 2, 3) == (2, 2, 2)
    assert per_axis("stride", (1, 2), 2) == (1, 2)
    assert per_axis("output_padding", 0, 2, least=0) == (0, 0)


def test_entries_in_between_are_counted_but_none_behind_the_last():
    assert [spread_size(size, 3) for size in (0, 1, 2, 4)] == [0, 1, 4, 10]


@pytest.mark.parametrize(
    ("padding", "pairs"),
    [
        ("VALID", ((0, 0), (0, 0))),
        ("SAME", ((1, 1), (1, 2))),
        (2, ((2, 2), (2, 2))),
        ((1, 0), ((1, 1), (0, 0))),
        (((1, 2), 3), ((1, 2), (3, 3))),
    ],
)
def test_padding_becomes_a_pair_for_each_axis(padding, pairs):
    assert pad_pairs(padding, (3, 4)) == pairs


@pytest.mark.parametrize("extent", range(1, 8))
def test_same_padding_keeps_the_length_and_puts_the_odd_one_after(extent):
    ((before, after),) = pad_pairs("SAME", (extent,))
    assert before + after == extent - 1
    assert after - before in (0, 1)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ((1, 2), r"`stride` \(=\(1, 2\)\) must have 1 size: give an int, or one size for each axis"),
        (0, r"`stride` \(=0\) must be at least 1: choose a positive size"),
        ((-1,), r"`stride` \(=\(-1,\)\) must be at least 1"),
    ],
)
def test_sizes_are_refused(value, message):
    with pytest.raises(ValueError, match=message):
        per_axis("stride", value, 1)


def test_sizes_that_may_be_zero_are_not_below_it():
    with pytest.raises(ValueError, match=r"`output_padding` \(=-1\) must be at least 0: choose 0 for none"):
        per_axis("output_padding", -1, 2, least=0)


@pytest.mark.parametrize(
    ("padding", "message"),
    [
        ("SMAE", r"`padding` \(='SMAE'\) must be 'SAME', .*, an int or pairs of ints: did you mean 'SAME'\?"),
        ("valid", "did you mean 'VALID'"),
        ("FULL", r"an int or pairs of ints\.$"),
        ((1, 2, 3), r"`padding` \(=\(1, 2, 3\)\) must have 2 entries: give \(\(1, 1\), \(1, 1\)\)"),
        (-1, r"`padding` \(=-1\) must not be negative: cut the array instead"),
        (((0, -1), 0), "must not be negative"),
    ],
)
def test_paddings_are_refused(padding, message):
    with pytest.raises(ValueError, match=message):
        pad_pairs(padding, (3, 4))


def test_a_window_that_fits_nowhere_is_refused():
    require_fit("window", (3, 3), (3, 1), ((0, 0), (1, 1)))
    with pytest.raises(ValueError, match=r"`window` spans 3 along w, which is 1 long \(padded: 2\): choose a smaller"):
        require_fit("window", (3, 3), (3, 1), ((0, 0), (1, 0)))


@pytest.mark.parametrize(("kernel", "padding"), [(3, 1), (1, 0)])
def test_down2_is_what_a_convolution_of_stride_2_leaves(kernel, padding):
    params = MatrixParams(jnp.ones((1, 1, kernel, kernel, 1, 1)))
    for height, width in [*zip(range(1, 40), range(40, 1, -1), strict=True), (224, 225)]:
        x = jax.ShapeDtypeStruct((height, width, 1, 1, 1), jnp.float32)
        y = jax.eval_shape(lambda x: matrix_conv2d(params, x, stride=2, padding=padding), x)
        assert y.shape[:2] == down2((height, width)) == (math.ceil(height / 2), math.ceil(width / 2))
        assert down2(height) == y.shape[0]


@pytest.mark.parametrize("size", [0, (4, -1)])
def test_down2_refuses_a_size_below_1(size):
    with pytest.raises(ValueError, match=r"`size` \(=.*\) must be at least 1: choose a positive size"):
        down2(size)


def test_down2_refuses_what_is_no_size():
    with pytest.raises(ContractError, match=r"down2 got size as 3\.0 \(float\)"):
        down2(3.0)
