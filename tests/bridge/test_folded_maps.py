"""Maps of neurons as maps of their entries, with the same function."""

from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox import nn
from matrinox.bridge import to_equinox

KEY = jax.random.key(0)


def test_a_folded_dense_layer_has_the_weight_of_the_column_law(assert_folded, draw, drawn):
    dense = drawn(lambda: nn.Dense(p=2, q=3, n=2, key=KEY))
    linear = assert_folded(dense, draw(2, 2, 2, 2))
    assert type(linear) is eqx.nn.Linear
    flat = jnp.concatenate([jnp.concatenate(row, -1) for row in dense.weight])
    np.testing.assert_array_equal(linear.weight, jnp.kron(flat, jnp.eye(2)))
    assert jnp.mean(linear.weight == 0) == 0.5


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Dense(p=2, q=3, n=2, transposed=True, use_bias=False, key=KEY),
        lambda: nn.BilinearDense(p=2, q=3, n=2, rank=3, key=KEY),
        lambda: nn.ConjugationDense(p=2, q=3, n=2, key=KEY),
        lambda: nn.Sequential([nn.Bias(p=2, n=2, per="row"), nn.Scaler(p=2, n=2, per="matrix")]),
    ],
    ids="dense bilinear conjugation affine".split(),  # noqa: SIM905
)
def test_affine_maps_of_matrices_are_linear_layers(make, assert_folded, draw, drawn):
    assert_folded(drawn(make), draw(2, 2, 2, 2))


def test_at_each_place_too(assert_folded, draw, drawn):
    assert_folded(drawn(lambda: nn.Dense(p=2, q=1, n=2, key=KEY)), draw(1, 3, 2, 2, 2), axes=1)


def test_heads_are_linear_layers(assert_folded, draw, drawn):
    x = draw(2, 2, 2, 2)
    for head in (
        lambda: nn.ClassificationHead(p=2, classes=3, n=2, key=KEY),
        lambda: nn.RegressionHead(p=2, outputs=1, n=2, use_bias=False, key=KEY),
        lambda: nn.FlattenLinear(p=2, features=3, n=2, key=KEY),
    ):
        assert type(assert_folded(drawn(head), x, gives_matrices=False)) is eqx.nn.Linear
    with pytest.raises(ValueError, match="its read-out 'frobenius_norm' is no linear map"):
        to_equinox(nn.RegressionHead(p=2, outputs=1, n=2, read="frobenius_norm", key=KEY))


def test_convolutions_are_of_features(assert_folded, draw, drawn):
    conv = partial(nn.Conv2d, p=2, q=4, n=2, kernel=(3, 2), stride=2, padding="SAME", groups=2, key=KEY)
    adjoint = partial(nn.ConvTranspose2d, p=4, q=1, n=2, kernel=2, stride=2, output_padding=1, use_bias=False, key=KEY)
    assert_folded(drawn(lambda: nn.Sequential([conv(), adjoint()])), draw(2, 5, 4, 2, 2, 2))
    for axes in (1, 3):
        layer = partial(getattr(nn, f"Conv{axes}d"), p=1, q=2, n=2, kernel=2, dilation=2, key=KEY)
        assert_folded(drawn(layer), draw(1, *(4,) * axes, 1, 2, 2))


@pytest.mark.parametrize("use_bias", [True, False])
def test_cells_step_alike(use_bias, draw, drawn):
    h, c, x = draw(3, 3, 2, 2)[0], draw(3, 3, 2, 2)[1], draw(2, 2, 2)
    options = {"p": 2, "q": 3, "n": 2, "use_bias": use_bias, "key": KEY}

    @eqx.filter_jit
    def both(lstm, gru):
        given = to_equinox(lstm)(x.ravel(), (h.ravel(), c.ravel())), to_equinox(gru)(x.ravel(), h.ravel())
        return given, jax.tree.map(jnp.ravel, (lstm((h, c), x)[0], gru(h, x)[1]))

    theirs, ours = both(drawn(lambda: nn.LSTMCell(**options)), drawn(lambda: nn.GRUCell(**options, reset_after=True)))
    for a, b in zip(jax.tree.leaves(theirs), jax.tree.leaves(ours), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_attention_is_over_all_entries_and_shared_heads_are_repeated(draw, drawn):
    layer = drawn(
        lambda: nn.MultiheadAttention(p=4, n=2, heads=4, kv_heads=2, head_size=2, q=1, memory=3, use_bias=True, key=KEY)
    )
    x, memory, mask = 0.3 * draw(3, 4, 2, 2), 0.3 * draw(2, 3, 2, 2), jnp.array([[True, False], [True] * 2, [True] * 2])

    @eqx.filter_jit
    def both(layer):
        rows = [y.reshape(len(y), -1) for y in (x, memory, memory)]
        return to_equinox(layer)(*rows, mask), layer(x, memory, mask=mask).reshape(len(x), -1)

    np.testing.assert_allclose(*both(layer), rtol=1e-5, atol=1e-5)


def test_embedding_looks_up_the_same_entries(drawn):
    table = drawn(lambda: nn.Embedding(vocabulary=3, p=2, n=2, key=KEY))
    np.testing.assert_array_equal(to_equinox(table)(jnp.array(2)), table.weight[2].ravel())


def test_half_precision_stays_half_precision():
    layer = partial(nn.BilinearDense, p=1, q=1, n=2, dtype=jnp.bfloat16, key=KEY)
    linear = eqx.filter_eval_shape(lambda: to_equinox(layer()))
    assert linear.weight.dtype == linear.bias.dtype == jnp.bfloat16


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (
            lambda: nn.LSTMCell(p=1, q=1, n=2, gating="matmul", key=KEY),
            r"gates multiply as matrices \(gating='matmul'\)",
        ),
        (lambda: nn.LSTMCell(p=1, q=1, n=2, activations=(jax.nn.relu, jnp.tanh), key=KEY), "are not sigmoid and tanh"),
        (lambda: nn.GRUCell(p=1, q=1, n=2, key=KEY), "build with reset_after=True"),
        (lambda: nn.MultiheadAttention(p=1, n=2, heads=1, causal=True, key=KEY), "it is causal"),
        (lambda: nn.MultiheadAttention(p=1, n=2, heads=1, rotary=True, key=KEY), "it turns queries and keys"),
        (
            lambda: nn.Conv1d(p=2, q=2, n=2, kernel=1, batch_groups=2, key=KEY),
            r"its `batch_groups` \(=2\) has no counter",
        ),
    ],
    ids=range(6),
)
def test_what_no_scalar_layer_computes_is_refused(make, why):
    with pytest.raises(ValueError, match=why):
        eqx.filter_eval_shape(lambda: to_equinox(make()))
