"""One checked call must not disturb another: threads, recursion, errors, sizes that change."""

from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import equinox as eqx
import jax.numpy as jnp
import numpy as np
import pytest
from jaxtyping import Array, Float

from matrinox.contract import AnyArray, ContractError, contract
from matrinox.contract.checked import _progress


@contract
def first(params: SimpleNamespace, x: Float[AnyArray, "*batch {params.p} n n"]) -> Float[Array, "*batch n n"]:
    return jnp.asarray(x[..., 0, :, :])


def test_sizes_follow_the_argument_from_call_to_call():
    for p in (2, 3, 2):
        assert first(SimpleNamespace(p=p), np.zeros((p, 4, 4))).shape == (4, 4)
        with pytest.raises(ContractError, match=rf"it takes \(\*batch, p={p}, n, n\): axis -3 is 5, p is {p}"):
            first(SimpleNamespace(p=p), np.zeros((5, 4, 4)))


def test_an_argument_without_the_size_is_itself_reported():
    with pytest.raises(ContractError, match=r"^first got params as 3 \(int\); it takes a SimpleNamespace\.$"):
        first(3, np.zeros((2, 4, 4)))


def ordered(order: str, p: int) -> str:
    return " ".join({"p": f"p={p}"}.get(letter, letter) for letter in order.split("-"))


@contract
def neurons_last(order: str, x: Float[AnyArray, "*batch {ordered(order,2)}"]) -> Float[Array, "*batch t p=2"]:
    return jnp.moveaxis(jnp.asarray(x), -2 + order.split("-").index("p"), -1)


def test_a_token_may_stand_for_axes_that_follow_an_argument():
    for order, shape in (("p-t", (2, 5)), ("t-p", (5, 2)), ("p-t", (2, 3))):
        assert neurons_last(order, np.zeros(shape)).shape == (max(shape), 2)
    with pytest.raises(ContractError, match=r"^neurons_last got x .* \(\*batch, p=2, t\): axis -2 is 5, p is 2"):
        neurons_last("p-t", np.zeros((5, 2)))
    with pytest.raises(ContractError, match=r"it has 1 axis, at least 2 are due"):
        neurons_last("t-p", np.zeros(2))
    with pytest.raises(ContractError, match=r"^neurons_last got order as 3 \(int\); it takes a str\.$"):
        neurons_last(3, np.zeros((5, 2)))


def test_calls_in_many_threads_do_not_disturb_each_other():
    def attempt(p: int) -> str:
        try:
            return str(first(SimpleNamespace(p=p), np.zeros((2, 4, 4))).shape)
        except ContractError as error:
            return str(error)

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(attempt, [2, 3] * 40))
    assert set(answers[::2]) == {"(4, 4)"}
    assert {answer.split(":")[-1] for answer in answers[1::2]} == {" axis -3 is 2, p is 3."}


def test_nothing_is_left_behind_by_calls_that_fail():
    with pytest.raises(ContractError):
        first(SimpleNamespace(p=1), np.zeros((2, 4, 4)))
    with pytest.raises(TypeError, match="missing"):
        first()
    assert _progress.calls == []


@contract
class Refusing(eqx.Module):
    scale: float = 1.0

    def __call__(self, x: Float[AnyArray, "n"]) -> Float[Array, "n"]:
        raise ValueError("`scale` is wrong.")


@contract
class Holding(eqx.Module):
    layers: tuple

    def __call__(self, x: Float[AnyArray, "n"]) -> Float[Array, "n"]:
        return self.layers[-1](x)


@pytest.mark.parametrize("transform", [lambda f: f, eqx.filter_jit], ids=["eager", "jit"])
def test_an_error_by_value_has_a_note_of_where_in_the_model_it_was_raised(transform):
    model = Holding((eqx.nn.Identity(), Holding((Refusing(),))))
    with pytest.raises(ValueError, match=r"^`scale` is wrong") as caught:
        transform(model)(np.ones(2))
    ours = [note for note in caught.value.__notes__ if note.startswith("Raised")]
    assert ours == ["Raised in layers[1].layers[0]: Refusing."]


def test_an_error_by_value_at_the_top_level_has_no_note_and_one_of_the_contract_has_its_path_alone():
    with pytest.raises(ValueError, match="wrong") as caught:
        Refusing()(np.ones(2))
    assert not hasattr(caught.value, "__notes__")
    with pytest.raises(ContractError, match="Refusing got x") as caught:
        Holding((lambda x: Refusing()(x[None]),))(np.ones(2))
    assert not hasattr(caught.value, "__notes__")


def test_a_checked_function_keeps_its_name_and_documentation():
    @contract
    def documented(x: Float[AnyArray, "n"]) -> Float[Array, "n"]:
        """What it does."""
        return jnp.asarray(x)

    assert (documented.__name__, documented.__doc__) == ("documented", "What it does.")
