import equinox as eqx
import jax
import jax.numpy as jnp
import pytest

from matrinox import nn
from matrinox.contract import ContractError
from matrinox.inspect import check

KEY = jax.random.key(0)


def quiet(model, *shapes, **options):
    return check(model, *shapes, verbose=False, **options)


def test_the_formulas_give_what_a_check_of_numbers_gives():
    scores = eqx.nn.Lambda(lambda x: jnp.einsum("bti,bsi->bts", x, x))
    pool = eqx.nn.Lambda(lambda x: x[:, : x.shape[1] // 2 * 2].reshape(x.shape[0], -1, 2, 3).max(2))
    model = nn.Sequential([pool, scores])
    report = quiet(model, ("b", "t", 3))
    assert (report.names, report.multiples) == (("b", "t"), (("t", 2),))
    assert [[str(size) for size in shape] for shape in report.rows[1].outputs] == [["b", "t/2", "3"]]
    assert str(report.rows[2].flops_forward) == "3·b·t^2/2"
    assert report.total().endswith("\nThe formulas hold where t can be divided by 2.")
    assert report.at(b=3, t=10) == quiet(model, (3, 10, 3))


def test_the_calls_in_a_loop_over_time_are_a_formula():
    report = quiet(nn.Recurrent(nn.RNNCell(2, 2, 2, key=KEY)), ("t", 2, 2, 2))
    assert [(row.kind, str(row.calls)) for row in report.rows[1:]] == [
        ("RNNCell.project", "1"),
        ("RNNCell.advance", "t"),
    ]
    assert (report.multiples, str(report.rows[0].inputs[0][0])) == ((), "t")


def test_few_positions_are_tried_where_a_model_has_no_more():
    model = nn.LearnedPosition(length=9, p=2, n=2, key=KEY)
    report = quiet(model, ("t", 2, 2, 2))
    assert report.at(t=7) == quiet(model, (7, 2, 2, 2))


def test_a_cost_that_is_no_polynomial_is_told_at_a_size():
    class Halved(eqx.Module):
        def __call__(self, x):
            for _ in range(x.shape[0].bit_length()):
                x = x + 1
            return x

    report = quiet(Halved(), ("t",))
    # Of 192 entries, eight times.
    assert str(report.flops_forward) == "1,536 at t=192"
    assert str(report.rows[0].outputs[0][0]) == "t"
    assert report.at(t=192).flops_forward == 1536
    with pytest.raises(ValueError, match=r"must be \{'t': 192\} for a cost that is no polynomial"):
        report.at(t=96)


def test_a_refusal_at_all_sizes_is_raised_with_the_size():
    with pytest.raises(ContractError, match=r"^Dense\(p=2, q=1, n=2\) got x float32\[48, 3, 2, 2\]") as caught:
        check(nn.Dense(p=2, q=1, n=2, key=KEY), ("t", 3, 2, 2))
    assert caught.value.__notes__[-1] == "Tried with t=48; other sizes did no better."


def test_layers_that_depend_on_a_named_size_are_refused():
    class Unrolled(eqx.Module):
        layer: eqx.nn.Identity

        def __call__(self, x):
            return jnp.stack([self.layer(each) for each in x])

    with pytest.raises(ValueError, match=r"`shapes` name t, on which it depends what layers are called: give numbers."):
        check(Unrolled(eqx.nn.Identity()), ("t", 2))
