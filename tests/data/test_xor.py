"""Tokens whose class is the exclusive or of two signs."""

import hashlib
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.data import XorTokens

ROWS = jnp.arange(4000)


def rule(inputs: jax.Array) -> np.ndarray:
    """The class before the flip, as MATNETS' example writes it."""
    x = np.asarray(inputs, np.float64)
    return np.logical_xor(x[:, :, 0].mean(axis=(1, 2, 3)) > 0, x[:, :, -1].mean(axis=(1, 2, 3)) > 0)


def test_without_flips_the_class_is_the_exclusive_or_of_two_signs():
    inputs, targets = XorTokens(4000, flip=0.0).gather(ROWS)
    assert (inputs.shape, inputs.dtype, targets.dtype) == ((4000, 7, 3, 2, 2), jnp.float32, jnp.int32)
    assert np.array_equal(targets, rule(inputs))


@pytest.mark.parametrize("flip", [0.1, 0.35])
def test_the_bayes_rate_is_what_the_rule_reaches(flip):
    examples = XorTokens(4000, flip=flip, seed=1)
    inputs, targets = examples.gather(ROWS)
    reached = np.mean(rule(inputs) == np.asarray(targets))
    # Four standard deviations.
    assert abs(reached - examples.bayes_rate) <= 4 * np.sqrt(flip * (1 - flip) / 4000)
    assert examples.bayes_rate == 1 - flip


def test_the_bayes_rate_is_that_of_the_best_rule_of_all():
    """Every rule that tells the two signs apart, by the probabilities of sign and class: none is right more often."""
    examples = XorTokens(1, flip=0.35)
    signs = list(itertools.product((0, 1), repeat=2))
    joint = {(s, c): (0.65 if (s[0] ^ s[1]) == c else 0.35) / 4 for s in signs for c in (0, 1)}
    rates = [
        sum(joint[s, c] for s, c in zip(signs, guess, strict=True)) for guess in itertools.product((0, 1), repeat=4)
    ]
    assert max(rates) == pytest.approx(examples.bayes_rate)
    assert sum(rate > 0.64 for rate in rates) == 1


def test_no_sign_by_itself_tells_the_class():
    inputs, targets = XorTokens(4000, flip=0.0).gather(ROWS)
    x = np.asarray(inputs)
    for neuron in range(3):
        agree = np.mean((x[:, :, neuron].mean(axis=(1, 2, 3)) > 0) == np.asarray(targets))
        assert abs(agree - 0.5) < 4 * 0.5 / np.sqrt(4000)
    assert x.mean() == pytest.approx(0, abs=4 / np.sqrt(x.size))
    assert x.std() == pytest.approx(1, abs=4 / np.sqrt(2 * x.size))


def test_an_example_depends_on_the_seed_and_its_number_alone():
    examples, rows = XorTokens(1000, seed=7), jnp.array([999, 0, 3, 3])
    inputs, targets = examples.gather(rows)
    compiled = jax.jit(lambda examples, rows: examples.gather(rows))(examples, rows)
    assert jnp.array_equal(compiled[0], inputs)
    assert jnp.array_equal(compiled[1], targets)
    assert jnp.array_equal(inputs[2], inputs[3])
    assert jnp.array_equal(XorTokens(5, seed=7).gather(rows)[0], inputs)
    assert not jnp.array_equal(XorTokens(1000, seed=8).gather(rows)[0], inputs)
    assert (len(examples), examples.classes, examples.name) == (1000, 2, "xor-tokens")


def test_classes_of_seed_0_are_frozen(x64):
    # In 64-bit mode too.
    assert XorTokens(16).gather(jnp.arange(16))[1].tolist() == [0, 0, 1, 0, 1, 1, 0, 1, 0, 1, 0, 0, 0, 1, 1, 1]


def test_the_fingerprint_is_that_of_the_settings():
    others = {"examples": 3, "tokens": 6, "p": 4, "n": 3, "flip": 0.2, "seed": 1}
    one = XorTokens(2).fingerprint()
    assert XorTokens(2).fingerprint() == one
    assert len({one, *(XorTokens(**{"examples": 2, name: other}).fingerprint() for name, other in others.items())}) == 7
    assert one == hashlib.sha256(b"[1, 2, 7, 3, 2, 0.35, 0]").hexdigest()


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"examples": 0}, r"`examples` \(=0\) must be 1 or more: choose a larger number"),
        ({"tokens": 0}, r"`tokens` \(=0\) must be 1 or more"),
        ({"p": 1}, r"`p` \(=1\) must be 2 or more"),
        ({"n": 0}, r"`n` \(=0\) must be 1 or more"),
        ({"flip": 0.6}, r"`flip` \(=0.6\) must be from 0 to 0.5: beyond, the classes change their names"),
        ({"flip": float("nan")}, r"`flip` \(=nan\) must be from 0 to 0.5"),
        ({"seed": -1}, r"`seed` \(=-1\) must be"),
    ],
)
def test_settings_out_of_range_are_refused(changed, message):
    with pytest.raises(ValueError, match=message):
        XorTokens(**{"examples": 2} | changed)


def test_rows_of_another_kind_are_refused():
    with pytest.raises(ContractError, match="rows"):
        XorTokens(2).gather(jnp.zeros((2, 2), int))
