import threading
import time

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from matrinox import nn
from matrinox.inspect import observe
from matrinox.inspect.observe import observed, recording

KEY = jax.random.key(0)


class Pair(eqx.Module):
    first: eqx.nn.Linear
    second: eqx.nn.Linear
    scale: float = 2.0

    def __call__(self, x):
        return self.second(self.first(x)) * self.scale


@pytest.fixture(scope="module")
def pair():
    return eqx.filter_eval_shape(lambda key: Pair(eqx.nn.Linear(3, 4, key=key), eqx.nn.Linear(4, 2, key=key)), KEY)


def traced(model, *shapes):
    arrays = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    return eqx.filter_make_jaxpr(lambda model, *x: model(*x))(model, *arrays)[0]


def test_an_observed_model_is_of_the_classes_and_fields_of_the_model(pair):
    twin = observed(pair)
    assert isinstance(twin, Pair)
    assert type(twin).__name__ == "Pair"
    assert isinstance(twin.first, eqx.nn.Linear)
    assert (twin.scale, twin.first.weight, twin.first.in_features) == (2.0, pair.first.weight, 3)
    # Whatever rebuilds it keeps it observed.
    assert type(jax.tree.map(lambda leaf: leaf, twin).first) is type(twin.first) is not eqx.nn.Linear


def test_calls_are_recorded_in_order_each_inside_another(pair):
    with recording() as record:
        traced(observed(pair), (3,))
    assert [call.path for call in record.calls] == ["", "first", "second"]
    assert [call.inside and call.inside.path for call in record.calls] == [None, "", ""]
    assert [call.outputs.shape for call in record.calls] == [(2,), (4,), (2,)]
    assert record.current is None


def test_outside_of_a_recording_an_observed_model_has_the_program_of_the_model(pair):
    assert str(traced(observed(pair), (3,))) == str(traced(pair, (3,)))


def test_the_markers_stand_around_the_work_of_a_layer(pair):
    with recording():
        names = [equation.primitive.name for equation in traced(observed(pair), (3,)).jaxpr.eqns]
    inner = ["enter_layer", "dot_general", "add", "exit_layer"]
    assert names == ["enter_layer", *inner, *inner, "mul", "exit_layer"]


def test_a_program_with_markers_can_be_differentiated_and_mapped(pair):
    def total(model, x):
        return jnp.sum(model(x))

    with recording() as record:
        jaxpr = eqx.filter_make_jaxpr(lambda model, rows: jax.vmap(jax.grad(lambda x: total(model, x)))(rows))(
            observed(pair), jax.ShapeDtypeStruct((5, 3), jnp.float32)
        )[0]
    assert [call.path for call in record.calls] == ["", "first", "second"]
    assert jaxpr.out_avals[0].shape == (5, 3)


def test_a_recording_ends_with_an_error(pair):
    with pytest.raises(TypeError), recording() as record:
        traced(observed(pair), (4,))
    assert [call.is_finished for call in record.calls] == [False, False]
    assert record.current is None
    assert "enter_layer" not in str(traced(observed(pair), (3,)))


def steps_of(program):
    """What a program does, in order, but for the markers, and for what a loop hands to these."""
    found = []
    for equation in program.eqns:
        parts = [
            part for value in equation.params.values() for part in (value if isinstance(value, tuple) else [value])
        ]
        inner = [getattr(part, "jaxpr", part) for part in parts if hasattr(getattr(part, "jaxpr", part), "eqns")]
        if equation.primitive.name not in ("enter_layer", "exit_layer"):
            taken = [] if inner else [var.aval for var in equation.invars]
            found.append((equation.primitive.name, taken, [var.aval for var in equation.outvars]))
        found += [step for part in inner for step in steps_of(part)]
    return found


def layers(key):
    return nn.Sequential([nn.Dense(p=2, q=3, n=2, key=key), nn.Dense(p=3, q=2, n=2, key=key)])


@pytest.mark.parametrize(
    "build",
    [
        lambda key: nn.Recurrent(nn.LSTMCell(2, 3, 2, key=key)),
        lambda key: nn.Mamba(2, 2, 2, state=3, key=key),
        lambda key: nn.MatrixScan(2, 2, 2, key=key),
        lambda key: nn.TransformerClassifier(2, 2, 3, layers=2, heads=2, checkpoint=True, key=key),
        lambda key: nn.lora(layers(key), 1, where="**", key=key),
        lambda key: nn.Constrained(layers(key), {"layers[0].weight": nn.SpectralNorm()}),
    ],
    ids=["Recurrent", "Mamba", "MatrixScan", "TransformerClassifier", "lora", "Constrained"],
)
def test_under_a_recording_a_model_does_what_it_does_without(build):
    model = eqx.filter_eval_shape(build, KEY)
    plain = steps_of(traced(model, (3, 4, 2, 2, 2)).jaxpr)
    with recording() as record:
        watched = steps_of(traced(observed(model), (3, 4, 2, 2, 2)).jaxpr)
    assert watched == plain
    assert len(record.calls) > 2


def test_parts_that_equinox_knows_by_class_are_left_as_they_are():
    norm, _ = eqx.nn.make_with_state(lambda: nn.BatchNorm(2, 2))()
    twin = observed(norm)
    indices = [leaf for leaf in jax.tree.leaves(twin, is_leaf=_is_index) if _is_index(leaf)]
    assert indices
    assert {type(index) for index in indices} == {eqx.nn.StateIndex}


def test_threads_that_observe_a_class_for_the_first_time_have_one_class_of_it(monkeypatch):
    class Fresh(eqx.Module):
        def __call__(self, x):
            return x

    barrier, found = threading.Barrier(2), []
    recorded = observe._recorded

    def slowly(method):
        time.sleep(0.02)
        return recorded(method)

    monkeypatch.setattr(observe, "_recorded", slowly)

    def watch():
        barrier.wait()
        found.append(type(observed(Fresh())))

    threads = [threading.Thread(target=watch) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2
    assert found[0] is found[1]


def _is_index(node):
    return isinstance(node, eqx.nn.StateIndex)
