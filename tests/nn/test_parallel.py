import equinox as eqx
import jax.numpy as jnp
import numpy as np
from drawn_layers import Model, dense, draw, refusal

from matrinox import nn


def test_parallel_gives_each_layer_its_own_input():
    layers, x = (dense(2, 3), dense(5, 1)), (draw(2, 4, 4), draw(7, 5, 4, 4))
    for inputs in (x, list(x)):
        y = nn.Parallel(layers)(inputs)
        assert isinstance(y, tuple)
        for output, layer, value in zip(y, layers, x, strict=True):
            assert np.array_equal(output, layer(value))


def test_the_joints_of_a_sequential_see_through_parallel():
    pair = nn.Parallel([dense(2, 3), dense(2, 5)])
    nn.Sequential([pair, nn.Parallel([dense(3, 2), dense(5, 2)]), lambda y: y[0]])
    message = refusal(nn.Sequential, [pair, nn.Parallel([dense(3, 2), nn.Sequential([nn.ReLU(), dense(4, 2)])])])
    assert message.startswith("layers[1].layers[1].layers[1]: Dense(p=4, q=2, n=4) takes")
    assert refusal(nn.Sequential, [pair, dense(3, 2)]).endswith("but layers[0]: Parallel gives 2 outputs: one is due.")
    assert refusal(nn.Sequential, [dense(3, 2), pair]) == (
        "layers[1]: Parallel takes 2 inputs, but layers[0]: Dense(p=3, q=2, n=4) gives (*batch, q=2, n=4, n=4): it is"
        " one array."
    )
    assert refusal(nn.Sequential, [pair, nn.Parallel([jnp.tanh])]) == (
        "layers[1]: Parallel takes 1 input, but layers[0]: Parallel gives 2 outputs."
    )
    unchecked = eqx.nn.Sequential([dense(2, 3), dense(2, 3)])
    assert refusal(nn.Parallel, [jnp.tanh, unchecked]).startswith("layers[1].layers[1]: Dense(p=2, q=3, n=4) takes")


def test_parallel_refuses_what_is_not_one_input_for_each_layer():
    layer, x = nn.Parallel([jnp.tanh, jnp.tanh]), jnp.ones((2, 4, 4))
    assert refusal(layer, x).startswith("Parallel got x as float32[2, 4, 4]; it takes tuple[PyTree, ...]")
    assert refusal(Model(nn.Sequential([lambda x: (x,), layer])), x) == (
        "encoder.layers[1]: Parallel got x as 1 input; it takes 2, one for each layer."
    )
