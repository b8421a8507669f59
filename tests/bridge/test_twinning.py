"""`twins`: three scalar networks, and what they cost, measured."""

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn, zoo
from matrinox.bridge import scalar_twin, twins
from matrinox.inspect import check

KEY = jax.random.key(0)


def zeros(key, shape, dtype):
    """Weights of which the twins' are not drawn either: each shape that is drawn compiles."""
    return jnp.zeros(shape, dtype)


def dense(p, q, n=2, **options):
    return nn.Dense(p=p, q=q, n=n, initializer=zeros, **options, key=KEY)


def chain(*layers):
    return nn.Sequential(layers)


def counted(twin):
    return twin.parameters, twin.flops, twin.state


@pytest.fixture(scope="module")
def of_an_mlp():
    return twins(
        chain(nn.Fold(2), nn.MLP(p=4, q=3, n=2, hidden=(6, 8), initializer=zeros, key=KEY), nn.Trace()), (15,), key=KEY
    )


def test_a_single_layer_has_the_twins_of_the_column_law():
    p, q, n = 2, 3, 4
    found = twins(chain(dense(p, q, n, use_bias=False)), (p, n, n), key=KEY)
    assert counted(found.model) == (p * q * n**2, 2 * p * q * n**3, q * n**2)
    assert found.same_parameters.model[0].weight.shape == (q * n, p * n, 1, 1)
    assert counted(found.same_parameters) == (p * q * n**2, 2 * p * q * n**2, q * n)
    # √n = 2 times as wide again.
    assert found.same_flops.model[0].weight.shape == (2 * q * n, 2 * p * n, 1, 1)
    assert counted(found.same_flops) == (4 * p * q * n**2, 2 * p * q * n**3, 2 * q * n)
    assert found.same_state.model[0].weight.shape == (q * n**2, p * n**2, 1, 1)
    assert counted(found.same_state) == (p * q * n**4, 2 * p * q * n**4, q * n**2)


def test_what_the_task_takes_and_gives_stays(of_an_mlp, draw):
    x = draw(2, 15)
    for twin in (of_an_mlp.same_parameters, of_an_mlp.same_flops, of_an_mlp.same_state):
        assert eqx.filter_eval_shape(twin.model, x).shape == (2, 3)
        assert {layer.n for layer in twin.model if hasattr(layer, "n")} == {1}
    assert of_an_mlp.same_state.widths == (6 * 4, 8 * 4)


def test_counts_are_those_of_a_dry_run(of_an_mlp):
    for twin in (of_an_mlp.model, of_an_mlp.same_flops):
        report = check(twin.model, (15,), verbose=False)
        assert (report.parameters, report.flops_forward) == (twin.parameters, twin.flops)


def test_no_other_widths_come_closer(of_an_mlp):
    wanted = of_an_mlp.model.parameters

    # One width more, and one less, of the narrower layer, of 15 numbers in and 3 out.
    def count(a, b):
        return 15 * a + a + a * b + b + b * 3 + 3

    first, second = of_an_mlp.same_parameters.widths
    assert count(first, second) == of_an_mlp.same_parameters.parameters
    distance = abs(np.log(of_an_mlp.same_parameters.parameters / wanted))
    assert distance < abs(np.log(count(first - 1, second - 1) / wanted))
    assert distance < abs(np.log(count(first + 1, second + 1) / wanted))


def test_the_table_tells_the_ratios_that_were_reached(of_an_mlp):
    table = str(of_an_mlp).splitlines()
    assert table[0].split() == "network hidden widths parameters FLOPs per example state".split()  # noqa: SIM905
    assert table[1].startswith("model            6 8 ")
    ratio = of_an_mlp.same_parameters.parameters / of_an_mlp.model.parameters
    assert f"({ratio:.3f})" in table[2]
    assert table[4].endswith("(1.000)")


def test_the_table_tells_the_example_and_what_is_widened(of_an_mlp):
    assert str(of_an_mlp).splitlines()[5:] == ["One example is all of (15,)."]
    open_ends = twins(chain(dense(1, 2)), (3, 1, 2, 2), key=KEY)
    assert open_ends.widened == ("inputs", "outputs")
    assert str(open_ends).splitlines()[5:] == [
        "One example is all of (3, 1, 2, 2).",
        "Inputs of the twins are widened too: no encoder sets them.",
        "Outputs of the twins are widened too, as the last of the hidden widths: no read-out sets them.",
    ]


def test_weights_start_with_the_gain_of_the_models_own():
    layer = nn.Dense(p=8, q=8, n=4, initializer=lambda *a: 3 * nn.linear.lecun_normal(*a), key=KEY)
    twin = twins(chain(layer), (8, 4, 4), key=KEY).same_state.model[0]
    assert abs(float(np.std(twin.weight)) * np.sqrt(twin.p) / 3 - 1) < 0.1


def test_convolutions_norms_heads_and_embeddings_have_twins():
    model = chain(
        nn.Patches(2),
        nn.Conv2d(p=1, q=4, n=2, kernel=1, initializer=zeros, key=KEY),
        nn.GroupNorm(groups=2, p=4, n=2, axes=2),
        nn.ReLUd(),
        nn.Conv2d(p=4, q=4, n=2, kernel=1, groups=4, use_bias=False, initializer=zeros, key=KEY),
        nn.MaxPool2d(2),
        nn.GlobalAvgPool2d(),
        nn.LayerNorm(p=4, n=2),
        nn.ClassificationHead(p=4, classes=3, n=2, initializer=zeros, key=KEY),
    )
    found = twins(model, (4, 4, 1), key=KEY)
    for twin in (found.same_parameters, found.same_flops, found.same_state):
        assert all(width % 4 == 0 for width in twin.widths)
        assert eqx.filter_eval_shape(twin.model, jax.ShapeDtypeStruct((4, 4, 1), np.float32)).shape == (3,)
    assert found.same_state.widths == (16, 16)
    words = chain(
        nn.Embedding(vocabulary=5, p=2, n=2, initializer=zeros, key=KEY),
        nn.FlattenLinear(p=2, features=3, n=2, initializer=zeros, key=KEY),
    )
    assert twins(chain(words[0]), (), key=KEY).model.flops == 0
    assert twins(words, (), key=KEY).same_state.parameters == 5 * 8 + 8 * 3 + 3


def test_recurrent_layers_both_ways_have_twins():
    cells = [nn.LSTMCell(p=1, q=2, n=2, forget_bias=1.0, initializer=zeros, key=KEY) for _ in range(2)]
    both = nn.Bidirectional(nn.Recurrent(cells[0]), nn.Recurrent(cells[1], reverse=True))
    head = nn.FlattenLinear(p=4, features=3, n=2, initializer=zeros, key=KEY)
    found = twins(chain(nn.Frames(2, (6,), 3), both, nn.LastStep(), head), (6,), key=KEY)
    # Two ways of 4 gates from 8 numbers and 3 to 8, and the read-out of both.
    assert found.same_state.widths == (16,)
    assert found.same_state.parameters == 2 * 4 * 8 * (8 + 3 + 1) + 16 * 3 + 3
    assert found.model.state == found.same_state.state == 2 * 16
    assert all(width % 2 == 0 for twin in (found.same_parameters, found.same_flops) for width in twin.widths)


def test_one_twin_is_that_of_the_three(of_an_mlp):
    model = of_an_mlp.model.model
    for kind in ("parameters", "flops", "state"):
        assert counted(scalar_twin(model, kind, (15,), key=KEY)) == counted(getattr(of_an_mlp, f"same_{kind}"))


def test_a_stateful_chain_is_counted_without_its_statistics():
    model, _ = eqx.nn.make_with_state(lambda: chain(dense(1, 2), nn.BatchNorm(p=2, n=2), dense(2, 1)))()
    found = twins(model, (1, 2, 2), key=KEY)
    assert found.model.parameters == 8 + 8 + 2 * 8 + 8 + 4
    assert found.same_state.widths == (8, 4)


def test_a_model_of_the_zoo_knows_the_shape_of_its_input():
    model = zoo.MLP(zoo.MLPConfig(features=4, n=2, widths=(2,), classes=3), key=KEY)
    model = jax.tree.map(lambda leaf: jnp.zeros_like(leaf) if eqx.is_array(leaf) else leaf, model)
    found = twins(model, key=KEY)
    assert found.model.model is model
    assert found.same_state.widths == (8,)


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (
            lambda: twins(nn.Tanh(), (1, 2, 2), key=KEY),
            r"`model` \(=Tanh\) must be a Sequential, or a model that calls",
        ),
        (lambda: twins(chain(dense(1, 1)), key=KEY), r"`shape` \(=None\) must be given"),
        (
            lambda: twins(chain(nn.Fold(2), dense(1, 1), nn.Trace()), (4,), key=KEY),
            "`model` has no hidden layer, whose width could be chosen",
        ),
        (lambda: twins(chain(nn.Tanh()), (1, 2, 2), key=KEY), "`model` must hold a layer of matrices"),
        (
            lambda: twins(chain(nn.Tanh(), chain(nn.BiMap(p=1, q=1, n=2, key=KEY))), (1, 2, 2), key=KEY),
            r"layers\[1\].layers\[0\]: BiMap: it has no scalar twin",
        ),
        (
            lambda: twins(
                chain(nn.Conv1d(p=1, q=1, n=2, kernel=1, layout="channel_first", key=KEY)), (1, 3, 2, 2), key=KEY
            ),
            r"its `layout` \(='channel_first'\) is not that of its twin",
        ),
        (
            lambda: twins(eqx.nn.MLP(2, 2, 2, 1, key=KEY), (2,), key=KEY),
            r"`model` \(=MLP\) must be a Sequential, .*: it is one of Equinox, so take it over with `from_eq",
        ),
        (
            lambda: twins(chain(dense(1, 1), eqx.nn.Linear(1, 1, key=KEY)), (1, 2, 2), key=KEY),
            r"`model` cannot be twinned .*\n  layers\[1\]: Linear: .*: take it over with `from_equinox` first",
        ),
        (
            lambda: twins(chain(nn.Lambda(lambda x: x[..., :1, :, :]), dense(1, 1)), (2, 2, 2), key=KEY),
            r"layers\[0\]: Lambda: its function gives \(1, 2, 2\) for \(2, 2, 2\), and what it gives for other widths",
        ),
        (lambda: twins(chain(nn.LayerNorm(p=1, n=2)), (1, 2, 2), key=KEY), "`model` has no hidden layer"),
        (
            lambda: twins(zoo.MLP(zoo.MLPConfig(features=4, n=2, widths=(2,), classes=3), key=KEY), (5, 4), key=KEY),
            r"`shape` \(=\(5, 4\)\) must be of one example, as \(4,\) is: leave out the batch axes",
        ),
    ],
    ids=range(11),
)
def test_what_has_no_twins_is_refused(call, why):
    with pytest.raises(ValueError, match=why):
        call()
