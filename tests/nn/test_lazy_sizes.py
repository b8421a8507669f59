import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float, Int

from matrinox import nn
from matrinox.contract import AnyArray, ContractError, contract
from matrinox.nn.lazy_sizes import missing_options, options_of, read_sizes, sizes_told


class Widths(eqx.Module):
    """Its sizes have names of their own, and an axis that only it can tell."""

    width: int
    side: int
    more: int = 1

    def __call__(
        self, x: Float[AnyArray, "*batch t={self.more}+1 {self.width} w={self.side} {self.side}"], *, key=None
    ):
        return x


class Pair(eqx.Module):
    """Takes a tuple, and one of two kinds of arrays."""

    p: int
    q: int
    n: int

    def __call__(
        self,
        state: tuple[Float[Array, "*batch {self.q} {self.n} {self.n}"], Float[Array, "*batch {self.q}"]],
        x: Float[Array, "*batch {self.p} {self.n} {self.n}"] | Int[Array, "*batch {self.p}"],
    ):
        return state, x


def read(layer_class, given, args, kwargs=None):
    return read_sizes("it", layer_class, given, missing_options(layer_class, given), args, kwargs or {})


def f32(*shape):
    return jnp.ones(shape)


def test_missing_options_are_those_without_a_default_and_the_key():
    assert list(options_of(nn.Bias)) == ["p", "n", "per", "initializer", "dtype", "key"]
    assert missing_options(nn.Dense, {"q": 3}) == ("p", "n")
    assert missing_options(nn.Dense, {"p": 2, "q": 3, "n": 4}) == ()
    assert missing_options(Widths, {}) == ("width", "side")
    assert missing_options(nn.ReLU, {}) == ()


def test_annotations_tell_the_sizes_they_name():
    assert sizes_told(nn.Dense, {"q": 3}) == ("p", "n")
    assert sizes_told(nn.Dense, {"q": 3, "n": 4}) == ("p",)
    assert sizes_told(Widths, {}) == ("width", "side")
    assert sizes_told(Pair, {}) == ("q", "n", "p")
    assert sizes_told(nn.ReLU, {}) == ()
    assert sizes_told(eqx.nn.Linear, {"out_features": 3}) == ()


@pytest.mark.parametrize("layout", ["channel_last", "channel_first", "n w p h n"])
def test_a_property_that_spells_the_axes_out_tells_the_sizes_in_it(layout):
    given = {"q": 3, "kernel": 2, "layout": layout}
    assert set(sizes_told(nn.Conv2d, given)) == {"p", "n"}
    shape = {"channel_last": (5, 6, 2, 4, 4), "channel_first": (2, 5, 6, 4, 4), "n w p h n": (4, 6, 2, 5, 4)}[layout]
    assert read(nn.Conv2d, given, (f32(7, *shape),)) == {"p": 2, "n": 4}


def test_sizes_are_read_off_the_axes_that_name_them():
    assert read(nn.Dense, {"q": 3}, (f32(5, 2, 4, 4),)) == {"p": 2, "n": 4}
    assert read(nn.Dense, {"q": 3, "n": 4}, (f32(2, 4, 4),), {"key": None}) == {"p": 2}
    assert read(nn.Dense, {"q": 3}, (), {"x": np.ones((2, 4, 4))}) == {"p": 2, "n": 4}
    assert read(Widths, {}, (f32(7, 2, 3, 4, 4),)) == {"width": 3, "side": 4}


def test_sizes_are_read_off_every_argument_and_part_of_a_tuple():
    state = (f32(7, 3, 4, 4), f32(7, 3))
    assert read(Pair, {}, (state, f32(7, 2, 4, 4))) == {"p": 2, "q": 3, "n": 4}
    assert read(Pair, {}, (state, jnp.ones((7, 2), int))) == {"p": 2, "q": 3, "n": 4}


def test_a_size_of_one_argument_is_due_in_the_next():
    with pytest.raises(ContractError, match=r"^it got x float32\[2, 5, 5\]; .*n=4.*axis -2 is 5, n is 4"):
        read(Pair, {}, ((f32(3, 4, 4), f32(3)), f32(2, 5, 5)))


@pytest.mark.parametrize(
    ("given", "x", "fact"),
    [
        ({"q": 3}, f32(4, 4), r"it takes \(\*batch, p, n, n\): it has 2 axes, at least 3 are due"),
        ({"q": 3}, f32(2, 4, 5), "axis -1 is 5, n is 4. The matrices are not square: 4×5"),
        ({"q": 3, "p": 3}, f32(2, 4, 4), r"\(\*batch, p=3, n, n\): axis -3 is 2, p is 3"),
        ({"q": 3}, jnp.ones((2, 4, 4), int), r"its dtype is int32. Cast it: x.astype\(jnp.float32\)"),
        ({"q": 3}, [1.0], "as a list"),
    ],
)
def test_an_input_that_fits_whatever_sizes_not_is_refused(given, x, fact):
    with pytest.raises(ContractError, match=rf"^it got x .*{fact}"):
        read(nn.Dense, given, (x,))


def test_a_call_that_leaves_a_size_open_is_refused():
    @contract
    class Optional(eqx.Module):
        p: int

        def __call__(self, x: Float[AnyArray, "*batch t"], y: Float[AnyArray, "*batch {self.p}"] | None = None):
            return x

    with pytest.raises(ContractError, match="it is called with nothing that tells `p`: give it to Lazy"):
        read(Optional, {}, (f32(3),))
    assert read(Optional, {}, (f32(3), f32(2))) == {"p": 2}
