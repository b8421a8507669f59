"""Encoders and read-outs whose own matrices are of another side than those of the layers between them."""

import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.bridge import lift, to_equinox
from matrinox.bridge.sides import EntriesEncoder, MeansReadOut, SpreadEncoder
from matrinox.contract import ContractError


def test_a_spread_encoder_gives_each_entry_in_a_block(draw):
    x = draw(4)
    y = SpreadEncoder(nn.Fold(2), 3)
    np.testing.assert_array_equal(y(x)[0], jnp.kron(x.reshape(2, 2), jnp.ones((3, 3))))
    assert y.n == 6


def test_an_encoder_of_entries_gives_them_in_order(draw):
    encoder = EntriesEncoder(nn.Fold(2))
    np.testing.assert_array_equal(encoder(jnp.arange(8.0))[:, 0, 0], jnp.arange(8.0))
    assert encoder.n == 1


def test_means_undo_the_spread(draw):
    x = draw(8)
    wide = SpreadEncoder(nn.Fold(2), 2)(x)
    np.testing.assert_array_equal(MeansReadOut(nn.Flatten(), 2)(wide), x)
    with pytest.raises(ContractError, match=r"MeansReadOut got x .*at least 3 are due"):
        MeansReadOut(nn.Flatten(), 2)(wide[0, 0])


def test_encoders_of_another_side_are_folded_and_lifted(draw):
    image = draw(4, 2, 1)
    encoder = EntriesEncoder(nn.Patches(2))
    np.testing.assert_array_equal(
        to_equinox(encoder)(jnp.moveaxis(image, -1, 0)), jnp.moveaxis(encoder(image)[..., 0, 0], -1, 0)
    )
    spread = lift(encoder, 2)
    np.testing.assert_array_equal(spread(image), jnp.kron(encoder(image), jnp.ones((2, 2))))
    assert lift(spread, 4).k == 4
