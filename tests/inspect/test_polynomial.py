import itertools
from fractions import Fraction

import pytest

from matrinox.inspect.polynomial import Polynomial, Sample, evaluated, fitted


def on_grid(function, names, points):
    return fitted(names, points, {sizes: function(*sizes) for sizes in itertools.product(points, repeat=len(names))})


def test_a_polynomial_is_found_from_its_values():
    found = on_grid(lambda t: 3 * t * t - 5 * t + 7, ("t",), (1, 2, 3))
    assert found == Polynomial((((("t", 2),), Fraction(3)), ((("t", 1),), Fraction(-5)), ((), Fraction(7))))
    assert str(found) == "3·t^2 - 5·t + 7"
    assert found.at({"t": 100}) == 29507


def test_a_polynomial_of_two_names_with_fractions_is_found():
    found = on_grid(lambda b, t: b * t * t // 2 + b - t // 2, ("b", "t"), (2, 4, 6))
    assert str(found) == "b·t^2/2 + b - t/2"
    assert found.at({"b": 3, "t": 8}) == 95


def test_a_constant_is_a_number():
    assert on_grid(lambda t: 4000, ("t",), (1, 2, 3)) == 4000


def test_factors_of_one_are_left_out_and_thousands_are_set_apart():
    assert str(on_grid(lambda t: 1000 * t**2 - t, ("t",), (1, 2, 3))) == "1,000·t^2 - t"
    assert str(on_grid(lambda t: 1 - t, ("t",), (1, 2, 3))) == "-t + 1"


def test_a_sample_is_known_at_its_sizes_alone():
    sample = Sample(12345, (("t", 8),))
    assert (str(sample), evaluated(sample, {"t": 8, "b": 1}), evaluated(7, {})) == ("12,345 at t=8", 12345, 7)
    with pytest.raises(
        ValueError, match=r"`sizes` \(=\{'t': 9\}\) must be \{'t': 8\} for a cost that is no polynomial: "
    ):
        sample.at({"t": 9})
