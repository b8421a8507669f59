"""Finite groups: permutations composed in plain Python, the axioms, and what is known of each group."""

import itertools
import math
import re
from collections import Counter

import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import group_table

NAMES = ("S3", "A5", "S5", "Z60")
PERMUTATIONS = {"S3": 3, "A5": 5, "S5": 5}

every_group = pytest.mark.parametrize("name", NAMES)
every_permutation_group = pytest.mark.parametrize("name", PERMUTATIONS)


def as_map(element: str, points: int) -> tuple[int, ...]:
    """Where a permutation, written by its cycles, takes the points 1, 2, …"""
    goes = {point: point for point in range(1, points + 1)}
    for cycle in re.findall(r"\(([\d ]+)\)", element):
        moved = [int(point) for point in cycle.split()]
        goes |= dict(zip(moved, moved[1:] + moved[:1], strict=True))
    return tuple(goes[point] for point in range(1, points + 1))


def is_even(goes: tuple[int, ...]) -> bool:
    """By the determinant of the permutation matrix."""
    return round(np.linalg.det(np.eye(len(goes))[np.array(goes) - 1])) == 1


def power_orders(table: np.ndarray, identity: int) -> Counter[int]:
    """How many elements have each order, the least k with a^k = e."""

    def order(element: int) -> int:
        power, k = element, 1
        while power != identity:
            power, k = table[element, power], k + 1
        return k

    return Counter(map(order, range(len(table))))


def class_sizes(table: np.ndarray) -> list[int]:
    """Sizes of the conjugacy classes {g · a · g⁻¹}, smallest first."""
    inverse = np.argmin(table, axis=1)
    conjugates = {frozenset(table[table[:, a], inverse].tolist()) for a in range(len(table))}
    return sorted(map(len, conjugates))


@every_permutation_group
def test_elements_are_the_permutations_in_the_order_of_a_dictionary(name):
    points = PERMUTATIONS[name]
    due = [goes for goes in itertools.permutations(range(1, points + 1)) if name != "A5" or is_even(goes)]
    assert [as_map(element, points) for element in group_table(name).elements] == due


@every_permutation_group
def test_the_table_composes_permutations_the_right_one_first(name):
    group, points = group_table(name), PERMUTATIONS[name]
    maps = [as_map(element, points) for element in group.elements]
    number = {goes: index for index, goes in enumerate(maps)}
    due = [[number[tuple(a[b[point] - 1] for point in range(points))] for b in maps] for a in maps]
    assert group.table.tolist() == due


def test_the_table_of_z60_adds():
    group = group_table("Z60")
    assert group.elements == tuple(str(number) for number in range(60))
    assert group.table.tolist() == [[(a + b) % 60 for b in range(60)] for a in range(60)]


@every_group
def test_the_axioms_of_a_group_hold(name):
    group = group_table(name)
    numbers, table = np.arange(group.order), group.table
    assert table.shape == (group.order, group.order)
    assert np.array_equal(table[table], table[numbers[:, None, None], table])
    assert np.array_equal(table[group.identity], numbers)
    assert np.array_equal(table[:, group.identity], numbers)
    assert ((table == group.identity).sum(axis=0) == 1).all()
    assert ((table == group.identity).sum(axis=1) == 1).all()
    assert group.identity == 0


@pytest.mark.parametrize(
    ("name", "orders", "classes"),
    [
        ("S3", {1: 1, 2: 3, 3: 2}, [1, 2, 3]),
        ("A5", {1: 1, 2: 15, 3: 20, 5: 24}, [1, 12, 12, 15, 20]),
        ("S5", {1: 1, 2: 25, 3: 20, 4: 30, 5: 24, 6: 20}, [1, 10, 15, 20, 20, 24, 30]),
        (
            "Z60",
            {d: sum(math.gcd(d, k) == 1 for k in range(1, d + 1)) for d in range(1, 61) if 60 % d == 0},
            [1] * 60,
        ),
    ],
    ids=NAMES,
)
def test_orders_of_elements_and_the_class_equation_are_the_known_ones(name, orders, classes):
    group = group_table(name)
    assert power_orders(group.table, group.identity) == orders
    assert class_sizes(group.table) == classes
    assert sum(classes) == group.order


def test_parity_multiplies_and_a5_is_the_even_half_of_s5():
    s5, a5 = group_table("S5"), group_table("A5")
    even = np.array([is_even(as_map(element, 5)) for element in s5.elements])
    assert np.array_equal(even[s5.table], even[:, None] == even)
    half = np.flatnonzero(even)
    assert tuple(s5.elements[number] for number in half) == a5.elements
    assert np.array_equal(s5.table[np.ix_(half, half)], half[a5.table])


def test_elements_are_found_by_name():
    group = group_table("S3")
    assert [group.number(element) for element in group.elements] == list(range(6))
    with pytest.raises(ValueError, match=r"`element` \(='\(2 1\)'\) must be one of the 6 elements of S3: did you mean"):
        group.number("(2 1)")


def test_the_table_cannot_be_written_to():
    with pytest.raises(ValueError, match="read-only"):
        group_table("A5").table[0, 0] = 1


def test_an_unknown_group_names_the_nearest():
    with pytest.raises(ValueError, match=r"`name` \(='A6'\) must be one of S3, A5, S5, Z60: did you mean 'A5'\?"):
        group_table("A6")
    with pytest.raises(ContractError, match=r"name.* 5 .*it takes a str"):
        group_table(5)  # pyright: ignore[reportArgumentType]
