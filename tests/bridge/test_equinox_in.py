"""`from_equinox`: on random weights and inputs, what Equinox computes."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.bridge import from_equinox

KEY = jax.random.key(0)


def matrices(x):
    """Examples of Equinox, `(batch, features, *space)`, as 1×1 matrices, `(batch, *space, p, 1, 1)`."""
    return jnp.moveaxis(x, 1, -1)[..., None, None]


def assert_taken(theirs, x, **options):
    """What the layer gives for a batch `(batch, features, *space)` is what Equinox gives for each example."""

    # One program for all of it: what is taken eagerly would compile operation by operation.
    @eqx.filter_jit
    def both(theirs, x):
        ours = from_equinox(theirs, **options)
        return ours, ours(matrices(x)), matrices(eqx.filter_vmap(theirs)(x))

    ours, y, expected = both(theirs, x)
    assert (y.shape, y.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_allclose(y, expected, rtol=1e-6, atol=1e-6)
    return ours


def test_linear_is_dense(draw, drawn):
    ours = assert_taken(drawn(lambda: eqx.nn.Linear(4, 3, key=KEY)), draw(2, 4))
    assert type(ours) is nn.Dense
    assert (ours.p, ours.q, ours.n) == (4, 3, 1)
    assert_taken(drawn(lambda: eqx.nn.Linear(4, 3, use_bias=False, key=KEY)), draw(2, 4))


@pytest.mark.parametrize("axes", [1, 2, 3])
def test_convolutions_and_pools_are_channels_last(axes, draw, drawn):
    conv, adjoint, max_pool, avg_pool, adaptive = (
        partial(getattr(eqx.nn, f"{name}{axes}d"), **({"key": KEY} if name.startswith("Conv") else {}))
        for name in ("Conv", "ConvTranspose", "MaxPool", "AvgPool", "AdaptiveAvgPool")
    )
    theirs = drawn(
        lambda: eqx.nn.Sequential(
            [
                conv(4, 6, (3, 2, 2)[:axes], dilation=2, padding="SAME", groups=2),
                eqx.nn.Lambda(jax.nn.relu),
                max_pool(2, 1, padding=1),
                conv(6, 3, 2, padding="SAME_LOWER", use_bias=False),
                avg_pool(2, 2, padding=tuple((1, 0) for _ in range(axes))),
                adjoint(3, 2, 3, stride=2, padding=1, output_padding=1),
                adaptive(2),
            ]
        )
    )
    ours = assert_taken(theirs, draw(2, 4, *(4, 3, 3)[:axes]))
    assert [type(layer) for layer in ours] == [
        getattr(nn, f"{name}{axes}d") if name != "ReLU" else nn.ReLU
        for name in ("Conv", "ReLU", "MaxPool", "Conv", "AvgPool", "ConvTranspose", "AdaptiveAvgPool")
    ]


def test_a_convolutional_classifier_keeps_the_order_of_its_flattened_features(draw, drawn):
    theirs = drawn(
        lambda: eqx.nn.Sequential(
            [
                eqx.nn.Conv2d(1, 3, 3, key=KEY),
                eqx.nn.GroupNorm(3, 3),
                eqx.nn.Lambda(jax.nn.gelu),
                eqx.nn.Lambda(jnp.ravel),
                eqx.nn.Linear(3 * 4 * 3, 5, key=KEY),
                eqx.nn.Lambda(jax.nn.softmax),
            ]
        )
    )
    assert_taken(theirs, draw(2, 1, 6, 5))


@pytest.mark.parametrize("use_bias", [True, False])
def test_cells_step_alike(use_bias, draw, drawn):
    h, c, x = draw(3, 2, 4)[0], draw(3, 2, 4)[1], draw(2, 3)
    options = {"input_size": 3, "hidden_size": 4, "use_bias": use_bias, "key": KEY}

    @eqx.filter_jit
    def both(lstm, gru):
        expected, by_gru = eqx.filter_vmap(lstm)(x, (h, c)), eqx.filter_vmap(gru)(x, h)
        carry, y = from_equinox(lstm)((matrices(h), matrices(c)), matrices(x))
        given = (*carry, y, *from_equinox(gru)(matrices(h), matrices(x)))
        return given, [matrices(z) for z in (*expected, expected[0], by_gru, by_gru)]

    for ours, theirs in zip(
        *both(drawn(lambda: eqx.nn.LSTMCell(**options)), drawn(lambda: eqx.nn.GRUCell(**options))), strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=1e-6)


def test_a_taken_cell_runs_over_a_sequence(draw, drawn):
    xs = draw(5, 3)

    @eqx.filter_jit
    def both(cell):
        _, expected = jax.lax.scan(lambda h, x: (cell(x, h),) * 2, jnp.zeros(4), xs)
        return nn.Recurrent(from_equinox(cell))(xs[..., None, None])[..., 0, 0], expected

    np.testing.assert_allclose(*both(drawn(lambda: eqx.nn.GRUCell(3, 4, key=KEY))), rtol=1e-6, atol=1e-6)


def test_attention_is_of_neurons(draw, drawn):
    x, memory, mask = draw(2, 5, 4), draw(2, 3, 6), jnp.array(np.random.default_rng(2).random((5, 3)) < 0.7)
    mask = mask.at[:, 0].set(True)

    @eqx.filter_jit
    def both(of_itself, of_memory):
        expected = (
            eqx.filter_vmap(lambda x: of_itself(x, x, x))(x),
            eqx.filter_vmap(lambda x, memory: of_memory(x, memory, memory, mask))(x, memory),
        )
        x1, memory1 = x[..., None, None], memory[..., None, None]
        return (from_equinox(of_itself)(x1), from_equinox(of_memory)(x1, memory1, mask=mask)), expected

    of_itself = drawn(lambda: eqx.nn.MultiheadAttention(2, 4, use_query_bias=True, use_output_bias=True, key=KEY))
    of_memory = drawn(lambda: eqx.nn.MultiheadAttention(2, 4, 6, 6, 3, 3, 3, key=KEY))
    for ours, theirs in zip(*both(of_itself, of_memory), strict=True):
        np.testing.assert_allclose(ours[..., 0, 0], theirs, rtol=1e-6, atol=1e-6)


def test_rotary_positions_turn_alike(draw):
    theirs, x = eqx.nn.RotaryPositionalEmbedding(4, theta=100.0), draw(3, 4)
    both = jax.jit(lambda x: (from_equinox(theirs)(x[..., None, None])[..., 0, 0], theirs(x)))
    np.testing.assert_allclose(*both(x), rtol=1e-6, atol=1e-6)


def test_norms_are_of_features(draw, drawn):
    x = draw(2, 4)
    assert_taken(drawn(lambda: eqx.nn.LayerNorm(4, eps=0.1)), x)
    assert_taken(drawn(lambda: eqx.nn.RMSNorm(4, use_bias=False)), x)
    assert_taken(drawn(lambda: eqx.nn.GroupNorm(2, 4)), draw(2, 4, 3), axes=1)
    assert_taken(eqx.nn.GroupNorm(2, 4, channelwise_affine=False), x)


def test_embedding_looks_up_the_same_rows():
    theirs = eqx.nn.Embedding(5, 3, key=KEY)
    ids = jnp.array([4, 0, 4])
    np.testing.assert_array_equal(from_equinox(theirs)(ids)[..., 0, 0], jax.vmap(theirs)(ids))


@pytest.mark.parametrize(
    "options", [{"depth": 0}, {"depth": 2, "use_bias": False}, {"depth": 3, "scan": True}], ids=str
)
def test_mlp_is_an_mlp(options, draw, drawn):
    theirs = drawn(lambda: eqx.nn.MLP(3, 2, 4, **options, key=KEY, final_activation=jnp.sin))
    ours = assert_taken(theirs, draw(2, 3))
    assert type(ours) is nn.MLP
    assert len(ours) == (2 * options["depth"] + 2 if options["depth"] else 1)


def test_mlp_of_scalars_and_of_a_function_of_one_number(draw, drawn):
    # Equinox calls it for each number, of which the maximum is itself.
    theirs = drawn(lambda: eqx.nn.MLP("scalar", "scalar", 3, 1, activation=lambda z: jnp.max(z) ** 2, key=KEY))
    x = draw(4)
    both = eqx.filter_jit(lambda f: (from_equinox(f)(x[:, None, None, None])[:, 0, 0, 0], eqx.filter_vmap(f)(x)))
    np.testing.assert_allclose(*both(theirs), rtol=1e-6, atol=1e-6)


def test_what_has_no_weights_stays_what_it_is(draw):
    x = draw(2, 4)
    assert_taken(eqx.nn.Sequential([eqx.nn.Identity(), eqx.nn.Lambda(lambda z: z * jax.nn.sigmoid(z) + 1)]), x)
    dropout = from_equinox(eqx.nn.Dropout(0.25, inference=True))
    assert (type(dropout), dropout.rate, dropout.inference) == (nn.Dropout, 0.25, True)
    assert type(from_equinox(jax.nn.softplus)) is nn.Softplus
    assert type(from_equinox(eqx.nn.Lambda(jnp.ravel))) is nn.Lambda


def test_layers_of_a_tree_are_taken_one_by_one():
    ours = from_equinox({"encoder": [eqx.nn.Linear(2, 3, key=KEY)], "norm": (eqx.nn.LayerNorm(3),)})
    assert type(ours["encoder"][0]) is nn.Dense
    assert type(ours["norm"][0]) is nn.LayerNorm


def test_half_precision_stays_half_precision(draw, drawn):
    theirs = drawn(lambda: eqx.nn.MLP(3, 2, 4, 1, dtype=jnp.bfloat16, key=KEY))
    x = draw(2, 3, dtype=jnp.bfloat16)
    both = eqx.filter_jit(lambda f: (from_equinox(f)(x[..., None, None])[..., 0, 0], eqx.filter_vmap(f)(x)))
    y, expected = both(theirs)
    assert y.dtype == jnp.bfloat16
    # To a few units of its eight bits: sums are rounded here once, there twice.
    np.testing.assert_allclose(y.astype(float), expected.astype(float), rtol=2**-6, atol=2**-6)


class Own(eqx.Module):
    linear: eqx.nn.Linear

    def __call__(self, x, *, key=None):
        return self.linear(x)


def test_all_that_cannot_be_taken_is_told_at_once_by_path_type_and_reason():
    model = {
        "body": eqx.nn.Sequential(
            [
                eqx.nn.Linear(2, 3, key=KEY),
                eqx.nn.PReLU(),
                eqx.nn.Sequential([eqx.nn.Lambda(jnp.cumsum), Own(eqx.nn.Linear(3, 3, key=KEY))]),
            ]
        ),
        "head": eqx.nn.MultiheadAttention(2, 4, qk_size=3, vo_size=2, key=KEY),
    }
    with pytest.raises(ValueError, match="`layer` cannot be taken over from Equinox, for what is in it:") as caught:
        from_equinox(model)
    lines = str(caught.value).splitlines()[1:]
    assert [line.split(": ")[:2] for line in lines] == [
        ["  ['body'].layers[1]", "PReLU"],
        ["  ['body'].layers[2].layers[0]", "Lambda"],
        ["  ['body'].layers[2].layers[1]", "Own"],
        ["  ['head']", "MultiheadAttention"],
    ]


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda: eqx.nn.Conv2d(1, 1, 3, padding_mode="CIRCULAR", key=KEY), "pad with zeros"),
        (lambda: eqx.nn.Conv2d(1, 1, 3, stride=2, padding="SAME", key=KEY), "give it as pairs"),
        (lambda: eqx.nn.Conv(4, 1, 1, 3, key=KEY), "matrix convolutions have 1 to 3 space axes, not 4"),
        (lambda: eqx.nn.MaxPool2d(2, use_ceil=True), "give the padding as pairs"),
        (lambda: eqx.nn.LayerNorm((2, 3)), r"its `shape` \(=\(2, 3\)\) must be of features alone"),
        (lambda: eqx.nn.GroupNorm(2, channelwise_affine=False), "build it with their number"),
        (lambda: eqx.nn.BatchNorm(2, "batch", mode="ema"), "only 'batch' has a counterpart"),
        (lambda: eqx.nn.MultiheadAttention(2, 4, 6, 8, key=KEY), "are made of the same memory"),
        (lambda: eqx.nn.MLP(2, 2, 2, 1, activation=eqx.nn.PReLU(), key=KEY), "has parameters, a copy for each neuron"),
        (lambda: eqx.nn.Linear(2, 2, dtype=jnp.complex64, key=KEY), "its weight is of complex64"),
        (lambda: eqx.filter_vmap(lambda k: eqx.nn.Linear(2, 2, key=k))(jax.random.split(KEY, 3)), "one by one"),
        (lambda: eqx.nn.WeightNorm(eqx.nn.Linear(2, 2, key=KEY)), "it has no counterpart among matrix layers"),
        (lambda: eqx.nn.Pool(0, jax.lax.add, 1, 2), "its operation is not known"),
        (lambda: nn.ReLU(), "it is no layer of Equinox"),
        (lambda: 3.0, "it is no layer"),
    ],
)
def test_what_has_no_counterpart_is_refused(make, why):
    with pytest.raises(ValueError, match=why):
        eqx.filter_eval_shape(lambda: from_equinox(make()))
