"""Why a function was compiled again: the leaf, what it was and what it is."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.inspect import explain_recompile


def explained(f):
    """The function, and the lines of what it tells."""
    told = []
    return explain_recompile(f, tell=told.append), told


def model(q=3, **options):
    return nn.Sequential([nn.Dense(p=2, q=q, n=2, key=jax.random.key(0), **options), nn.ReLU()])


X = jnp.ones((4, 2, 2, 2))


def test_a_call_that_is_not_compiled_again_is_not_explained():
    f, told = explained(eqx.filter_jit(lambda model, x: model(x)))
    for scale in (1.0, 2.0):
        np.testing.assert_array_equal(f(model(), scale * X), model()(scale * X))
    assert (told, f.calls, f.recompilations) == ([], 2, [])


def test_a_shape_a_dtype_and_a_layer_are_told_by_their_paths():
    f, told = explained(eqx.filter_jit(lambda model, x: model(x)))
    for layers, x in ((model(), X), (model(), X[:3]), (model(q=5), X), (model(dtype=jnp.bfloat16), X)):
        f(layers, x)
    assert [str(change) for change in f.recompilations[0].changes] == ["x: float32[4, 2, 2, 2] -> float32[3, 2, 2, 2]"]
    assert [str(change) for change in f.recompilations[1].changes] == [
        "model.layers[0].weight: float32[3, 2, 2, 2] -> float32[5, 2, 2, 2]",
        "model.layers[0].bias: float32[3, 2, 2] -> float32[5, 2, 2]",
    ]
    assert "model.layers[0].bias: float32[3, 2, 2] -> bfloat16[3, 2, 2]" in told[2]
    assert told[0].splitlines()[0].endswith("<lambda>: call 2 was compiled again:")


def test_an_array_of_jax_after_one_of_numpy_compiles_nothing():
    f, told = explained(jax.jit(lambda x: 2 * x))
    f(np.ones(2, np.float32))
    f(jnp.ones(2))
    assert told == []


def test_the_nearest_of_all_earlier_calls_is_compared():
    f, told = explained(lambda x, y: (x, y))
    f(jnp.ones(2), jnp.ones(2))
    f(jnp.ones(3), jnp.ones(3))
    f(jnp.ones(2), jnp.ones(4))
    assert told[1].splitlines()[1:] == ["  y: float32[2] -> float32[4]"]


def test_static_fields_switches_and_functions_are_told_by_their_values():
    f, _ = explained(eqx.filter_jit(lambda layer, x, act: act(layer(x))))
    attention = nn.MultiheadAttention(p=2, n=2, heads=2, key=jax.random.key(0))
    f(attention, X, jnp.sin)
    f(nn.MultiheadAttention(p=2, n=2, heads=2, causal=True, key=jax.random.key(0)), X, jnp.sin)
    f(eqx.nn.inference_mode(attention), X, jnp.sin)
    f(attention, X, jnp.cos)
    changes = [[str(change) for change in found.changes] for found in f.recompilations]
    assert changes == [["layer.causal: False -> True"], ["layer.inference: False -> True"], ["act: sin -> cos"]]


def test_a_function_that_is_made_anew_is_another_of_its_name():
    def made():
        def act(x):
            return x

        act.__qualname__ = "act"
        return act

    f, told = explained(lambda x, act: act(x))
    f(X, made())
    f(X, made())
    assert told[0].splitlines()[1:] == ["  act: act -> another act"]


def test_numbers_count_by_type_under_jit_and_by_value_where_they_are_static():
    f, told = explained(jax.jit(lambda x, k, flag=True: x * k if flag else x, static_argnames="flag"))
    f(X, 2)
    f(X, 3)
    assert told == []
    f(X, 3.0)
    f(X, jnp.float32(3))
    f(X, 2, flag=False)
    assert [[str(change) for change in found.changes] for found in f.recompilations] == [
        ["k: int32[], weakly typed -> float32[], weakly typed"],
        ["k: int32[], weakly typed -> float32[]"],
        ["flag: True -> False", "arguments: 2 by place -> 2 by place, flag by name"],
    ]
    for scalar in (np.float32(2), np.float64(2)):
        h, _ = explained(jax.jit(lambda x, k: x * k))
        h(X, scalar)
        h(X[:3], 2 * scalar)
        assert [change.path for change in h.recompilations[0].changes] == ["x"]
    g, _ = explained(eqx.filter_jit(lambda x, k: x * k))
    g(X, 2)
    g(X, 3)
    assert [str(change) for change in g.recompilations[0].changes] == ["k: 2 -> 3"]


def test_what_is_passed_by_name_in_one_call_and_by_place_in_another_is_told():
    f, _ = explained(jax.jit(lambda x, y: x + y))
    f(X, X)
    f(X, y=X)
    assert [str(change) for change in f.recompilations[0].changes] == ["arguments: 2 by place -> 1 by place, y by name"]


def test_parts_that_come_and_go_are_told():
    f, _ = explained(lambda tree: jax.tree.map(jnp.sin, tree))
    f({"a": X})
    f({"a": X, "b": X})
    f([X])
    f((X,))
    changes = [[str(change) for change in found.changes] for found in f.recompilations]
    assert changes[0] == ["tree['b']: absent -> float32[4, 2, 2, 2]"]
    assert changes[2] == ["tree: a list -> a tuple"]


def test_what_no_argument_explains_is_said_to_be_so():
    f, told = explained(jax.jit(lambda x: 2 * x))
    f(X)
    with jax.default_matmul_precision("highest"):
        f(X)
    assert f.recompilations[0].changes == ()
    assert "no argument has changed" in told[0]


def test_compilations_are_as_many_as_the_function_is_traced():
    traces = []

    def traced(x):
        traces.append(x.shape)
        return x

    f, _ = explained(traced)
    for length in (1, 2, 1, 3, 3, 2):
        f(jnp.ones(length))
    assert len(f.recompilations) == len(traces) - 1 == 2


def test_long_lists_of_changes_are_cut_and_errors_pass_through():
    f, told = explained(lambda *xs: xs)
    f(*(jnp.ones(1) for _ in range(12)))
    f(*(jnp.ones(2) for _ in range(12)))
    assert told[0].splitlines()[-1] == "  and 4 more"
    g, _ = explained(eqx.filter_jit(lambda model, x: model(x)))
    with pytest.raises(ContractError, match="Dense"):
        g(model(), jnp.ones((5, 2, 2)))
    with pytest.raises(ContractError, match="explain_recompile got f as 3"):
        explain_recompile(3)
