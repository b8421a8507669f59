from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import embedding, unembed


def table(vocabulary: int = 5, dtype: Any = np.float32):
    return np.random.default_rng(0).normal(size=(vocabulary, 2, 3, 3)).astype(dtype)


def test_an_id_gives_its_row_and_a_distribution_the_mixture_of_rows():
    weight = jnp.array([[[[1.0, 2.0], [3.0, 4.0]]], [[[10.0, 20.0], [30.0, 40.0]]]])
    assert embedding(weight, jnp.array([1, 0, 1]))[:, 0, 0].tolist() == [[10, 20], [1, 2], [10, 20]]
    assert embedding(weight, jnp.array(0)).tolist() == [[[1, 2], [3, 4]]]
    # 0.5·1 + 0.25·10, and so on
    assert embedding(weight, jnp.array([0.5, 0.25])).tolist() == [[[3, 6], [9, 12]]]


def test_logits_are_frobenius_inner_products_worked_out_by_hand():
    weight = jnp.array([[[[1.0, 2.0], [3.0, 4.0]]], [[[0.0, 1.0], [0.0, 0.0]]]])
    x = jnp.array([[[1.0, 10.0], [100.0, 1000.0]]])
    assert unembed(weight, x).tolist() == [4321, 10]


def test_embedding_and_unembedding_equal_float64_numpy(x64):
    weight, random = table(dtype=np.float64), np.random.default_rng(1)
    ids, mixture = random.integers(0, 5, (3, 4)), random.dirichlet(np.ones(5), (3, 4))
    assert np.array_equal(embedding(weight, ids), weight[ids])
    np.testing.assert_allclose(embedding(weight, mixture), np.einsum("btv,vpij->btpij", mixture, weight), rtol=1e-12)
    x = random.normal(size=(3, 4, 2, 3, 3))
    np.testing.assert_allclose(unembed(weight, x), np.einsum("btpij,vpij->btv", x, weight), rtol=1e-12)


def test_one_hot_rows_give_what_their_ids_give_and_the_same_gradient():
    weight, ids = jnp.asarray(table()), jnp.array([[3, 0, 3], [4, 3, 1]])
    one_hot = jax.nn.one_hot(ids, 5)
    np.testing.assert_allclose(embedding(weight, one_hot), embedding(weight, ids), rtol=1e-6)
    pull = jnp.asarray(np.random.default_rng(1).normal(size=(2, 3, 2, 3, 3)), jnp.float32)
    gradient = jax.jit(jax.grad(lambda weight, x: jnp.sum(pull * embedding(weight, x))))
    np.testing.assert_allclose(gradient(weight, ids), gradient(weight, one_hot), rtol=1e-6, atol=1e-6)


def test_the_gradient_of_a_repeated_id_is_the_sum_over_its_places():
    pull = jnp.asarray(np.random.default_rng(1).normal(size=(3, 2, 3, 3)), jnp.float32)
    gradient = jax.grad(lambda weight: jnp.sum(pull * embedding(weight, jnp.array([3, 0, 3]))))(table())
    np.testing.assert_allclose(gradient[3], pull[0] + pull[2], rtol=1e-6)
    assert np.array_equal(gradient[0], pull[1])
    assert not np.any(gradient[jnp.array([1, 2, 4])])


def test_the_gradient_of_an_id_repeated_a_thousand_times_is_summed_in_single_precision():
    # A running sum of ones in bfloat16 stops at 256.
    weight = jnp.asarray(table(), jnp.bfloat16)
    gradient = jax.grad(lambda weight: jnp.sum(embedding(weight, jnp.full(1000, 2)).astype(jnp.float32)))(weight)
    assert gradient.dtype == jnp.bfloat16
    assert np.array_equal(gradient[2], jnp.full((2, 3, 3), 1000, jnp.bfloat16))


def test_gradients_match_finite_differences(x64):
    weight, ids = table(dtype=np.float64), np.array([3, 0, 3])
    check_grads(jax.jit(lambda weight: embedding(weight, ids)), (weight,), order=1)
    mixture = np.random.default_rng(1).dirichlet(np.ones(5), 3)
    check_grads(jax.jit(lambda weight, x: unembed(weight, embedding(weight, x))), (weight, mixture), order=1)


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.uint8, jnp.int16, jnp.uint32])
def test_ids_may_be_integers_of_any_dtype(dtype):
    # 300 rows are more than 8 bits count.
    weight, ids = table(300), jnp.array([3, 0, 127], dtype)
    assert np.array_equal(embedding(weight, ids), weight[[3, 0, 127]])
    assert np.array_equal(jax.jit(embedding)(weight, ids), weight[[3, 0, 127]])


@pytest.mark.parametrize(("ids", "found"), [([0, 5], "5"), ([4, -1], "-1"), ([2**32 + 1], "4294967297")])
def test_an_id_outside_the_vocabulary_is_refused(ids, found):
    message = rf"`x` holds the id {found}, which must be from 0 to `vocabulary` − 1 \(=4\): choose a larger"
    with pytest.raises(ValueError, match=message):
        embedding(table(), np.array(ids))


def test_an_id_outside_the_vocabulary_gives_nan_while_tracing_and_nothing_else():
    weight, ids = jnp.asarray(table()), jnp.array([0, 5, -1, 4, -5, 2**31 - 1])
    for rows in (jax.jit(embedding)(weight, ids), jax.vmap(lambda i: embedding(weight, i))(ids)):
        assert np.isnan(rows[jnp.array([1, 2, 4, 5])]).all()
        assert np.array_equal(rows[jnp.array([0, 3])], weight[jnp.array([0, 4])])
    # A negative id of 8 bits among more rows than 8 bits count.
    assert np.isnan(jax.jit(embedding)(table(300), jnp.array([-1], jnp.int8))).all()


def test_no_ids_give_no_rows():
    assert embedding(table(), jnp.zeros((2, 0), int)).shape == (2, 0, 2, 3, 3)


def test_what_names_no_token_is_refused():
    with pytest.raises(ContractError, match=r"takes integer \(\*batch\) or float \(\*batch, vocabulary=5\).*is bool"):
        embedding(table(), jnp.array([True, False]))
    with pytest.raises(ContractError, match="axis -1 is 3, vocabulary is 5"):
        embedding(table(), jnp.array([0.0, 1.0, 2.0]))
    with pytest.raises(ContractError, match="got x as a list"):
        embedding(table(), [0, 1])  # pyright: ignore[reportArgumentType]
    with pytest.raises(ContractError, match=r"unembed got x float32\[2, 3, 4\].*axis -1 is 4, n is 3"):
        unembed(table(), jnp.ones((2, 3, 4)))
