"""Chains of matrix layers as chains of scalar ones: which widths can be chosen, and what is built."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.bridge.twin_plan import plan_of

KEY = jax.random.key(0)


def zeros(key, shape, dtype):
    """Weights of which the twins' are not drawn either: each shape that is drawn compiles."""
    return jnp.zeros(shape, dtype)


def plan(*layers, shape):
    return plan_of(nn.Sequential(layers), shape, lambda chain, shape: eqx.nn.inference_mode(chain).shapes(shape))


def test_ends_of_the_task_stay_and_others_are_scaled():
    dense = partial(nn.Dense, n=2, initializer=zeros, key=KEY)
    of_features = plan(nn.Fold(2), dense(2, 4), nn.ReLU(), dense(4, 3), nn.Trace(), shape=(7,))
    assert of_features.widths(1) == (1, 7, 4, 3)
    assert of_features.widths(2.6) == (1, 7, 10, 3)
    assert of_features.chosen(of_features.widths(2)) == (8,)
    assert plan(dense(2, 4), dense(4, 3), nn.Flatten(), shape=(2, 2, 2)).widths(2) == (4, 8, 12)
    assert plan(dense(2, 4), dense(4, 3), shape=(2, 2, 2)).widths(2) == (4, 8, 6)


def test_widths_are_multiples_of_the_groups_on_both_sides():
    conv = partial(nn.Conv1d, n=2, kernel=1, initializer=zeros, key=KEY)
    of_groups = plan(
        conv(1, 4), nn.GroupNorm(groups=2, p=4, n=2, axes=1), conv(4, 6), conv(6, 6, groups=3), shape=(5, 1, 2, 2)
    )
    assert of_groups.widths(1.3) == (1, 6, 9, 9)


def test_options_stay_and_layers_in_layers_stand_in_a_row():
    inner = nn.MLP(
        p=1,
        q=1,
        n=2,
        hidden=(2,),
        use_bias=False,
        norm="rms",
        activation="relud",
        dropout=0.1,
        initializer=zeros,
        key=KEY,
    )
    built = plan(
        inner, nn.Conv1d(p=1, q=1, n=2, kernel=2, stride=2, padding=1, initializer=zeros, key=KEY), shape=(4, 1, 2, 2)
    )
    model = built.build(built.widths(2), KEY)
    assert [type(layer).__name__ for layer in model] == ["Dense", "RMSNorm", "ReLUd", "Dropout", "Dense", "Conv1d"]
    assert model[0].bias is None
    assert (model[5].stride, model[5].padding, model[5].kernel) == ((2,), 1, (2,))
    assert model(jnp.ones((4, 2, 1, 1)), key=KEY).shape == (3, 2, 1, 1)


def test_patches_are_given_as_numbers():
    built = plan(
        nn.Patches(2),
        nn.Dense(p=1, q=3, n=2, initializer=zeros, key=KEY),
        nn.GlobalAvgPool2d(),
        nn.Mean(),
        shape=(4, 4, 1),
    )
    model = built.build(built.widths(1), KEY)
    assert model[1].weight.shape == (3, 4, 1, 1)
    image = jnp.arange(16.0).reshape(4, 4, 1)
    np.testing.assert_array_equal(model[0](image)[0, 1, :, 0, 0], [2, 3, 6, 7])


def test_weights_of_zero_and_in_half_precision_stay_so():
    built = plan(nn.Dense(p=1, q=1, n=2, initializer=zeros, dtype=jnp.bfloat16, key=KEY), shape=(1, 2, 2))
    weight = built.build(built.widths(2), KEY)[0].weight
    assert weight.dtype == jnp.bfloat16
    assert not weight.any()


def test_summands_are_as_wide_as_each_other_and_what_they_are_added_to():
    dense = partial(nn.Dense, n=2, initializer=zeros, key=KEY)
    wider = nn.Residual(nn.Sequential([dense(4, 6), nn.ReLU(), dense(6, 6)]), shortcut=dense(4, 6))
    of_sums = plan(
        nn.Fold(2), dense(2, 4), nn.Residual(dense(4, 4)), wider, nn.BranchSum([dense(6, 5), dense(6, 5)]), dense(5, 3),
        nn.Trace(), shape=(7,),
    )  # fmt: skip
    assert of_sums.widths(1.3) == (1, 7, 5, 5, 8, 8, 8, 6, 6, 3)
    assert of_sums.chosen(of_sums.own) == (4, 4, 6, 6, 6, 5, 5)
    model = of_sums.build(of_sums.widths(1.3), KEY)
    assert [type(layer).__name__ for layer in model] == "Fold Dense Residual Residual BranchSum Dense Trace".split()  # noqa: SIM905
    assert model(jnp.ones((2, 7))).shape == (2, 3)


@pytest.mark.parametrize(
    ("layers", "why"),
    [
        (
            lambda dense: (nn.Fold(2), nn.Residual(dense(2, 2)), dense(2, 1), nn.Trace()),
            r"layers\[1\]: Residual: some summands have a width that the task sets",
        ),
        (
            lambda dense: (nn.Fold(2), dense(2, 2), nn.Residual(dense(2, 2)), nn.Trace()),
            r"layers\[2\]: Residual: its width is the task's, as what it gives is read out",
        ),
        (
            lambda dense: (dense(2, 2), nn.Residual(nn.Mamba(p=2, q=2, n=2, key=KEY))),
            r"layers\[1\].body: Mamba: it has no scalar twin: twins are of chains of dense, conv",
        ),
    ],
    ids=["input", "read-out", "inside"],
)
def test_sums_that_cannot_be_of_one_width_are_refused(layers, why):
    with pytest.raises(ValueError, match=why):
        plan(*layers(partial(nn.Dense, n=2, initializer=zeros, key=KEY)), shape=(2, 2, 2) if "body" in why else (8,))


def test_what_learns_nothing_of_the_tasks_numbers_stays():
    dense = partial(nn.Dense, n=2, initializer=zeros, key=KEY)
    rows, total = nn.Lambda(lambda x: x.reshape(*x.shape[:-2], -1)), nn.Lambda(lambda y: y.sum(-1))
    of_an_image = plan(rows, nn.Fold(2), dense(2, 4), dense(4, 3), nn.Trace(), total, shape=(2, 3))
    assert of_an_image.widths(2) == (1, 6, 8, 3)
    model = of_an_image.build(of_an_image.widths(2), KEY)
    assert (model[0], model[-1]) == (rows, total)
    assert model(jnp.ones((5, 2, 3))).shape == (5,)


def test_recurrent_layers_in_a_stack_stand_in_a_row():
    cells = [nn.RNNCell(p=p, q=q, n=2, initializer=zeros, key=KEY) for p, q in ((1, 2), (2, 3))]
    stack = nn.StackedRecurrent([nn.Recurrent(cell) for cell in cells], dropout=0.5)
    of_a_stack = plan(
        nn.Frames(n=2, shape=(6,), length=3), stack, nn.LastStep(), nn.ClassificationHead(3, 4, 2, key=KEY), shape=(6,)
    )
    assert of_a_stack.widths(2) == (1, 3, 4, 6, 4)
    model = of_a_stack.build(of_a_stack.widths(2), KEY)
    assert [type(layer).__name__ for layer in model[1:4]] == ["Recurrent", "Dropout", "Recurrent"]
    assert model(jnp.ones((5, 6)), key=KEY).shape == (5, 4)
