"""The matrices of one weight: the measures it holds, their ranges, and what rounding may hide."""

import numpy as np

from matrinox.inspect import measures
from matrinox.inspect.measured import Measured

RANDOM = np.random.default_rng(0)
MATRICES = RANDOM.normal(size=(3, 2, 3, 3))


def test_measured_holds_what_the_functions_give():
    measured = Measured("w", MATRICES.astype(np.float32))
    for name in ("eigenvalues", "singular_values", *Measured.SCALARS):
        assert np.array_equal(getattr(measured, name), getattr(measures, name)(MATRICES.astype(np.float32)))
    least, middle, most = measured.range("symmetry")
    values = np.sort(measures.symmetry(MATRICES.astype(np.float32)).reshape(-1))
    assert (least, middle, most) == (values[0], (values[2] + values[3]) / 2, values[-1])
    assert repr(measured) == "Measured('w', float32[3, 2, 3, 3])"


def test_equal_columns_and_rank_are_told_up_to_rounding_in_the_dtype_of_the_values():
    nearly = np.full((3, 3), 2.0) + 1e-7 * np.eye(3)
    in_float64, in_float32 = Measured("w", nearly), Measured("w", nearly.astype(np.float32))
    assert [bool(each.has_equal_columns) for each in (in_float64, in_float32)] == [False, True]
    assert [bool(each.is_singular) for each in (in_float64, in_float32)] == [False, True]


def test_a_range_leaves_out_what_is_not_a_number():
    broken = MATRICES.copy()
    broken[1, 0, 2, 2] = np.nan
    measured = Measured("w", broken)
    assert not measured.is_singular.any()
    assert measured.range("determinant")[2] == np.nanmax(measures.determinant(broken))
    assert np.isnan(Measured("w", np.full((1, 2, 2), np.nan)).range("symmetry")).all()
