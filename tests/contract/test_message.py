"""Every mistake, under every transform, at every depth: the whole message."""

import functools
import itertools
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, Integer, PRNGKeyArray, PyTree

from matrinox.contract import AnyArray, ContractError, contract
from matrinox.functional import relu
from matrinox.nn import Conv1d, Conv2d, Dense, MaxPool2d

KEY = jax.random.key(0)


@contract
class Halve(eqx.Module):
    """A user's module whose `__call__` breaks its own promise."""

    scale: Float[Array, ""]
    n: int = eqx.field(static=True)

    def __call__(
        self, x: Float[AnyArray, "*batch p {self.n} {self.n}"], *, key: None = None
    ) -> Float[Array, "*batch p {self.n} {self.n}"]:
        return self.scale * x[..., ::2, :, :]


class MyDense(Dense):
    """A user's subclass, not decorated itself."""


class MyConv1d(Conv1d):
    pass


class MyConv2d(Conv2d):
    pass


class MyHalve(Halve):
    pass


@functools.cache
def dense(cls):
    return cls(p=2, q=3, n=4, key=KEY)


@functools.cache
def conv1d(cls):
    return cls(p=2, q=3, n=4, kernel=3, key=KEY)


@functools.cache
def conv2d(cls):
    return cls(p=2, q=3, n=4, kernel=3, key=KEY)


@functools.cache
def halve(cls):
    return cls(jnp.ones(()), 4)


CLASSES = {dense: (Dense, MyDense), conv1d: (Conv1d, MyConv1d), conv2d: (Conv2d, MyConv2d), halve: (Halve, MyHalve)}

DUE = "(*batch, p=2, n=4, n=4)"
MISTAKES = {
    "swapped p and q": (
        dense,
        np.zeros((3, 4, 4), np.float32),
        f"(p=2, q=3, n=4) got x float32[3, 4, 4]; it takes {DUE}: axis -3 is 3, p is 2."
        " p and q are swapped: axis -3 holds q's size.",
    ),
    "wrong n": (
        dense,
        np.zeros((2, 5, 5), np.float32),
        f"(p=2, q=3, n=4) got x float32[2, 5, 5]; it takes {DUE}: axis -2 is 5, n is 4.",
    ),
    "not square": (
        dense,
        np.zeros((2, 4, 5), np.float32),
        f"(p=2, q=3, n=4) got x float32[2, 4, 5]; it takes {DUE}: axis -1 is 5, n is 4."
        " The matrices are not square: 4×5.",
    ),
    "neuron axis missing": (
        dense,
        np.zeros((4, 4), np.float32),
        f"(p=2, q=3, n=4) got x float32[4, 4]; it takes {DUE}: it has 2 axes, at least 3 are due."
        " The neuron axis is missing.",
    ),
    "time axis missing": (
        conv1d,
        np.zeros((2, 4, 4), np.float32),
        "(p=2, q=3, n=4) got x float32[2, 4, 4]; it takes (*batch, t, p=2, n=4, n=4):"
        " it has 3 axes, at least 4 are due. The time axis is missing.",
    ),
    "space axis missing": (
        conv2d,
        np.zeros((8, 2, 4, 4), np.float32),
        "(p=2, q=3, n=4) got x float32[8, 2, 4, 4]; it takes (*batch, h, w, p=2, n=4, n=4):"
        " it has 4 axes, at least 5 are due. One of the space axes (h, w) is missing.",
    ),
    "both space axes missing": (
        conv2d,
        np.zeros((2, 4, 4), np.float32),
        "(p=2, q=3, n=4) got x float32[2, 4, 4]; it takes (*batch, h, w, p=2, n=4, n=4):"
        " it has 3 axes, at least 5 are due. The space axes (h, w) are missing.",
    ),
    "integer dtype": (
        dense,
        np.zeros((2, 4, 4), np.int32),
        f"(p=2, q=3, n=4) got x int32[2, 4, 4]; it takes float {DUE}: its dtype is int32."
        " Cast it: x.astype(jnp.float32).",
    ),
    "a list": (
        dense,
        [[1.0, 2.0]],
        f"(p=2, q=3, n=4) got x as a list; it takes a float array {DUE}: convert it with jnp.asarray(x).",
    ),
    "a wrong return value": (
        halve,
        np.zeros((2, 4, 4), np.float32),
        "(n=4) returned float32[1, 4, 4]; it promises (*batch=(), p=2, n=4, n=4): axis -3 is 1, p is 2.",
    ),
    "two mistakes, so no cause is named": (
        dense,
        np.zeros((3, 4, 4), np.int32),
        f"(p=2, q=3, n=4) got x int32[3, 4, 4]; it takes float {DUE}: its dtype is int32.",
    ),
}


class Scanned(eqx.Module):
    layers: eqx.Module

    def __call__(self, x, *, key=None):
        arrays, rest = eqx.partition(self.layers, eqx.is_array)
        return jax.lax.scan(lambda carry, layer: (carry, eqx.combine(layer, rest)(x)), 0, arrays)[1]


class Checkpointed(eqx.Module):
    layer: eqx.Module

    def __call__(self, x, *, key=None):
        return eqx.filter_checkpoint(self.layer)(x)


class Pass(eqx.Module):
    def __call__(self, x, *, key=None):
        return x


class Block(eqx.Module):
    layers: list

    def __call__(self, x):
        for layer in self.layers:
            x = layer(x)
        return x


class Model(eqx.Module):
    encoder: eqx.Module

    def __call__(self, x):
        return self.encoder(x)


def stacked(layer):
    return jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), layer)


def vmapped(model, x):
    if isinstance(x, list):
        return eqx.filter_vmap(lambda model, _: model(x), in_axes=(None, 0))(model, np.zeros(2))
    return eqx.filter_vmap(model)(np.stack([x, x]))


def differentiated(model, x):
    return eqx.filter_grad(lambda model: jnp.sum(model(x)))(model)


def called(model, x):
    return model(x)


# How the layer is kept, the path from its keeper, and how the model is called.
TRANSFORMS = {
    "eager": (lambda layer: layer, "", called),
    "filter_jit": (lambda layer: layer, "", lambda model, x: eqx.filter_jit(model)(x)),
    "filter_vmap": (lambda layer: layer, "", vmapped),
    "filter_grad": (lambda layer: layer, "", differentiated),
    "scan over stacked layers": (lambda layer: Scanned(stacked(layer)), ".layers[*]", called),
    "checkpointed sublayer": (Checkpointed, ".layer", called),
}

# Which of the two classes, the model around the layer's keeper, and the path of the keeper.
DEPTHS = {
    "top level": (0, lambda layer: layer, ""),
    "nested twice": (0, lambda layer: Model(Block([Pass(), layer])), "encoder.layers[1]"),
    "inside eqx.nn.Sequential": (0, lambda layer: eqx.nn.Sequential([Pass(), Pass(), layer]), "layers[2]"),
    "a user's subclass": (1, lambda layer: Model(layer), "encoder"),
}


@pytest.mark.parametrize(
    ("mistake", "transform", "depth"), list(itertools.product(MISTAKES, TRANSFORMS, DEPTHS)), ids=lambda name: name
)
def test_the_message_names_path_module_sizes_what_came_what_was_due_and_the_cause(mistake, transform, depth):
    build, x, text = MISTAKES[mistake]
    keep, inner_path, call = TRANSFORMS[transform]
    which, nest, outer_path = DEPTHS[depth]
    cls = CLASSES[build][which]
    model = nest(keep(build(cls)))
    path = (outer_path + inner_path).removeprefix(".")
    with pytest.raises(ContractError) as caught:
        call(model, x)
    assert str(caught.value) == (f"{path}: " if path else "") + cls.__name__ + text


@contract
def mix(x: Float[AnyArray, "*batch p n n"], y: Float[AnyArray, "*batch p n n"]) -> Float[Array, "*batch p n n"]:
    return jnp.asarray(x) + y


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: mix(np.zeros((5, 2, 3, 3)), np.zeros((4, 2, 3, 3))),
            "mix got y float64[4, 2, 3, 3]; it takes (*batch=(5,), p=2, n=3, n=3):"
            " the axes of *batch are (4,), *batch is (5,).",
        ),
        (
            lambda: mix(np.zeros((2, 3, 3)), None),
            "mix got y as None; it takes a float array (*batch=(), p=2, n=3, n=3).",
        ),
        (
            lambda: mix(np.zeros((2, 3, 4)), np.zeros((2, 3, 3))),
            "mix got x float64[2, 3, 4]; it takes (*batch, p, n, n): axis -1 is 4, n is 3."
            " The matrices are not square: 3×4.",
        ),
        (lambda: Dense(p=2, q="3", n=4, key=KEY), "Dense got q as '3' (str); it takes an int."),
        (
            lambda: Dense(p=2, q=3, n=4, key=KEY)(np.zeros((5,), np.float32)),
            "Dense(p=2, q=3, n=4) got x float32[5]; it takes (*batch, p=2, n=4, n=4):"
            " it has 1 axis, at least 3 are due.",
        ),
    ],
)
def test_functions_and_constructors_say_what_they_take(call, text):
    with pytest.raises(ContractError) as caught:
        call()
    assert str(caught.value) == text


@contract
def pair(x: Float[AnyArray, "n"], which: str) -> tuple[Float[Array, "n"], Float[Array, "n"]]:
    return jnp.asarray(x), jnp.zeros(9)


@contract
def strict(x: Float[Array, "n"], y: Float[Array, "n"] | None = None) -> Float[Array, "n"]:
    return np.zeros(3, np.float32)


@contract
def tree(carry: PyTree[Float[AnyArray, "p n n"]], x: Float[AnyArray, "p n n"]) -> None:
    pass


@contract
def many(*xs: Float[AnyArray, "n"], y: Float[AnyArray, "n"], **rest: Float[AnyArray, "n"]) -> None:
    pass


@contract
def every(sizes: tuple[int, ...], labels: Float[AnyArray, "b c"] | Integer[AnyArray, "b"]) -> None:
    pass


@contract
def step(carry: tuple[Float[AnyArray, "*batch q n n"], Float[AnyArray, "*batch q n n"]]) -> None:
    pass


@contract
def seeded(seed: int | PRNGKeyArray) -> None:
    pass


@contract
def any_array(x: Float[Any, "n n"]) -> None:
    pass


@pytest.mark.parametrize(
    ("call", "text"),
    [
        (
            lambda: pair(np.zeros(3, np.float32), "a"),
            "pair returned [1] float32[9]; it promises (n=3): axis 0 is 9, n is 3.",
        ),
        (
            lambda: strict(np.zeros(3, np.float32)),
            "strict got x as a NumPy array float32[3]; it takes a float JAX array (n): convert it with jnp.asarray(x).",
        ),
        (
            lambda: strict(jnp.zeros(3)),
            "strict returned a NumPy array float32[3]; it promises a float JAX array (n=3):"
            " convert it with jnp.asarray.",
        ),
        (lambda: strict(jnp.zeros(3), jnp.zeros(4)), "strict got y float32[4]; it takes (n=3): axis 0 is 4, n is 3."),
        (
            lambda: tree({"h": np.zeros((2, 3, 3))}, np.zeros((5, 3, 3))),
            "tree got x float64[5, 3, 3]; it takes (p=2, n=3, n=3): axis 0 is 5, p is 2.",
        ),
        (
            lambda: tree({"h": np.zeros((2, 3, 4))}, np.zeros((2, 3, 3))),
            "tree got carry['h'] float64[2, 3, 4]; it takes (p, n, n): axis 2 is 4, n is 3."
            " The matrices are not square: 3×4.",
        ),
        (
            lambda: step((np.zeros((2, 3, 3)), np.zeros((2, 3, 4)))),
            "step got carry[1] float64[2, 3, 4]; it takes (*batch=(), q=2, n=3, n=3): axis -1 is 4, n is 3."
            " The matrices are not square: 3×4.",
        ),
        (
            lambda: step((np.zeros((2, 3, 3)),)),
            "step got carry as a tuple of 1; it takes a tuple of 2: a float array (*batch, q, n, n), a float array"
            " (*batch, q, n, n).",
        ),
        (
            lambda: many(np.zeros(2), np.zeros(3), y=np.zeros(2)),
            "many got xs[1] float64[3]; it takes (n=2): axis 0 is 3, n is 2.",
        ),
        (lambda: many(np.zeros(2), y=np.zeros(3)), "many got y float64[3]; it takes (n=2): axis 0 is 3, n is 2."),
        (
            lambda: many(y=np.zeros(2), z=np.zeros(3)),
            "many got rest['z'] float64[3]; it takes (n=2): axis 0 is 3, n is 2.",
        ),
        (
            lambda: every((1,), np.zeros((2, 2, 2), int)),
            "every got labels int64[2, 2, 2]; it takes float (b, c) or integer (b): it has 3 axes, 1 are due.",
        ),
        (
            lambda: seeded("zero"),
            "seeded got seed as 'zero' (str); it takes a PRNG key, such as jax.random.key(0) or an int.",
        ),
        (lambda: any_array(3), "any_array got x as 3 (int); it takes a float array (n, n)."),
        (
            lambda: relu(jax.random.key(0)),
            "relu got x key<fry>[]; it takes float (*shape): its dtype is key<fry>.",
        ),
    ],
)
def test_containers_unions_and_array_types_are_told_apart(call, text):
    with pytest.raises(ContractError) as caught:
        call()
    assert str(caught.value) == text


def test_where_any_number_of_neurons_will_do_a_missing_axis_has_no_name():
    with pytest.raises(ContractError) as caught:
        MaxPool2d(2)(np.zeros((8, 8, 4, 4), np.float32))
    assert str(caught.value).endswith("it has 4 axes, at least 5 are due.")


@pytest.mark.parametrize(
    ("build", "shape", "ending"),
    [
        (conv1d, (5, 4, 4), "The neuron axis is missing."),
        (conv1d, (4, 4), "at least 4 are due."),
        (dense, (3, 4, 5), "axis -3 is 3, p is 2."),
    ],
)
def test_a_cause_is_named_only_where_one_alone_explains_it(build, shape, ending):
    with pytest.raises(ContractError) as caught:
        build(CLASSES[build][0])(np.zeros(shape, np.float32))
    assert str(caught.value).endswith(ending)
