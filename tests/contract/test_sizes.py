from types import SimpleNamespace

import pytest
from equinox.nn import State
from jax import Array
from jaxtyping import Float, PyTree

from matrinox.contract import AnyArray
from matrinox.contract.sizes import evaluate_size, fill_sizes, label_of, named_sizes, spell_out

TOKENS = {"{self.p}": 2, "{params.n}": 4}


def test_named_sizes_are_the_tokens_with_braces():
    hint = Float[Array, "*batch {self.p} 2*{self.p} n {params.n}"]
    assert list(named_sizes(hint)) == ["{self.p}", "2*{self.p}", "{params.n}"]
    assert list(named_sizes(int)) == []


@pytest.mark.parametrize(
    ("token", "size", "label"),
    [
        ("{self.p}", 2, "p"),
        ("{n}", 5, "n"),
        ("2*{self.p}", 4, "2*p"),
        ("p={n}*{self.p}", 10, "p"),
        ("{self.p}*t", None, "p*t"),
    ],
)
def test_a_token_is_worth_a_whole_number_unless_it_takes_an_axis(token, size, label):
    assert evaluate_size(token, {"self": SimpleNamespace(p=2), "n": 5}) == size
    assert label_of(token) == label


@pytest.mark.parametrize(
    ("hint", "filled"),
    [
        (Float[Array, "*batch {self.p} n"], Float[Array, "*batch p=2 n"]),
        (Float[Array, "2*{self.p} n"], Float[Array, "2*{self.p} n"]),
    ],
)
def test_fill_sizes_replaces_the_tokens_that_have_a_value(hint, filled):
    assert fill_sizes(hint, TOKENS).dim_str == filled.dim_str
    assert fill_sizes(hint, TOKENS).dtype is filled.dtype
    assert fill_sizes(hint, TOKENS).array_type is filled.array_type


def test_fill_sizes_looks_into_unions_and_tuples_and_leaves_the_rest():
    union = fill_sizes(Float[AnyArray, "{self.p}"] | None, TOKENS)
    assert [getattr(option, "dim_str", option) for option in union.__args__] == ["p=2", "p=2", type(None)]
    pair = fill_sizes(tuple[Float[Array, "{params.n}"], State], TOKENS)
    assert pair.__args__[0].dim_str == "n=4"
    assert pair.__args__[1] is State
    tree = PyTree[Float[Array, "{self.p}"]]
    assert fill_sizes(tree, TOKENS) is tree


def test_evaluate_size_reads_the_argument():
    arguments = {"self": SimpleNamespace(p=2, inner=SimpleNamespace(n=5))}
    assert evaluate_size("{self.p}", arguments) == 2
    assert evaluate_size("{self.inner.n}", arguments) == 5
    with pytest.raises(AttributeError):
        evaluate_size("{self.q}", arguments)


def axes_of(count, layer):
    return " ".join(("h", "w")[:count]) + f" p={layer.p}"


@pytest.mark.parametrize(
    ("token", "axes"),
    [("{self.taken}", "p=2 h w"), ("{axes_of(2,self)}", "h w p=2"), ("{axes_of(self.p//2,self)}", "h p=2")],
)
def test_a_token_may_stand_for_axes_and_use_the_names_of_its_module(token, axes):
    arguments = {"self": SimpleNamespace(p=2, taken="p=2 h w")}
    assert evaluate_size(token, arguments, globals()) == axes
    hint = fill_sizes(Float[Array, f"*batch {token} n"], {token: axes})
    assert hint.dim_str == f"*batch {axes} n"


def test_spell_out_puts_axes_in_the_place_of_their_token_where_the_arguments_tell_them():
    layer = SimpleNamespace(p=2, taken="p=2 h w")
    assert spell_out("*batch {self.taken} {self.p} n", {"self": layer}) == "*batch p=2 h w {self.p} n"
    assert spell_out("*batch {params.taken} n", {"self": layer}) == "*batch {params.taken} n"
