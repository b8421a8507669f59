"""A `MatrixScan` learns a group from short words, and then follows words of any length."""

import itertools

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from matrinox import nn
from matrinox.functional import squared_distances

# S3: the orders of three things, and the product of any two of them.
ELEMENTS = list(itertools.permutations(range(3)))
PRODUCT = np.array([[ELEMENTS.index(tuple(a[i] for i in b)) for b in ELEMENTS] for a in ELEMENTS])
STEPS, BATCH = 300, 64


def words(seed, count, length):
    """Letters, each an element, and the product of all up to each: `(count, length)` both."""
    letters = np.random.default_rng(seed).integers(0, len(ELEMENTS), (count, length))
    products = np.empty_like(letters)
    product = np.full(count, ELEMENTS.index((0, 1, 2)))
    for t in range(length):
        product = PRODUCT[letters[:, t], product]
        products[:, t] = product
    return letters, products


def neurons(letters):
    """A neuron for each element, I for the letter and 0 for the rest."""
    return jax.nn.one_hot(letters, len(ELEMENTS))[..., None, None] * jnp.eye(3)


def distances(layer, letters):
    return jnp.sum(squared_distances(layer(neurons(letters)), layer.table), axis=-2)


def loss(layer, letters, products, commitment):
    distance = distances(layer, letters)
    right = jnp.take_along_axis(distance, products[..., None], axis=-1)
    return jnp.mean(optax.softmax_cross_entropy_with_integer_labels(-distance, products)) + commitment * jnp.mean(right)


def train(layer, seed):
    """Adam on words of two letters, then of eight; states commit themselves to entries once they are told apart."""
    optimiser = optax.adam(optax.cosine_decay_schedule(0.03, 2 * STEPS))
    arrays, rest = eqx.partition(layer, eqx.is_inexact_array)

    def step(carry, batch):
        arrays, state = carry
        gradient = jax.grad(lambda arrays: loss(eqx.combine(arrays, rest), *batch))(arrays)
        updates, state = optimiser.update(gradient, state)
        return (optax.apply_updates(arrays, updates), state), None

    run = jax.jit(lambda carry, batches: jax.lax.scan(step, carry, batches)[0])
    carry = arrays, optimiser.init(arrays)
    for length, before, after in ((2, -0.15, 0.3), (8, 0.3, 0.3)):
        batches = [part.reshape(STEPS, BATCH, length) for part in words([seed, length], STEPS * BATCH, length)]
        commitment = np.linspace(before, after, STEPS).clip(0)
        carry = run(carry, tuple(map(jnp.asarray, (*batches, commitment))))
    return eqx.combine(carry[0], rest)


def right(layer, length, count=1000):
    """Of new words, the share of those of which every prefix is recognised."""
    letters, products = words(length, count, length)
    found = jnp.argmin(eqx.filter_jit(distances)(layer, letters), axis=-1)
    return np.mean(np.all(np.asarray(found) == products, axis=-1))


def start(seed):
    """With turns of three dimensions: the mirrors of a triangle are half turns there, and no sign has to change."""
    sizes = {"p": len(ELEMENTS), "q": 1, "n": 3, "entries": len(ELEMENTS)}
    return nn.MatrixScan(**sizes, use_input=False, use_bias=False, noise=1.0, key=jax.random.key(seed))


@pytest.mark.slow
def test_s3_is_learnt_from_words_of_up_to_eight_letters_and_every_word_of_200_is_right():
    layer = train(start(0), 0)
    assert right(layer, 8) == 1
    assert right(layer, 200) == 1
    # Snapped every so often, errors have no time to add up.
    assert right(layer.snapped(16), 2000, count=50) == 1
