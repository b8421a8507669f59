"""Word problems of finite groups."""

import functools
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import GroupWords, group_table

GENERATORS = ("(1 2)", "(1 2 3 4 5)")


def products(group: str, word: list[int]) -> list[int]:
    """The products after each element, x_t · … · x_1, one by one."""
    table = group_table(group).table.tolist()
    return list(itertools.accumulate(word, lambda product, element: table[element][product]))


@pytest.mark.parametrize("group", ["S3", "A5", "S5", "Z60"])
def test_targets_are_the_products_of_the_prefixes_the_later_on_the_left(group):
    words = GroupWords(group, length=9, examples=20)
    inputs, targets = words.gather(jnp.arange(20))
    assert inputs.shape == targets.shape == (20, 9)
    assert inputs.dtype == targets.dtype == jnp.int32
    assert targets.tolist() == [products(group, word) for word in inputs.tolist()]


def test_products_are_permutations_done_one_after_the_other():
    # By hand: first (1 2), then (2 3) takes 1 to 2 to 3, 2 to 1, and 3 to 2; done twice, 1 to 2, 2 to 3, and 3 to 1.
    group = group_table("S3")
    words = GroupWords("S3", length=4, examples=200, tokens=("(1 2)", "(2 3)"))
    inputs, targets = words.gather(jnp.arange(200))
    row = inputs.tolist().index([0, 1, 0, 1])
    assert [group.elements[number] for number in targets[row].tolist()] == ["(1 2)", "(1 3 2)", "(1 3)", "(1 2 3)"]


def test_the_sums_of_z60_are_running_sums():
    inputs, targets = GroupWords("Z60", length=16, examples=8, seed=3).gather(jnp.arange(8))
    assert np.array_equal(targets, np.cumsum(inputs, axis=1) % 60)


def test_tokens_are_the_generators_given_in_their_order():
    words = GroupWords("S5", length=12, examples=10, tokens=GENERATORS)
    inputs, targets = words.gather(jnp.arange(10))
    assert (words.vocabulary, words.classes) == (2, 120)
    assert set(np.unique(inputs)) == {0, 1}
    numbers = [group_table("S5").number(token) for token in GENERATORS]
    assert targets.tolist() == [products("S5", [numbers[id] for id in word]) for word in inputs.tolist()]


def test_the_last_target_is_the_product_of_the_word():
    make = functools.partial(GroupWords, "A5", length=9, examples=20, min_length=4)
    (inputs, prefixes), (again, last) = (make(targets=what).gather(jnp.arange(20)) for what in ("prefixes", "last"))
    assert jnp.array_equal(inputs, again)
    assert last.shape == (20,)
    assert jnp.array_equal(last, prefixes[:, -1])


def test_a_word_depends_on_the_seed_and_its_number_alone():
    words = GroupWords("A5", length=9, examples=1000, seed=7)
    rows = jnp.array([999, 0, 3, 3])
    inputs, targets = words.gather(rows)
    compiled = jax.jit(lambda words, rows: words.gather(rows))(words, rows)
    assert jnp.array_equal(compiled[0], inputs)
    assert jnp.array_equal(compiled[1], targets)
    assert jnp.array_equal(inputs[2], inputs[3])
    assert jnp.array_equal(GroupWords("A5", length=9, examples=5, seed=7).gather(rows)[0], inputs)
    assert not jnp.array_equal(GroupWords("A5", length=9, examples=1000, seed=8).gather(rows)[0], inputs)
    assert len(np.unique(words.gather(jnp.arange(1000))[0], axis=0)) == 1000


def test_words_of_seed_0_are_frozen(x64):
    # In 64-bit mode too.
    words = GroupWords("S3", length=8, min_length=2, examples=3)
    assert words.gather(jnp.arange(3))[0].tolist() == [
        [2, 3, 0, 6, 6, 6, 6, 6],
        [4, 4, 2, 5, 6, 6, 6, 6],
        [0, 5, 0, 4, 0, 1, 3, 3],
    ]


def test_tokens_are_drawn_alike():
    inputs, targets = GroupWords("S3", length=50, examples=400).gather(jnp.arange(400))
    for ids in (inputs, targets):
        # 20,000 draws of 6: four standard deviations are 211.
        assert np.abs(np.bincount(np.ravel(ids), minlength=6) - 20000 / 6).max() < 211


def test_shorter_words_are_padded_at_their_end_and_keep_their_product():
    words = GroupWords("A5", length=8, min_length=3, examples=600)
    inputs, targets = (np.asarray(part) for part in words.gather(jnp.arange(600)))
    assert (words.padding, words.vocabulary) == (60, 61)
    lengths = (inputs != words.padding).sum(axis=1)
    for word, products_, length in zip(inputs.tolist(), targets.tolist(), lengths.tolist(), strict=True):
        assert words.padding not in word[:length]
        assert products_ == products("A5", word[:length]) + [products_[length - 1]] * (8 - length)
    # 600 draws of 6 lengths: four standard deviations are 37.
    counts = np.bincount(lengths, minlength=9)
    assert counts[:3].tolist() == [0, 0, 0]
    assert np.abs(counts[3:] - 100).max() < 37


def test_words_of_one_length_have_no_padding():
    words = GroupWords("S3", length=5, examples=2)
    assert words.vocabulary == 6
    assert len(words) == 2
    assert words.name == "S3-words"


def test_the_fingerprint_is_that_of_the_settings():
    settings = {"length": 5, "examples": 2, "seed": 0, "tokens": GENERATORS, "min_length": 5, "targets": "prefixes"}
    others = {"length": 6, "examples": 3, "seed": 1, "tokens": GENERATORS[::-1], "min_length": 4, "targets": "last"}
    one = GroupWords("S5", **settings).fingerprint()
    assert GroupWords("S5", **settings).fingerprint() == one
    changed = [GroupWords("S5", **settings | {name: other}).fingerprint() for name, other in others.items()]
    assert len({one, *changed}) == 7


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"group": "S4"}, r"`name` \(='S4'\) must be one of S3, A5"),
        ({"length": 0}, r"`length` \(=0\) must be 1 or more"),
        ({"examples": 0}, r"`examples` \(=0\) must be 1 or more"),
        ({"min_length": 6}, r"`min_length` \(=6\) must be from 1 to `length` \(=5\)"),
        ({"min_length": 0}, r"`min_length` \(=0\) must be from 1 to `length` \(=5\)"),
        ({"seed": -1}, r"`seed` \(=-1\) must be"),
        ({"tokens": ()}, r"`tokens` \(=\(\)\) must be elements of S5, at least one"),
        ({"tokens": ("(1 2)", "(1 2)")}, r"`tokens` .* each once"),
        ({"tokens": ("(1 7)",)}, r"`element` \(='\(1 7\)'\) must be one of the 120 elements of S5"),
    ],
    ids=["group", "length", "examples", "long", "short", "seed", "none", "twice", "unknown"],
)
def test_settings_out_of_range_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        GroupWords(**{"group": "S5", "length": 5, "examples": 2} | changed)


def test_settings_of_another_type_are_refused():
    with pytest.raises(ContractError, match="targets"):
        GroupWords("S5", length=5, examples=2, targets="suffixes")  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match=r"rows"):
        GroupWords("S5", length=5, examples=2).gather(jnp.zeros((2, 2), int))
