from types import SimpleNamespace

import numpy as np
import pytest
from jax import Array
from jaxtyping import Float, Int

from matrinox.contract import AnyArray
from matrinox.contract.axes import align, array_annotations, bind, first_difference, read_axes


class Owner:
    p = 2
    kernel = (3, 3)


def test_read_axes_fills_in_what_is_known_and_leaves_the_rest_free():
    axes = read_axes("*batch {self.p} n=4 m 2*{self.p} 7 _ ...".removesuffix(" ..."), {"self": Owner}, {"m": 5})
    assert [str(axis) for axis in axes] == ["*batch", "p=2", "n=4", "m=5", "2*p=4", "7", "_"]


def test_read_axes_reads_the_axes_that_a_token_stands_for():
    layer = SimpleNamespace(taken="h w p=2")
    assert [str(axis) for axis in read_axes("*batch {self.taken} n", {"self": layer}, {})] == [
        *("*batch", "h", "w", "p=2", "n")
    ]


def test_read_axes_leaves_an_expression_it_cannot_evaluate_free():
    assert str(read_axes("{self.missing}", {"self": Owner}, {})[0]) == "missing"
    assert str(read_axes("p*n", {}, {"p": 2})[0]) == "p*n"
    assert str(read_axes("p*n", {}, {"p": 2, "n": 3})[0]) == "p*n=6"


@pytest.mark.parametrize(
    ("dims", "shape", "fact"),
    [
        ("*batch p=2 n=4 n=4", (7, 2, 4, 4), None),
        ("*batch p=2 n=4 n=4", (2, 4, 5), "axis -1 is 5, n is 4"),
        ("*batch p=2 n=4 n=4", (4, 4), "it has 2 axes, at least 3 are due"),
        ("p n n", (2, 3, 3), None),
        ("p n n", (2, 3, 4), "axis 2 is 4, n is 3"),
        ("p n n", (1, 2, 3, 3), "it has 4 axes, 3 are due"),
        ("n n", (3,), "it has 1 axis, 2 are due"),
        ("h 3", (5, 4), "axis 1 is 4, not 3"),
        ("#p n", (1, 3), None),
        ("_ _", (1, 3), None),
        ("q p *kernel n n", (3, 2, 5, 5, 4, 4), None),
        ("q p *kernel n n", (3, 2, 5, 4, 3), "axis -1 is 3, n is 4"),
    ],
)
def test_first_difference_names_the_first_axis_that_departs(dims, shape, fact):
    assert first_difference(read_axes(dims, {}, {}), shape) == fact


def test_a_bound_variadic_axis_is_compared_as_a_whole():
    axes = read_axes("*batch n", {}, {"batch": (2, 3)})
    assert first_difference(axes, (2, 3, 9)) is None
    assert first_difference(axes, (2, 4, 9)) == "the axes of *batch are (2, 4), *batch is (2, 3)"


def test_a_broadcastable_axis_may_be_one_but_nothing_else():
    axes = read_axes("#p", {}, {"p": 3})
    assert first_difference(axes, (1,)) is None
    assert first_difference(axes, (2,)) == "axis 0 is 2, p is 3"


def test_align_counts_from_the_end_behind_a_variadic_axis():
    axes = read_axes("q *kernel n n", {}, {})
    assert [place for _, place in align(axes, 5)] == [0, -2, -1, slice(1, 3)]


def test_bind_adds_the_sizes_of_a_fitting_shape():
    bindings = {"p": 2}
    bind(read_axes("*batch p n n 7 _", {}, bindings), (5, 6, 2, 3, 3, 7, 1), bindings)
    assert bindings == {"p": 2, "n": 3, "batch": (5, 6)}


def test_array_annotations_are_the_arrays_that_a_union_offers():
    dims = [annotation.dim_str for annotation in array_annotations(Float[AnyArray, "n"] | Int[Array, "m"] | None)]
    assert dims == ["n", "n", "m"]
    assert array_annotations(int) == ()
    assert array_annotations(np.ndarray) == ()
