import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.nn.child import (
    call_child,
    is_stateful,
    require_callable,
    require_state,
    split_key,
    takes_key,
    takes_state,
)

KEY = jax.random.key(0)


class Counter(eqx.nn.StatefulLayer):
    """Adds to x how often it was called, and 10 with a key."""

    index: eqx.nn.StateIndex

    def __init__(self):
        self.index = eqx.nn.StateIndex(jnp.array(0.0))

    def __call__(self, x, state, *, key=None):
        count = state.get(self.index) + 1
        return x + count + 10 * (key is not None), state.set(self.index, count)


class Keyless(eqx.Module):
    def __call__(self, x):
        return 2 * x


def with_key(x, *, key=None):
    return x if key is None else -x


def with_any(x, **options):
    return with_key(x, **options)


@pytest.mark.parametrize(
    ("layer", "expected"),
    [
        (with_key, True),
        (with_any, True),
        (nn.ReLU(), True),
        (eqx.filter_jit(nn.ReLU()), True),
        (eqx.nn.Identity(), True),
        (Keyless(), False),
        (jnp.tanh, False),
        (np.tanh, False),
        (max, False),
        (lambda x: x, False),
    ],
)
def test_a_key_is_for_layers_and_functions_that_take_one(layer, expected):
    assert takes_key(layer) is expected


def test_a_child_gets_the_key_only_if_it_takes_one():
    assert call_child(with_key, 3, None, KEY) == (-3, None)
    assert call_child(with_key, 3, None, None) == (3, None)
    assert call_child(Keyless(), 3, None, KEY) == (6, None)


def test_a_stateful_child_changes_the_state_and_others_hand_it_on():
    layer, state = eqx.nn.make_with_state(Counter)()
    y, after = call_child(layer, 0.0, state, KEY)
    assert (y, after.get(layer.index)) == (11, 1)
    y, last = call_child(Keyless(), y, after, KEY)
    assert y == 22
    assert last is after
    assert is_stateful(layer)
    assert not is_stateful(Keyless())
    assert not is_stateful(nn.Sequential([Keyless()]))


def test_keys_are_split_as_equinox_splits_them():
    assert split_key(None, 2) == [None, None]
    assert [jax.random.key_data(key).tolist() for key in split_key(KEY, 3)] == jax.random.key_data(
        jax.random.split(KEY, 3)
    ).tolist()


def test_what_cannot_be_called_is_refused_by_name():
    require_callable({"body": jnp.tanh})
    with pytest.raises(TypeError, match=r"`layers\[1\]` \(=3\) must be callable: give a layer or a function\."):
        require_callable({"layers[0]": jnp.tanh, "layers[1]": 3})
    with pytest.raises(
        TypeError, match=r"`layers\[1\]` \(=Keyless\) must not be a class: build a layer, as Keyless\(…\)"
    ):
        require_callable({"layers[0]": jnp.float32, "layers[1]": Keyless})


def test_a_state_is_taken_where_a_second_place_is_not_the_keys():
    chain = nn.Sequential([Keyless()])
    assert all(map(takes_state, (Counter(), chain, lambda x, other: x, lambda *given: given)))
    assert not any(map(takes_state, (Keyless(), with_key, lambda x, key=None: x, nn.Trace())))


def test_a_missing_state_is_refused_by_name():
    layer, state = eqx.nn.make_with_state(Counter)()
    require_state({"body": layer}, state)
    require_state({"body": Keyless()}, None)
    with pytest.raises(
        ValueError, match=r"`state` \(=None\) is needed, as branches\[1\] \(Counter\) is stateful: build"
    ):
        require_state({"branches[0]": Keyless(), "branches[1]": layer}, None)
