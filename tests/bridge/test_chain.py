import equinox as eqx
import jax
import jax.numpy as jnp

from matrinox import nn, zoo
from matrinox.bridge.chain import chain_of, input_dtype


class Model(eqx.Module):
    layers: nn.Sequential
    gain: float = eqx.field(static=True, default=1.0)
    turned: bool = eqx.field(static=True, default=False)
    input_shape = (2, 2, 2)

    def __call__(self, x, *, key=None):
        layers = nn.Sequential(self.layers.layers[::-1]) if self.turned else self.layers
        y = layers(x)
        return y if self.gain == 1 else self.gain * y


def layers():
    keys = jax.random.split(jax.random.key(0))
    return nn.Sequential([nn.Dense(p=2, q=2, n=2, key=key) for key in keys])


def test_a_model_that_calls_its_layers_alone_is_its_layers():
    model = Model(layers())
    assert chain_of(model) == ("layers", model.layers)


def test_a_model_of_the_zoo_is_its_layers_in_inference():
    for model in (
        zoo.CNN(zoo.CNNConfig(shape=(4, 4, 1), n=2, stages=((2,),), dropout=0.1), key=jax.random.key(0)),
        zoo.MLP(zoo.MLPConfig(features=4, n=2, widths=(2,)), key=jax.random.key(0)),
    ):
        name, chain = chain_of(model)
        assert name == "chain"
        assert all(a is b for a, b in zip(chain.layers, [*model.body.layers, *model.head.layers], strict=True))


def test_what_looks_up_tokens_takes_integers():
    table = nn.Embedding(vocabulary=3, p=1, n=2, initializer=jax.nn.initializers.zeros, key=jax.random.key(0))
    assert input_dtype(nn.Sequential([nn.Sequential([table, nn.Tanh()])])) == jnp.int32
    assert input_dtype(layers()) == jnp.float32


def test_a_model_that_does_more_or_uses_its_weights_otherwise_is_none():
    assert chain_of(Model(layers(), gain=2.0)) is None
    assert chain_of(Model(layers(), turned=True)) is None


def test_what_has_no_layers_is_none():
    assert chain_of(layers()) is None
    assert chain_of(jnp.tanh) is None
