import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads
from jaxtyping import Array, Float
from layer_table.row import drawn

from matrinox.contract import AnyArray, ContractError, contract
from matrinox.nn import Conv2d, Dense, Dropout, GlobalAvgPool2d, ReLU, Sequential, Series

KEYS = jax.random.split(jax.random.key(0), 4)


def dense(p, q, n=4, key=KEYS[0]):
    return Dense(p=p, q=q, n=n, initializer=drawn, key=key)


def built_wrong(*layers):
    with pytest.raises(ContractError) as caught:
        Sequential(layers)
    return str(caught.value)


def test_sequential_equals_the_layers_in_turn_and_eqx_sequential():
    layers = [dense(2, 3), ReLU(), dense(3, 5, key=KEYS[1])]
    x = jax.random.normal(KEYS[2], (7, 2, 4, 4))
    y = Sequential(layers)(x)
    np.testing.assert_array_equal(y, layers[2](layers[1](layers[0](x))))
    np.testing.assert_array_equal(y, eqx.nn.Sequential(layers)(x))


def test_keys_are_split_as_eqx_sequential_splits_them():
    layers = [dense(2, 3), Dropout(0.5), Dropout(0.5)]
    x = jnp.ones((2, 4, 4))
    np.testing.assert_array_equal(Sequential(layers)(x, key=KEYS[1]), eqx.nn.Sequential(layers)(x, key=KEYS[1]))


def test_a_wrong_joint_is_refused_when_built_and_both_layers_are_named():
    assert built_wrong(dense(2, 3), dense(4, 5)) == (
        "layers[1]: Dense(p=4, q=5, n=4) takes (*batch, p=4, n=4, n=4), but layers[0]: Dense(p=2, q=3, n=4) gives"
        " (*batch, q=3, n=4, n=4): axis -3 is 3, p is 4."
    )


def test_n_is_checked_against_n():
    assert built_wrong(dense(2, 3, 4), dense(3, 5, 2)).endswith("axis -1 is 4, n is 2.")


def test_sizes_are_carried_through_layers_that_keep_them():
    message = built_wrong(dense(2, 3), ReLU(), Dropout(0.1), dense(2, 3))
    assert message.startswith("layers[3]: Dense(p=2, q=3, n=4) takes")
    assert "layers[2]: Dropout" in message
    assert message.endswith("axis -3 is 3, p is 2.")


def test_joints_of_nested_sequentials_are_checked():
    inner = Sequential([dense(2, 3), ReLU()])
    assert built_wrong(inner, dense(2, 3)).startswith("layers[1]: Dense")
    assert "layers[0].layers[1]: ReLU" in built_wrong(inner, dense(2, 3))
    assert built_wrong(dense(5, 3), inner, dense(3, 3)).startswith("layers[1].layers[0]: Dense(p=2")
    assert built_wrong(dense(5, 3), eqx.nn.Sequential([inner]), dense(3, 3)).startswith("layers[1].layers[0].layers[0]")


def test_a_convolutions_joint_is_checked_behind_its_space_axes():
    conv = Conv2d(p=1, q=3, n=2, kernel=3, initializer=drawn, key=KEYS[0])
    Sequential([conv, ReLU(), GlobalAvgPool2d(), dense(3, 5, 2)])
    assert built_wrong(conv, GlobalAvgPool2d(), dense(4, 5, 2)).endswith("axis -3 is 3, p is 4.")


def test_a_users_contract_checked_module_takes_part():
    @contract
    class Pair(eqx.Module):
        def __call__(self, x: Float[AnyArray, "*batch 2 n n"], *, key: None = None) -> Float[Array, "*batch n n"]:
            return jnp.asarray(x[..., 0, :, :] @ x[..., 1, :, :])

    Sequential([dense(3, 2), Pair()])
    assert built_wrong(dense(2, 3), Pair()).endswith("axis -3 is 3, not 2.")


def test_a_bare_function_is_unknown_until_a_shape_is_given():
    class Half(eqx.Module):
        def __call__(self, x, *, key=None):
            return x[..., ::2, :, :]

    model = Sequential([dense(2, 4), Half(), dense(2, 3)])
    assert model.shapes((2, 4, 4)) == ((2, 4, 4), (4, 4, 4), (2, 4, 4), (3, 4, 4))
    wrong = Sequential([dense(2, 4), Half(), dense(3, 3)])
    with pytest.raises(ContractError, match=r"^layers\[2\]: Dense\(p=3, q=3, n=4\) got x float32\[2, 4, 4\]") as caught:
        wrong.shapes((2, 4, 4))
    assert "Shapes up to layers[2]: (2, 4, 4) -> (4, 4, 4) -> (2, 4, 4)." in caught.value.__notes__


def test_shapes_computes_nothing():
    # A thousand times more than the memory of a machine.
    assert Sequential([dense(2, 3)]).shapes((10**12, 2, 4, 4))[-1] == (10**12, 3, 4, 4)


def test_slicing_keeps_the_type_and_indexing_gives_the_layer():
    model = Sequential([dense(2, 3), ReLU(), dense(3, 4)])
    assert isinstance(model[1:], Sequential)
    assert model[1:].layers == model.layers[1:]
    assert model[0] is model.layers[0]
    assert len(model) == 3
    assert list(model) == list(model.layers)


def test_stateful_layers_follow_eqx_sequentials_protocol():
    class Counter(eqx.nn.StatefulLayer):
        index: eqx.nn.StateIndex

        def __init__(self):
            self.index = eqx.nn.StateIndex(jnp.array(0))

        def __call__(self, x, state, *, key=None):
            return x, state.set(self.index, state.get(self.index) + 1)

    model, state = eqx.nn.make_with_state(lambda: Sequential([dense(2, 3), Counter()]))()
    assert model.is_stateful()
    y, state = model(jnp.ones((2, 4, 4)), state)
    assert y.shape == (3, 4, 4)
    assert state.get(model.layers[1].index) == 1
    assert model.shapes((2, 4, 4), state)[-1] == (3, 4, 4)
    with pytest.raises(ValueError, match=r"`state` \(=None\) is needed, as layers\[1\] \(Counter\) is stateful"):
        model(jnp.ones((2, 4, 4)))


def test_gradient_matches_finite_differences():
    model = Sequential([dense(2, 3), dense(3, 2)])
    with jax.enable_x64(True):
        arrays, rest = eqx.partition(jax.tree.map(lambda leaf: leaf.astype(jnp.float64), model), eqx.is_array)
        x = jax.random.normal(KEYS[3], (2, 4, 4), jnp.float64)
        check_grads(jax.jit(lambda a: jnp.sum(jnp.sin(eqx.combine(a, rest)(x)))), (arrays,), order=1)


def test_a_list_is_refused_by_the_layer_that_gets_it():
    with pytest.raises(ContractError, match=r"layers\[0\]: ReLU got x as a list"):
        Sequential([ReLU()])([1.0])


@contract
class One(eqx.Module):
    """Annotated for one example, as is Equinox's way."""

    def __call__(self, x: Float[AnyArray, "p n n"], *, key: None = None) -> Float[Array, "p n n"]:
        return jnp.asarray(x)


def test_a_layer_for_one_example_may_follow_a_batched_one():
    assert Sequential([dense(2, 3), One(), dense(3, 2)]).shapes((2, 4, 4))[-1] == (2, 4, 4)
    assert Sequential([One(), dense(2, 3)]).shapes((2, 4, 4))[-1] == (3, 4, 4)


def test_one_option_of_a_union_that_fits_is_enough():
    @contract
    class Either(eqx.Module):
        def __call__(
            self, x: Float[AnyArray, "*batch 7"] | Float[AnyArray, "*batch p 4 4"], *, key: None = None
        ) -> Float[Array, "..."]:
            return jnp.asarray(x)

    Sequential([dense(2, 3), Either()])
    assert built_wrong(dense(2, 3, 5), Either()).startswith("layers[1]: Either takes (*batch, 7) or (*batch, p, 4, 4)")


def test_what_cannot_be_called_is_refused_when_built():
    # Of a sequence, beartype checks one entry, picked at random.
    for _ in range(20):
        with pytest.raises(TypeError, match=r"`layers\[1\]` \(=3\) must be callable|layers\[1\] as 3"):
            Sequential([ReLU(), 3])


def test_functions_need_no_wrapping_whether_they_take_a_key_or_not():
    def negate(x, *, key):
        return x if key is None else -x

    x = jnp.ones((2, 4, 4))
    model = Sequential([dense(2, 3), jnp.tanh, negate])
    np.testing.assert_array_equal(model(x, key=KEYS[1]), -jnp.tanh(dense(2, 3)(x)))
    np.testing.assert_array_equal(model(x), jnp.tanh(dense(2, 3)(x)))
    assert model.shapes((2, 4, 4))[-1] == (3, 4, 4)


def test_series_is_another_name_of_sequential():
    assert Series is Sequential


def test_a_last_layer_may_give_more_than_an_array():
    class Both(eqx.Module):
        def __call__(self, x, *, key=None):
            return x, {"sum": x.sum()}

    model = Sequential([dense(2, 3), Both()])
    assert model(jnp.ones((2, 4, 4)))[1]["sum"].shape == ()
    assert model.shapes((2, 4, 4))[-1] == ((3, 4, 4), {"sum": ()})
