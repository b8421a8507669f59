import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.nn import Dense, Dropout, LeakyReLU, Sequential
from matrinox.nn.difference import alike, difference


def dense(seed=0, p=2, **options):
    return Dense(p=p, q=2, n=3, key=jax.random.key(seed), **options)


def test_layers_of_other_values_are_alike():
    assert alike(dense(0), dense(1))
    assert difference(dense(0), dense(1)) is None
    assert alike(np.ones(2, np.float32), jnp.zeros(2))


class Bag(eqx.Module):
    parts: dict[str, float]
    inner: object = None


@pytest.mark.parametrize(
    ("first", "other", "due"),
    [
        (dense(), dense(p=4), ("weight", "float32[2, 2, 3, 3]", "float32[2, 4, 3, 3]")),
        (dense(), dense(dtype=jnp.bfloat16), ("weight", "float32[2, 2, 3, 3]", "bfloat16[2, 2, 3, 3]")),
        (dense(), dense(use_bias=False), ("bias", "float32[2, 3, 3]", "None")),
        (dense(), dense(precision="high"), ("precision", "None", "'high'")),
        (dense(), jnp.tanh, ("", "a Dense", "tanh")),
        (Sequential([jnp.tanh]), Sequential([jnp.sin]), ("layers[0]", "tanh", "sin")),
        (Sequential([dense()]), Sequential([dense(), dense()]), ("layers", "of [0]", "of [0], [1]")),
        (Sequential([LeakyReLU(0.1)]), Sequential([LeakyReLU(0.2)]), ("layers[0].negative_slope", "0.1", "0.2")),
        (Dropout(0.1), Dropout(0.2), ("rate", "0.1", "0.2")),
        (Dropout(0.1), eqx.tree_at(lambda d: d.rate, Dropout(0.1), jnp.array(0.1)), ("rate", "0.1", "float32[]")),
        (Bag({"a": 1.0}), Bag({"b": 1.0}), ("parts", "of ['a']", "of ['b']")),
        (Bag({"a": 1.0}), Bag({}), ("parts", "of ['a']", "of nothing")),
        (Bag({}, {1}), Bag({}, {2}), ("inner", "a set", "a set")),
    ],
    ids=[
        "shape",
        "dtype",
        "none",
        "static",
        "kind",
        "function",
        "length",
        "option",
        "rate",
        "array",
        "keys",
        "none left",
        "leaf",
    ],
)
def test_the_first_difference_is_named_by_its_path(first, other, due):
    assert not alike(first, other)
    assert difference(first, other) == due


def test_what_cannot_be_compared_is_not_alike():
    class Odd:
        def __eq__(self, other):
            raise RuntimeError

        __hash__ = object.__hash__

    assert not alike(Bag({}, Odd()), Bag({}, Odd()))
    odd = Odd()
    assert alike(Bag({}, odd), Bag({}, odd))
