from fractions import Fraction

import pytest

from matrinox.inspect import Report, Row
from matrinox.inspect.polynomial import Polynomial
from matrinox.inspect.report import sizes_of, with_sizes

T = Polynomial((((("t", 1),), Fraction(1, 2)),))
ROWS = (
    Row("", "Model", ((T, 2),), ((3,),), 5, 20, 1000, None, depth=0),
    Row("layers[0]", "Layer", ((T, 2), (4,)), (), 5, 20, T, 7, depth=1, calls=3),
)
REPORT = Report(ROWS, 5, 20, 1000, None, multiples=(("t", 2),))


def test_a_report_prints_as_a_table():
    assert str(REPORT).splitlines() == [
        "path         type   input          output  calls  parameters  bytes  FLOPs forward  FLOPs backward",
        "model        Model  (t/2, 2)       (3)         1           5     20          1,000               -",
        "  layers[0]  Layer  (t/2, 2), (4)  -           3           5     20            t/2               7",
        "5 parameters, 20 bytes, FLOPs: 1,000 forward, - backward",
        "The formulas hold where t can be divided by 2.",
    ]
    assert REPORT.cells()[1][: REPORT.NUMBERS] == ("  layers[0]", "Layer", "(t/2, 2), (4)", "-")
    assert len(REPORT.HEADER) == len(REPORT.cells()[0])


def test_a_report_in_numbers_has_each_formula_at_the_sizes():
    numbers = REPORT.at(t=8)
    assert numbers.names == ()
    assert (numbers.rows[1].inputs, numbers.rows[1].flops_forward, numbers.rows[1].depth) == (((4, 2), (4,)), 4, 1)
    assert numbers.at() == numbers


def test_a_report_in_numbers_refuses_names_and_sizes_it_has_no_formula_for():
    with pytest.raises(ValueError, match=r"`sizes` \(=\{'b': 2\}\) must be those of t: give each."):
        REPORT.at(b=2)
    with pytest.raises(ValueError, match=r"`t` \(=3\) must be a multiple of 2 for the formulas to hold: give `check`"):
        REPORT.at(t=3)


def test_the_figures_of_a_report_can_be_taken_out_and_put_back():
    numbers = REPORT.at(t=8)
    assert sizes_of(numbers)[:6] == [4, 2, 3, 5, 20, 1000]
    assert with_sizes(numbers, sizes_of(numbers)) == numbers
