"""Accuracy against length."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import io, zoo
from matrinox.data.groups import group_table
from matrinox.zoo import RNN, lengths

TABLE = jnp.asarray(group_table("A5").table)
KEY = jax.random.key(0)


def forgetful(tokens):
    """Every product up to the fourth token, and then that of no token."""
    products = [tokens[:, 0]]
    for step in range(1, 4):
        products.append(TABLE[tokens[:, step], products[-1]])
    rest = [0 * tokens[:, 0]] * (tokens.shape[1] - 4)
    return jax.nn.one_hot(jnp.stack([*products, *rest], axis=1), 60)


def test_accuracy_is_that_of_the_product_of_the_first_tokens():
    found = lengths.accuracy_by_length(forgetful, (1, 4, 5, 30), words=120)
    assert (found[1], found[4]) == (1, 1)
    assert found[5] < 0.1
    assert found[30] < 0.1


@pytest.mark.parametrize("wrong", [(), (0,), (4, 2001)])
def test_lengths_that_no_word_has_are_refused(wrong):
    with pytest.raises(ValueError, match=r"`lengths` \(=\(.*\)\) must be from 1 to 2000: name one at least"):
        lengths.accuracy_by_length(forgetful, wrong, words=2)


@pytest.fixture(scope="module")
def rivals():
    return lengths.rivals()


def test_rivals_have_the_parameters_of_the_entry_longer_words_and_no_matrices(rivals):
    row = zoo.entry(lengths.NAME)
    for rival in rivals.values():
        assert rival.parameters == pytest.approx(row.parameters, rel=0.05)
        assert rival.data == dataclasses.replace(row.data, length=32)
        assert rival.data.length > row.data.length
        assert rival.seeds == row.seeds
        assert rival.config.n == 1


def test_what_is_published_is_read_again_and_drawn(tmp_path, rivals):
    names = [lengths.NAME, *rivals]
    model = RNN(dataclasses.replace(rivals["gru-a5"].config, embedding=1, widths=(1,)), key=KEY)
    for size, name in enumerate(names, start=1):
        (tmp_path / name).mkdir()
        io.save(tmp_path / name / "model.safetensors", jax.tree.map(lambda leaf, size=size: size * leaf, model))
    runs = {name: [tmp_path / name] * 2 for name in names}
    lengths.publish_lengths(runs, folder=tmp_path, lengths=(1, 3), words=40)
    measured = lengths.read_lengths(tmp_path)
    last = io.load(tmp_path / names[-1] / "model.safetensors", RNN)
    due = lengths.accuracy_by_length(last, (1, 3), words=40)
    assert measured[names[-1]] == {length: [share] * 2 for length, share in due.items()}
    assert (tmp_path / "lengths.png").read_bytes().startswith(b"\x89PNG")
    lines = lengths.draw_lengths(measured).axes[0].get_lines()
    assert np.asarray(lines[0].get_ydata()) == pytest.approx([100 * each[0] for each in measured[names[0]].values()])


def test_the_shipped_figures_are_of_all_seeds_and_the_shipped_models_row_is_measured_again(rivals):
    measured = lengths.read_lengths()
    row, card = zoo.entry(lengths.NAME), zoo.card(lengths.NAME)
    assert measured.keys() == {row.name, *rivals}
    assert {len(seeds) for each in measured.values() for seeds in each.values()} == {len(row.seeds)}
    assert tuple(measured[row.name]) == lengths.LENGTHS
    again = lengths.accuracy_by_length(zoo.load(row.name), (32,))[32]
    # A word on the edge may fall to the other side on another machine.
    assert again == pytest.approx(measured[row.name][32][row.seeds.index(card.weights.seed)], abs=0.01)
    assert (row.folder / "lengths.png").is_file()
