from typing import Any

import equinox as eqx
import jax

from layer_table.row import Row, drawn, with_weights
from matrinox import nn

TOKENS, WRONG = (3, 2, 2, 2), {"wrong": (3, 2, 3, 3), "why": "axis -2 is 3, n is 2"}
# Small, and with no bias of keys, on which nothing depends: what is added to all scores alike changes nothing.
SIZES = {"heads": 2, "hidden": 2, "activation": "tanh", "norm": "rms", "use_bias": False}


class OnItself(eqx.Module):
    """A decoder whose memory is what it takes."""

    decoder: Any

    def __call__(self, x, *, key=None):
        return self.decoder(x, x, key=key)


def on_itself(kind, **options):
    decoder = with_weights(kind, 2, 2, **SIZES, **options)
    return lambda key, dtype: OnItself(decoder(key, dtype))


def stack(key: jax.Array, dtype: Any) -> nn.Stack:
    layers = [nn.Dense(p=2, q=2, n=3, initializer=drawn, key=key, dtype=dtype) for key in jax.random.split(key, 3)]
    return nn.Stack(layers)


def language_model(key: jax.Array, dtype: Any) -> nn.LanguageModel:
    embedding = with_weights(nn.Embedding, vocabulary=5, p=2, n=2)(key, dtype)
    return nn.LanguageModel(embedding, nn.Recurrent(with_weights(nn.RNNCell, 2, 2, 2)(key, dtype)))


ROWS = {
    # Of distributions over the tokens; tests/nn/test_language_model.py has the ids.
    "LanguageModel": Row(language_model, (3, 5), (3, 4), "axis -1 is 4, vocabulary is 5", takes_integers=True),
    "Stack": Row(stack, (2, 3, 3), (2, 4, 4), "axis -2 is 4, n is 3", "Dense"),
    "TransformerClassifier": Row(with_weights(nn.TransformerClassifier, 2, 2, 3, layers=1, **SIZES), TOKENS, **WRONG),
    "TransformerDecoder": Row(
        on_itself(nn.TransformerDecoder, layers=2), TOKENS, refuser="TransformerDecoder", **WRONG
    ),
    "TransformerDecoderBlock": Row(
        on_itself(nn.TransformerDecoderBlock), TOKENS, refuser="TransformerDecoderBlock", **WRONG
    ),
    "TransformerEncoder": Row(
        with_weights(nn.TransformerEncoder, 2, 2, layers=2, causal=True, **SIZES), TOKENS, **WRONG
    ),
    "TransformerEncoderBlock": Row(
        with_weights(nn.TransformerEncoderBlock, 2, 2, pre_norm=False, **SIZES), TOKENS, **WRONG
    ),
}
