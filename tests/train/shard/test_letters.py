"""The letters of a model's axes."""

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from jaxtyping import Array, Float, Int, PyTree

from matrinox import nn
from matrinox.paths import show
from matrinox.train.shard.letters import axis_letters

KEY = jax.random.key(0)


def letters(model) -> dict[str, str]:
    return {show(path): " ".join(letter or "–" for letter in found) for path, _, found in axis_letters(model)}


LAYERS = {
    "a dense layer": (lambda: nn.Dense(p=3, q=4, n=2, key=KEY), {"weight": "q p n n", "bias": "q n n"}),
    "a convolution": (
        lambda: nn.Conv2d(p=3, q=4, n=2, kernel=3, use_bias=False, key=KEY),
        {"weight": "q p kernel_h kernel_w n n"},
    ),
    "fused gates": (
        lambda: nn.LSTMCell(p=3, q=4, n=2, key=KEY),
        {"weight": "gates*q q+p n n", "bias": "gates*q n n"},
    ),
    "a norm": (
        lambda: eqx.nn.make_with_state(nn.BatchNorm)(p=3, n=2)[0],
        {"weight": "p n n", "bias": "p n n"},
    ),
    "an embedding": (lambda: nn.Embedding(vocabulary=5, p=3, n=2, key=KEY), {"weight": "vocabulary p n n"}),
    "a layer of Equinox": (lambda: eqx.nn.Linear(2, 3, key=KEY), {"weight": "– –", "bias": "–"}),
    "stacked layers": (
        lambda: eqx.filter_vmap(lambda key: nn.Dense(p=3, q=4, n=2, key=key))(jax.random.split(KEY)),
        {"weight": "– q p n n", "bias": "– q n n"},
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_the_letters_are_those_of_the_annotations(name):
    build, due = LAYERS[name]
    assert letters(build()) == due


class Own(eqx.Module):
    """Annotated in ways of its own."""

    table: "Int[Array, 'rows q'] | None"
    kernel: Float[Array, "q *kernel n"]
    loose: Array
    short: Float[Array, "a q p"]
    listed: list[Float[Array, "q"]]
    layers: PyTree


def test_the_fields_of_a_module_of_ones_own_are_read_and_layers_in_containers_found():
    layer = nn.Dense(p=1, q=2, n=1, use_bias=False, key=KEY)
    one = jnp.ones(2)
    own = Own(jnp.zeros((3, 2), int), jnp.ones((2, 5, 6, 3)), one, one, [one], {"head": (layer, jax.nn.relu)})
    assert letters(own) == {
        "table": "rows q",
        "kernel": "q kernel kernel n",
        "loose": "–",
        "short": "–",
        "listed[0]": "–",
        "layers['head'][0].weight": "q p n n",
    }


def test_arrays_outside_of_modules_have_no_letters():
    assert letters({"a": jnp.ones((2, 3)), "b": 1.0}) == {"['a']": "– –"}
    assert letters(jnp.ones(2)) == {}
