"""What entries are trained, chosen and tested on."""

import os
from pathlib import Path

import numpy as np
import pytest

from matrinox.data import load_builtin, load_splits, load_text
from matrinox.zoo import BuiltIn, Characters, Words, Xor


def test_a_builtin_set_is_split_alike_for_every_seed_unless_by_seed():
    fixed, by_seed = BuiltIn("wine"), BuiltIn("wine", by_seed=True)
    due = [load_splits("wine", seed=seed).fingerprint() for seed in (0, 1)]
    for data, seeds in ((fixed, (0, 0)), (by_seed, (0, 1))):
        for seed, number in enumerate(seeds):
            parts, whole = data.splits(seed), load_splits("wine", seed=number)
            assert [part.fingerprint() for part in parts] == [
                part.fingerprint() for part in (whole.train, whole.validation, whole.test)
            ]
    assert due[0] != due[1]
    assert "the same split for every seed" in fixed.split
    assert "another split for each seed" in by_seed.split
    assert sum(map(len, fixed.splits(0))) == len(load_builtin("wine"))


def test_the_text_is_nanogpts_and_its_windows_share_no_character():
    if not Path(os.environ.get("MATRINOX_DATA", ""), "tinyshakespeare.txt.gz").is_file():
        pytest.skip("tinyshakespeare.txt.gz is not in the folder that MATRINOX_DATA names")
    data = Characters("tinyshakespeare", length=100)
    parts, text = data.splits(0), load_text("tinyshakespeare")
    train, validation, test = (np.asarray(part.tokens) for part in parts)
    assert data.tokenizer.decode(test) == text[int(0.9 * len(text)) :]
    assert data.tokenizer.decode(np.concatenate([train, validation])) == text[: int(0.9 * len(text))]
    assert data.tokenizer.alphabet == "".join(sorted(set(text)))
    rows = np.arange(len(parts.test))
    inputs, targets = parts.test.gather(rows)
    assert np.array_equal(np.asarray(targets).ravel(), test[1 : 1 + targets.size])
    assert inputs.shape == (1115, 100)
    assert parts.train.gather(np.array([1]))[0][0, 0] == train[1]


def test_a_text_of_unknown_characters_is_refused():
    with pytest.raises(ValueError, match=r"`name` \(='hamlet'\) must be a text whose .* known here: tinyshakespeare"):
        Characters("hamlet", length=100).splits(0)


def test_the_parts_of_the_xor_share_no_example_and_are_the_same_for_every_seed():
    parts, again = (Xor("xor-tokens").splits(seed) for seed in (0, 1))
    assert [len(part) for part in parts] == [262144, 10000, 100000]
    assert [part.fingerprint() for part in parts] == [part.fingerprint() for part in again]
    inputs = [np.asarray(part.gather(np.arange(500))[0]) for part in parts]
    assert len(np.unique(np.concatenate(inputs).reshape(1500, -1), axis=0)) == 1500
    assert {part.bayes_rate for part in parts} == {0.65}


def test_words_are_short_to_train_on_and_long_to_be_tested_on_and_the_same_for_every_seed():
    data = Words("S3", length=4, validated=7, tested=9)
    parts = data.splits(0)
    assert [part.length for part in parts] == [4, 7, 9]
    assert len({part.seed for part in parts}) == 3
    assert [part.fingerprint() for part in parts] == [part.fingerprint() for part in data.splits(1)]
    said = [f"{len(part)} {of}" for part, of in zip(parts, ("words of 4", "of 7", "of 9"), strict=True)]
    assert all(words in data.split for words in said)
