import threading
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.inspect import check

KEY, *KEYS = jax.random.split(jax.random.key(0), 6)


def dense(p, q, n=2):
    return nn.Dense(p=p, q=q, n=n, initializer=jax.nn.initializers.ones, key=KEY)


def shapes_of(build):
    """A model without arrays, which takes no time to draw."""
    return eqx.filter_eval_shape(build, KEY)


def told(report):
    return [(row.path, row.kind) for row in report.rows]


def quiet(model, *shapes, **options):
    return check(model, *shapes, verbose=False, **options)


def test_the_layers_are_told_in_the_order_of_execution_with_shapes_and_costs(capsys):
    report = check(nn.Sequential([dense(2, 3), nn.ReLU(), dense(3, 1)]), (5, 2, 2, 2))
    first = report.rows[1]
    assert (first.path, first.kind, first.inputs, first.outputs) == (
        "layers[0]",
        "Dense",
        ((5, 2, 2, 2),),
        ((5, 3, 2, 2),),
    )
    assert (first.parameters, first.bytes, first.depth, first.calls) == (36, 144, 1, 1)
    # Of 5 examples, 3 neurons of 2×2 entries: 2 neurons of 2 products and sums each, and the bias.
    assert first.flops_forward == 5 * 3 * 4 * (2 * 2 * 2 + 1)
    # By the weight and by the input one product as large each; by the bias the sum over 5 examples.
    assert first.flops_backward == 2 * 5 * 3 * 4 * 8 + (5 - 1) * 12
    assert capsys.readouterr().out.splitlines() == [
        "path         type        input         output        calls  parameters  bytes  FLOPs forward  FLOPs backward",
        "model        Sequential  (5, 2, 2, 2)  (5, 1, 2, 2)      1          52    208            860           1,624",
        "  layers[0]  Dense       (5, 2, 2, 2)  (5, 3, 2, 2)      1          36    144            540           1,008",
        "  layers[1]  ReLU        (5, 3, 2, 2)  (5, 3, 2, 2)      1           0      0             60             120",
        "  layers[2]  Dense       (5, 3, 2, 2)  (5, 1, 2, 2)      1          16     64            260             496",
        "52 parameters, 208 bytes, FLOPs: 860 forward, 1,624 backward",
    ]


def test_a_silent_check_returns_the_same_report(capsys):
    model = nn.Sequential([dense(2, 3)])
    assert quiet(model, (5, 2, 2, 2)) == check(model, (5, 2, 2, 2))
    assert len(capsys.readouterr().out.splitlines()) == 4


class Shared(eqx.Module):
    """An undecorated model that calls one layer twice, over rows, and another in a loop."""

    mlp: eqx.nn.MLP
    cell: eqx.nn.GRUCell

    def __call__(self, xs):
        xs = jax.vmap(self.mlp)(xs) + jax.vmap(self.mlp)(xs)
        return jax.lax.scan(lambda h, x: (self.cell(x, h), None), jnp.zeros(4), xs)[0]


def test_undecorated_layers_are_told_and_calls_under_vmap_and_in_loops_are_counted():
    model = shapes_of(lambda key: Shared(eqx.nn.MLP(3, 2, 4, 1, key=key), eqx.nn.GRUCell(2, 4, key=key)))
    report = quiet(model, (7, 3))
    layers = [("mlp", "MLP"), ("mlp.layers[0]", "Linear"), ("mlp.layers[1]", "Linear")]
    assert told(report) == [("", "Shared"), *layers, *layers, ("cell", "GRUCell")]
    assert [row.calls for row in report.rows] == [1, *[7] * 7]
    assert (report.rows[2].inputs, report.rows[2].flops_forward) == (((3,),), 7 * (2 * 12 + 4))
    # Twice used, the layer is there once.
    assert report.parameters == 16 + 10 + 12 * 6 + 16


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_stack_tells_its_layers_once_with_the_costs_of_all(checkpoint):
    blocks = [nn.Sequential([dense(2, 2), nn.ReLU()]) for _ in range(3)]
    stack, plain = nn.Stack(blocks, checkpoint=checkpoint), nn.Sequential(blocks)
    # Equal stacks share what the compiler keeps of a trace, as do two checks.
    quiet(stack, (5, 2, 2, 2))
    report, apart = quiet(nn.Sequential([stack, stack]), (5, 2, 2, 2)), quiet(plain, (5, 2, 2, 2))
    inner = ["layers[*]", "layers[*].layers[0]", "layers[*].layers[1]"]
    assert [row.path for row in report.rows] == [
        "",
        "layers[0]",
        *(f"layers[0].{path}" for path in inner),
        "layers[1]",
        *(f"layers[1].{path}" for path in inner),
    ]
    row = report.rows[3]
    assert (row.calls, row.parameters, row.flops_forward) == (3, 3 * 24, 3 * apart.rows[2].flops_forward)
    assert row.flops_backward == 3 * apart.rows[2].flops_backward
    assert report.flops_forward == 2 * apart.flops_forward


def test_a_stack_of_layers_without_weights_and_stacked_weights_are_told_as_a_scan():
    assert [(row.path, row.calls) for row in quiet(nn.Stack([nn.Tanh()] * 3), (2, 2, 2)).rows[1:]] == [("layers[*]", 3)]

    class Scanned(eqx.Module):
        layers: eqx.nn.Linear

        def __call__(self, x):
            arrays, rest = eqx.partition(self.layers, eqx.is_array)
            return jax.lax.scan(lambda x, each: (eqx.combine(each, rest)(x), None), x, arrays)[0]

    model = Scanned(eqx.filter_eval_shape(eqx.filter_vmap(lambda key: eqx.nn.Linear(3, 3, key=key)), jnp.stack(KEYS)))
    row = quiet(model, (3,)).rows[1]
    assert (row.path, row.calls, row.parameters) == ("layers[*]", len(KEYS), len(KEYS) * 12)


def test_tied_and_wrapped_layers_have_their_paths():
    pair = nn.Sequential([dense(2, 3), nn.Dense(p=3, q=2, n=2, transposed=True, key=KEY)])
    tied = quiet(nn.Tied(pair, {"layers[1].weight": "layers[0].weight"}), (5, 2, 2, 2))
    assert [row.path for row in tied.rows] == ["", "model", "model.layers[0]", "model.layers[1]"]
    # The weight, which is in both, is one parameter of the model.
    assert (tied.parameters, tied.rows[1].parameters) == (24 + 12 + 8, 2 * 24 + 12 + 8)
    jitted = quiet(eqx.nn.Sequential([eqx.nn.Lambda(eqx.filter_jit(dense(2, 3)))]), (5, 2, 2, 2))
    assert told(jitted)[1:] == [("layers[0]", "Lambda"), ("layers[0].fn", "Dense")]
    linear = shapes_of(lambda key: eqx.nn.Linear(3, 3, key=key))

    class Sharing(eqx.Module):
        shared: eqx.nn.Shared

        def __call__(self, x):
            first, second = self.shared()
            return second(first(x))

    pair = eqx.nn.Shared((linear, linear), lambda pair: pair[1].weight, lambda pair: pair[0].weight)
    assert told(quiet(Sharing(pair), (3,)))[1:] == [
        ("shared.pytree[0]", "Linear"),
        ("shared.pytree[1]", "Linear"),
    ]


def test_adapted_and_constrained_layers_are_told_by_the_path_of_the_model_in_them():
    pair, paths = nn.Sequential([dense(2, 3), dense(3, 2)]), ["", "model", "model.layers[0]", "model.layers[1]"]
    adapted = quiet(shapes_of(lambda key: nn.lora(pair, 1, where="**", key=key)), (5, 2, 2, 2))
    assert [row.path for row in adapted.rows] == paths
    # An adapter of rank 1 has n numbers for each neuron in and out.
    assert (adapted.parameters, adapted.rows[1].parameters) == (68 + 2 * 2 * (2 + 3), 68)
    # Its product has one multiply-add for each of 24 entries of the weight, to which it is added.
    assert adapted.flops_forward - adapted.rows[1].flops_forward == 2 * (2 + 1) * 24
    bound = quiet(nn.Constrained(pair, {"layers[0].weight": nn.Antisymmetric()}), (5, 2, 2, 2))
    assert [row.path for row in bound.rows] == paths
    assert bound.flops_forward > bound.rows[1].flops_forward == adapted.rows[1].flops_forward


class Coder(eqx.Module):
    """A part that has a method other than the call."""

    layer: nn.Dense

    def encode(self, x):
        return self.layer(self.scaled(x))

    def scaled(self, x):
        return 2 * x

    def width(self):
        return self.layer.q


class Outer(eqx.Module):
    coder: Coder

    def __call__(self, x):
        return self.coder.encode(x) * self.coder.width()


def test_methods_that_work_on_arrays_are_told_and_can_be_checked():
    coder = Coder(dense(2, 3))
    assert told(quiet(Outer(coder), (5, 2, 2, 2))) == [
        ("", "Outer"),
        ("coder", "Coder.encode"),
        ("coder.layer", "Dense"),
    ]
    report = quiet(coder.encode, (5, 2, 2, 2))
    assert told(report) == [("", "Coder.encode"), ("layer", "Dense")]
    assert report.rows[0].outputs == ((5, 3, 2, 2),)
    assert quiet(dense(2, 3).__call__, (2, 2, 2)) == quiet(dense(2, 3), (2, 2, 2))


def test_states_keys_and_further_arguments_are_handed_on():
    model, state = eqx.nn.make_with_state(lambda: nn.Sequential([nn.BatchNorm(2, 2), nn.Dropout(0.5)]))()
    report = quiet(model, (5, 2, 2, 2), state=state, key=KEY)
    assert told(report)[1:] == [("layers[0]", "BatchNorm"), ("layers[1]", "Dropout")]
    assert {row.inputs for row in report.rows} == {((5, 2, 2, 2),)}
    attention = shapes_of(lambda key: nn.MultiheadAttention(p=2, q=2, n=2, heads=2, key=key))
    report = quiet(attention, (4, 2, 2, 2), mask=jax.ShapeDtypeStruct((4, 4), bool))
    assert report.rows[0].inputs == ((4, 2, 2, 2), (4, 4))


def test_inputs_are_shapes_arrays_and_trees_of_them():
    embedding = shapes_of(lambda key: nn.Embedding(7, 2, 2, key=key))
    assert quiet(embedding, jax.ShapeDtypeStruct(("b", 5), jnp.int32)).rows[0].outputs[0][1:] == (5, 2, 2, 2)
    assert quiet(embedding, np.zeros((3, 5), int)).rows[0].outputs == ((3, 5, 2, 2, 2),)
    add = eqx.nn.Lambda(lambda tree: tree["x"] + tree["y"][0])
    assert quiet(add, {"x": (2, 3), "y": [(3,)]}).rows[0].inputs == ((2, 3), (3,))
    with jax.enable_x64(True):
        assert quiet(add, {"x": (), "y": (jnp.ones(()),)}).rows[0].outputs == ((),)


def broken():
    return nn.Sequential([dense(2, 3), nn.Sequential([nn.Lambda(jnp.tanh), dense(2, 1)])])


def test_a_violation_is_that_of_the_call_with_a_note_of_the_layers_up_to_there():
    with pytest.raises(ContractError) as called:
        eqx.filter_eval_shape(broken(), jnp.ones((5, 2, 2, 2)))
    with pytest.raises(ContractError) as checked:
        check(broken(), (5, 2, 2, 2))
    assert str(checked.value) == str(called.value)
    assert str(checked.value).startswith("layers[1].layers[1]: Dense(p=2, q=1, n=2) got x float32[5, 3, 2, 2]")
    assert checked.value.__notes__[-1].splitlines() == [
        "Layers up to there:",
        "layers[0]            Dense   (5, 2, 2, 2)  (5, 3, 2, 2)",
        "layers[1].layers[0]  Lambda  (5, 3, 2, 2)  (5, 3, 2, 2)",
    ]


def test_what_a_stack_refuses_has_its_path():
    model = nn.Sequential([nn.Lambda(jnp.tanh), nn.Stack([dense(2, 2)] * 2)])
    with pytest.raises(ContractError, match=r"^layers\[1\].layers\[\*\]: Dense\(p=2, q=2, n=2\) got x"):
        check(model, (3, 2, 2))


def test_what_is_no_module_is_refused():
    with pytest.raises(TypeError, match=r"`model` \(=function\) must be an eqx.Module.*: give a function in an"):
        check(lambda x: x, (2,))
    part: Any = Coder(dense(2, 3))
    with pytest.raises(ContractError, match=r"check got model as a Coder; it takes Callable"):
        check(part, (2, 2, 2))


def test_a_size_below_zero_is_refused():
    with pytest.raises(
        ValueError, match=r"`shapes` \(=\(-1, 2, 2\)\) must have no size below 0: give each axis its size"
    ):
        check(dense(2, 3), (-1, 2, 2))
    with pytest.raises(ValueError, match=r"`shapes` \(=\('\*batch', 2, 2, 2\)\) must name each axis by one word"):
        check(dense(2, 3), ("*batch", 2, 2, 2))


def test_an_error_that_the_model_catches_leaves_the_rest_told():
    class Either(eqx.Module):
        first: nn.Dense
        second: nn.Dense

        def __call__(self, x):
            try:
                return self.first(x)
            except ContractError:
                return self.second(x)

    assert told(quiet(Either(dense(3, 1), dense(2, 1)), (2, 2, 2))) == [("", "Either"), ("second", "Dense")]


def test_the_model_its_classes_and_other_threads_are_left_as_they_were():
    model, before = broken(), [vars(cls).get("__call__") for cls in (nn.Dense, nn.Sequential, nn.Lambda)]
    with pytest.raises(ContractError):
        check(model, (5, 2, 2, 2))
    assert [vars(cls).get("__call__") for cls in (nn.Dense, nn.Sequential, nn.Lambda)] == before
    assert [type(layer) for layer in model.layers] == [nn.Dense, nn.Sequential]

    good, reports = nn.Sequential([dense(2, 3), nn.ReLU()]), []
    barrier = threading.Barrier(2)

    def run():
        barrier.wait()
        reports.append(quiet(good, (5, 2, 2, 2)))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert reports == [quiet(good, (5, 2, 2, 2))] * 2
    # An ordinary call is not observed: no marker is in its program.
    assert "enter_layer" not in str(eqx.filter_make_jaxpr(good)(jnp.ones((5, 2, 2, 2)))[0])


def test_nothing_is_compiled_run_or_allocated(caplog):
    model = nn.Sequential([nn.Stack([dense(2, 2)] * 3), nn.Conv1d(p=2, q=2, n=2, kernel=1, key=KEY)])
    arrays = jax.live_arrays()
    with jax.log_compiles(True):
        quiet(model, (5, 4, 2, 2, 2), key=KEY)
        assert not any("ompil" in message for message in caplog.messages)
        assert set(map(id, jax.live_arrays())) <= set(map(id, arrays))
        # The log would tell.
        jax.jit(lambda x: x * 3.5)(1.0)
        assert any("Compiling" in message for message in caplog.messages)


def test_a_model_of_a_trillion_parameters_needs_no_memory():
    model = shapes_of(lambda key: nn.Dense(p=10**5, q=10**5, n=10, key=key))
    report = quiet(model, (10**5, 10, 10))
    assert report.parameters == 10**12 + 10**7
    assert report.flops_forward == 2 * 10**13 + 10**7


def test_a_gradient_that_cannot_be_told_is_none():
    class Loop(eqx.Module):
        def __call__(self, x):
            return jax.lax.while_loop(lambda x: x.sum() < 9, lambda x: x + 1, x)

    report = quiet(nn.Sequential([Loop(), dense(2, 1)]), (2, 2, 2))
    assert [row.flops_backward is None for row in report.rows] == [True, True, False]
    assert report.cells()[1][-1] == "-"
