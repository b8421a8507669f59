"""Layers without weights, with the same function of features."""

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.bridge import to_equinox


def test_pools_are_of_features(assert_folded, draw):
    model = nn.Sequential(
        [nn.MaxPool2d(2, 1, "SAME"), nn.AvgPool2d((2, 3), 1, 1), nn.SumPool2d(2, 1), nn.AdaptiveMaxPool2d(2), jnp.sin]
    )
    assert_folded(model, draw(2, 5, 4, 2, 2, 2))
    for pool in (nn.GlobalAvgPool2d(), nn.GlobalMaxPool2d(), nn.GlobalSumPool2d()):
        assert_folded(pool, draw(2, 2, 3, 2, 2, 2))


@pytest.mark.parametrize(
    "end", [nn.Trace(), nn.Mean(), nn.Flatten(), nn.Lambda(jnp.matrix_transpose)], ids=lambda end: type(end).__name__
)
def test_read_outs_and_transposition_move_features(end, assert_folded, draw):
    assert_folded(end, draw(2, 3, 2, 2), n=2, gives_matrices=isinstance(end, nn.Lambda))


def test_the_side_of_the_matrices_must_be_known():
    for end in (nn.Trace(), nn.Lambda(jnp.matrix_transpose)):
        with pytest.raises(ValueError, match="the side of the matrices that it takes is not known: give `n`"):
            to_equinox(end)


def test_encoders_take_channels_first(draw):
    image, steps = draw(4, 4, 1), draw(5, 2)
    for encoder in (nn.Patches(2), nn.EmbedPixels(2)):
        features = to_equinox(encoder)(jnp.moveaxis(image, -1, 0))
        expected = encoder(image)
        np.testing.assert_array_equal(features, jnp.moveaxis(expected.reshape(*expected.shape[:2], 4), -1, 0))
    np.testing.assert_array_equal(to_equinox(nn.EmbedSequence(2))(steps.T), nn.EmbedSequence(2)(steps).reshape(5, 8).T)
    for encoder in (nn.Fold(2), nn.Tile(2)):
        np.testing.assert_array_equal(to_equinox(encoder)(steps[:, 0]), encoder(steps[:, 0]).ravel())


def test_all_places_in_a_row_keep_their_order(draw):
    x = draw(1, 3, 4, 2, 2, 2)
    features = jnp.moveaxis(x[0].reshape(3, 4, 8), -1, 0)
    np.testing.assert_array_equal(to_equinox(nn.FlattenBatch(), axes=2)(features), nn.FlattenBatch()(x)[0])


def test_options_of_activations_and_dropout_stay(draw):
    x = draw(4)
    for layer in (nn.LeakyReLU(0.3), nn.ELU(2.0), nn.GELU(False)):
        np.testing.assert_allclose(to_equinox(layer)(x), layer(x[:, None, None])[:, 0, 0], rtol=1e-6)
    dropout = to_equinox(nn.Dropout(0.3, inference=True))
    assert (type(dropout), dropout.p, dropout.inference) == (eqx.nn.Dropout, 0.3, True)
    scores = to_equinox(nn.Sequential([nn.Flatten(), nn.Softmax()]))(x)
    np.testing.assert_allclose(jnp.sum(scores), 1, rtol=1e-6)


@pytest.mark.parametrize(
    ("layer", "why"),
    [
        (nn.Dropout(0.1, neurons=True), r"its draws are shared over the axes \(-2, -1\)"),
        (nn.MaxPool1d(2, dilation=2), r"its `dilation` \(=2\) has no counterpart in the pools of eqx.nn"),
        (nn.Sequential([nn.Patches(2), nn.Softmax()]), "only one over all features can be folded"),
        (nn.Lambda(jnp.tanh, jnp.sin), "it computes another function in inference"),
        (nn.Sequential([nn.Patches(2), nn.Fold(2)]), "it folds features, and here are 2 space axes too"),
        (nn.MaxdPool2d(2), "no scalar layer sees a whole matrix"),
    ],
    ids=range(6),
)
def test_what_no_scalar_layer_computes_is_refused(layer, why):
    with pytest.raises(ValueError, match=why):
        to_equinox(layer)
