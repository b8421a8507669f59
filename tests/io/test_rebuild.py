"""Rebuilding: a config is traced for shapes alone, within a limit of work, and any difference from a model is named."""

import functools
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.initializers import orthogonal
from matrinox.io import Leaf, ModelFileError
from matrinox.io.rebuild import skeleton, structural_differences


@dataclass(frozen=True)
class Config:
    size: int = 2


def of(count: int) -> list[Leaf]:
    return [Leaf(f"[{i}]", "array", "float32", (2,)) for i in range(count)]


def test_a_skeleton_has_shapes_for_jax_arrays_and_the_rest_as_it_is(tiny: ModuleType) -> None:
    config = tiny.TinyConfig()
    found = skeleton(tiny.TinyNet, config, stateful=False, leaves=of(7))
    assert found.layers[1].weight == jax.ShapeDtypeStruct((2, 2, 2, 2), jnp.float32)
    assert found.head == jax.ShapeDtypeStruct((2,), jnp.bfloat16)
    assert (found.activation, found.rate, found.inference, found.config) == (jax.nn.relu, 0.25, False, config)


def test_a_skeleton_of_a_stateful_model_is_the_pair(tiny: ModuleType) -> None:
    model, state = skeleton(tiny.TinyStateful, tiny.TinyConfig(), stateful=True, leaves=of(7))
    assert isinstance(model, tiny.TinyStateful)
    assert isinstance(state, eqx.nn.State)
    assert {leaf.shape for leaf in jax.tree.leaves(state)} == {(), (2,)}


def test_numpy_leaves_of_a_skeleton_keep_their_64_bits() -> None:
    class Net(eqx.Module):
        table: np.ndarray

        def __init__(self, config: Config, *, key: jax.Array):
            self.table = np.arange(config.size, dtype=np.float64)

    found = skeleton(Net, Config(), stateful=False, leaves=of(1))
    assert isinstance(found.table, np.ndarray)
    assert found.table.dtype == np.float64


class Loops(eqx.Module):
    weight: jax.Array

    def __init__(self, config: Config, *, key: jax.Array):
        for _ in range(config.size):
            key = jax.random.fold_in(key, 0)
        self.weight = jax.random.normal(key, (2,))


def test_building_with_far_more_work_than_the_leaves_explain_is_stopped() -> None:
    with pytest.raises(
        ModelFileError, match=r"Loops does not build from its config: .* more work than a model of 1 leaves"
    ):
        skeleton(Loops, Config(50_000), stateful=False, leaves=of(1))
    assert sys.getprofile() is None


def test_building_of_many_shapes_is_not_stopped() -> None:
    class Widths(eqx.Module):
        layers: list[jax.Array]

        def __init__(self, config: Config, *, key: jax.Array):
            keys = jax.random.split(key, config.size)
            self.layers = [orthogonal()(keys[i], (i + 1, 3, 2, 2), jnp.float32) for i in range(config.size)]

    leaves = [Leaf(f"layers[{i}]", "array", "float32", (i + 1, 3, 2, 2)) for i in range(40)]
    assert len(skeleton(Widths, Config(40), stateful=False, leaves=leaves).layers) == 40


def test_building_many_layers_is_not_stopped(tiny: ModuleType) -> None:
    found = skeleton(tiny.TinyNet, tiny.TinyConfig(depth=300), stateful=False, leaves=of(603))
    assert len(found.layers) == 300


def test_a_profiler_at_work_keeps_its_hook() -> None:
    events: list[str] = []

    def profile(frame: Any, event: str, argument: Any) -> None:
        events.append(event)

    def work() -> None:
        sys.setprofile(profile)
        skeleton(Loops, Config(2), stateful=False, leaves=of(1))
        assert sys.getprofile() is profile
        sys.setprofile(None)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(events) > 100


def test_an_architecture_that_fails_to_build_says_why() -> None:
    class Net(eqx.Module):
        def __init__(self, config: Config, *, key: jax.Array):
            raise ValueError("`size` (=2) must be odd\nand more")

    with pytest.raises(ModelFileError, match=r"Net does not build from its config: `size` \(=2\) must be odd$"):
        skeleton(Net, Config(), stateful=False, leaves=of(1))


def test_an_architecture_that_needs_numbers_to_build_says_so() -> None:
    class Net(eqx.Module):
        size: int

        def __init__(self, config: Config, *, key: jax.Array):
            self.size = int(jax.random.randint(key, (), 0, 10))

    with pytest.raises(ModelFileError, match=r"Net does not build from its config: .*[Cc]oncrete"):
        skeleton(Net, Config(), stateful=False, leaves=of(1))


def recursive() -> Callable[[int], int]:
    def f(n: int) -> int:
        return 0 if n == 0 else f(n - 1)

    return f


def scaled(by: Any) -> Callable[[Any], Any]:
    return lambda x, offset=1: x * by + offset


class Holder(eqx.Module):
    dynamic: Any
    static: Any = eqx.field(static=True)


@pytest.mark.parametrize(
    "make",
    [
        lambda: jax.nn.relu,
        lambda: scaled(2),
        lambda: scaled((1, [2.0, {"a": None}])),
        lambda: scaled(np.arange(3)),
        lambda: recursive(),
        lambda: functools.partial(jnp.clip, min=0),
        lambda: functools.partial(scaled, by=scaled(3)),
        lambda: "text",
        lambda: (1, "a", None),
    ],
)
def test_two_makings_of_the_same_are_no_difference(make: Callable[[], Any]) -> None:
    assert structural_differences(Holder(make(), make()), Holder(make(), make())) == []


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (jax.nn.relu, jnp.tanh),
        (scaled(2), scaled(3)),
        (scaled(2), scaled(2.0)),
        (scaled(np.arange(3)), scaled(np.arange(4))),
        (functools.partial(jnp.clip, min=0), functools.partial(jnp.clip, min=1)),
        ("text", "Text"),
        (jax.nn.relu, None),
    ],
)
def test_another_function_or_text_is_a_difference_by_its_path(one: Any, other: Any) -> None:
    (line,) = structural_differences([Holder(one, 0)], [Holder(other, 0)])
    assert line.startswith("  [0].dynamic: in the model ")
    (line,) = structural_differences([Holder(0, one)], [Holder(0, other)])
    assert line.startswith("  [0].static (static): in the model ")


def test_what_cannot_be_compared_is_a_difference() -> None:
    class Odd:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        __hash__ = None  # pyright: ignore

    assert len(structural_differences(Holder(0, Odd()), Holder(0, Odd()))) == 1


@pytest.mark.parametrize(
    ("one", "other", "message"),
    [
        ((1, 2), [1, 2], "  tuple: in the model (1, 2), rebuilt [1, 2]"),
        ({"a": {"b": ()}}, {"a": {"b": None}}, "  ['a']['b']: in the model (), rebuilt None"),
        ({"a": ()}, {"b": ()}, "  dict: in the model of (<class 'dict'>, ['a']), rebuilt of (<class 'dict'>, ['b'])"),
        (((),), ((), ()), "  tuple: in the model 1 parts, rebuilt 2"),
        (jnp.tanh, Holder(0, 0), "  PjitFunction: in the model jax.numpy.tanh, rebuilt a Holder"),
    ],
)
def test_another_structure_is_a_difference(one: Any, other: Any, message: str) -> None:
    (line,) = structural_differences(one, other)
    assert line == message


def test_arrays_and_numbers_are_compared_elsewhere() -> None:
    assert structural_differences([jnp.zeros(2), 1, 2.0], [jax.ShapeDtypeStruct((3,), "int32"), 5, -1.0]) == []
