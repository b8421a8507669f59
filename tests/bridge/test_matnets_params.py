"""`from_matnets` and `to_matnets`: parameters that compute the same with the functions of MATNETS."""

import builtins
import sys

import jax
import jax.numpy as jnp
import matnets
import numpy as np
import pytest

from matrinox import nn
from matrinox.bridge import from_matnets, to_matnets
from matrinox.contract import ContractError
from matrinox.functional import dense, gru_step
from matrinox.params import MatrixParams

KEY = jax.random.key(0)


@pytest.fixture
def theirs(draw):
    """A container of `(q, p, *kernel, n, n)`, with other numbers for another seed."""
    return lambda q, p, *kernel, n=2, seed=0: matnets.MatrixParams(
        draw(q, p, *kernel, n, n) + seed, draw(q, n, n) - seed
    )


def test_dense_parameters_compute_the_same(theirs, draw):
    params, x = theirs(3, 2), draw(2, 2, 2)
    expected = matnets.dense(params, x)
    np.testing.assert_allclose(dense(from_matnets(params), x), expected, rtol=1e-6)
    for transposed in (False, True):
        layer = from_matnets(params, nn.Dense(p=2, q=3, n=2, transposed=transposed, key=KEY))
        np.testing.assert_allclose(layer(x), expected, rtol=1e-6)
        np.testing.assert_allclose(matnets.dense(to_matnets(layer), x), expected, rtol=1e-6)


def test_kernels_compute_the_same(theirs, draw):
    params, x = theirs(3, 2, 2, 2), draw(4, 4, 2, 2, 2)
    layer = from_matnets(params, nn.Conv2d(p=2, q=3, n=2, kernel=2, stride=2, key=KEY))
    expected = matnets.lax.matrix_conv2d(to_matnets(layer), x, stride=2)
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-5)


def test_gates_are_fused_in_order_and_taken_apart_again(theirs, draw):
    h, x = draw(3, 2, 2), draw(1, 2, 2)
    lstm = {name: theirs(3, 4, seed=seed) for seed, name in enumerate("ogfi")}
    gru = {name: theirs(3, 4, seed=seed) for seed, name in enumerate("nrz")}
    assert from_matnets(lstm).W.shape == (12, 4, 2, 2)
    cell = from_matnets(lstm, nn.LSTMCell(p=1, q=3, n=2, gating="raw_matmul", key=KEY))
    (_, c), y = matnets.nn.lstm_step(lstm, (h, h), x)
    (_, our_c), our_y = cell((h, h), x)
    np.testing.assert_allclose(our_y, y, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(our_c, c, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        gru_step(from_matnets(gru), h, x)[1], matnets.nn.gru_step(gru, h, x)[1], rtol=1e-5, atol=1e-5
    )
    rnn = from_matnets(lstm["i"], nn.RNNCell(p=1, q=3, n=2, key=KEY))
    np.testing.assert_allclose(rnn(h, x)[1], matnets.nn.rnn_step(lstm["i"], h, x)[1], rtol=1e-5, atol=1e-5)
    for mine, order in ((to_matnets(cell), "ifgo"), (to_matnets(from_matnets(lstm), gates="ifgo"), "ifgo")):
        assert list(mine) == list(order)
        assert all(np.array_equal(mine[name].W, lstm[name].W) for name in order)
        assert all(np.array_equal(mine[name].B, lstm[name].B) for name in order)


def test_trees_of_parameters_go_both_ways(theirs):
    tree = {"encoder": [theirs(3, 2)], "head": (theirs(1, 3), {"z": theirs(1, 2), "other": theirs(1, 2)})}
    ours = from_matnets(tree)
    assert isinstance(ours["head"][1]["other"], MatrixParams)
    back = to_matnets(ours)
    assert jax.tree.structure(back) == jax.tree.structure(tree)
    assert all(map(np.array_equal, jax.tree.leaves(back), jax.tree.leaves(tree)))


def test_a_missing_bias_is_zero_there():
    given = to_matnets(nn.Dense(p=2, q=3, n=2, use_bias=False, dtype=jnp.bfloat16, key=KEY)).B
    assert given.dtype == jnp.bfloat16
    np.testing.assert_array_equal(given, np.zeros((3, 2, 2)))


@pytest.mark.parametrize(
    ("call", "why"),
    [
        (
            lambda one: from_matnets(one, nn.Dense(p=2, q=2, n=2, key=KEY)),
            r"W \(3, 2, 2, 2\); Dense takes \(2, 2, 2, 2\)",
        ),
        (
            lambda one: from_matnets([one], nn.Dense(p=2, q=3, n=2, key=KEY)),
            r"`params` \(=list\) must be the parameters of",
        ),
        (
            lambda one: from_matnets(one, nn.LSTMCell(p=1, q=1, n=2, key=KEY)),
            "gating='hadamard', where the gates of MATNETS",
        ),
        (lambda one: from_matnets(one, nn.Tanh()), r"`into` \(=Tanh\) is no Dense, convolution or cell"),
        (lambda one: from_matnets(3), r"`params` \(=int\) must be a container of parameters"),
        (lambda one: to_matnets(nn.GRUCell(p=1, q=1, n=2, reset_after=True, key=KEY)), "has reset_after=True"),
        (
            lambda one: to_matnets(nn.Conv1d(p=2, q=2, n=2, kernel=1, groups=2, key=KEY)),
            "has groups=2, which MATNETS does",
        ),
        (lambda one: to_matnets(from_matnets(one), gates="ifgo"), r"`gates` \(='ifgo'\) must divide q \(=3\)"),
    ],
    ids=range(8),
)
def test_what_computes_something_else_is_refused(call, why, theirs):
    with pytest.raises((ContractError, ValueError), match=why):
        call(theirs(3, 2))


def test_the_extra_is_named_where_matnets_is_missing(monkeypatch):
    imported = builtins.__import__
    monkeypatch.delitem(sys.modules, "matnets")

    def without(name, *args, **kwargs):
        if name == "matnets":
            raise ImportError(name)
        return imported(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ImportError, match=r'pip install "matrinox\[bench\]"'):
        to_matnets(MatrixParams(jnp.ones((1, 1, 2, 2))))
