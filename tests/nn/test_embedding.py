from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.functional import embedding, unembed
from matrinox.initializers import lecun_normal
from matrinox.nn import Embedding


@pytest.fixture(scope="module")
def layer():
    return Embedding(vocabulary=5, p=2, n=3, key=jax.random.key(0))


def test_embedding_gives_each_id_its_row():
    layer = Embedding(vocabulary=2, p=1, n=2, key=jax.random.key(0))
    layer = eqx.tree_at(lambda layer: layer.weight, layer, jnp.arange(8.0).reshape(2, 1, 2, 2))
    assert layer(jnp.array([1, 0, 1]))[:, 0].tolist() == [[[4, 5], [6, 7]], [[0, 1], [2, 3]], [[4, 5], [6, 7]]]
    assert layer(jnp.array([0.5, 2.0]))[0].tolist() == [[8, 10.5], [13, 15.5]]
    assert layer.attend(jnp.array([[[1.0, 0.0], [0.0, 10.0]]])).tolist() == [30, 74]


def test_embedding_equals_eqx_embedding_when_n_is_1():
    theirs = eqx.nn.Embedding(7, 4, key=jax.random.key(0))
    ours = Embedding(vocabulary=7, p=4, n=1, key=jax.random.key(0))
    assert np.array_equal(ours.weight[..., 0, 0], theirs.weight)
    ids = jnp.array([[3, 0], [6, 3]])
    assert np.array_equal(ours(ids)[..., 0, 0], jax.vmap(jax.vmap(theirs))(ids))


def test_embedding_is_its_functional_twins(layer):
    ids, mixture = jnp.array([[3, 0], [4, 3]]), jax.random.uniform(jax.random.key(1), (2, 5))
    assert np.array_equal(layer(ids), embedding(layer.weight, ids))
    assert np.array_equal(layer(mixture), embedding(layer.weight, mixture))
    x = jax.random.normal(jax.random.key(2), (4, 2, 3, 3))
    assert np.array_equal(layer.attend(x), unembed(layer.weight, x))


def test_ids_batch_jit_and_vmap_agree(layer):
    ids = jnp.array([[3, 0, 1], [4, 3, 2]])
    assert np.array_equal(eqx.filter_jit(layer)(ids), layer(ids))
    assert np.array_equal(jax.vmap(jax.vmap(layer))(ids), layer(ids))
    assert np.array_equal(layer(np.asarray(ids)), layer(ids))
    assert np.array_equal(layer(ids[1, 0], key=jax.random.key(0)), layer.weight[4])


def test_a_tied_head_gives_each_token_its_own_logit_the_largest():
    layer = Embedding(vocabulary=20, p=4, n=4, key=jax.random.key(0))
    assert np.array_equal(layer.attend(layer(jnp.arange(20))).argmax(-1), np.arange(20))


def test_entries_start_with_variance_1_and_logits_with_the_count_of_features():
    layer = Embedding(vocabulary=100, p=4, n=4, key=jax.random.key(0))
    assert float(jnp.var(layer(jnp.arange(100)))) == pytest.approx(1, rel=0.05)
    logits = layer.attend(jax.random.normal(jax.random.key(1), (100, 4, 4, 4)))
    assert float(jnp.var(logits)) == pytest.approx(4 * 4 * 4, rel=0.05)


def test_embedding_knows_its_sizes_stacked_too(layer):
    assert (layer.vocabulary, layer.p, layer.n) == (5, 2, 3)
    stacked = eqx.filter_vmap(lambda key: Embedding(vocabulary=5, p=2, n=3, key=key))(
        jax.random.split(jax.random.key(0))
    )
    assert (stacked.vocabulary, stacked.p, stacked.n) == (5, 2, 3)


def test_the_initializer_and_the_dtype_are_those_of_the_weight():
    key = jax.random.key(0)
    layer = Embedding(vocabulary=5, p=2, n=3, initializer=lecun_normal, dtype=jnp.bfloat16, key=key)
    assert np.array_equal(layer.weight, lecun_normal(key, (5, 2, 3, 3), jnp.bfloat16))
    assert layer(jnp.array([1])).dtype == jnp.bfloat16
    assert layer.attend(layer(jnp.array([1]))).dtype == jnp.bfloat16


@pytest.mark.parametrize("size", ["vocabulary", "p", "n"])
def test_a_size_below_1_is_refused(size):
    sizes: dict[str, Any] = {"vocabulary": 5, "p": 2, "n": 3, size: 0}
    with pytest.raises(ValueError, match=rf"`{size}` \(=0\) must be at least 1: choose a positive number"):
        Embedding(**sizes, key=jax.random.key(0))


def test_what_names_no_token_is_refused(layer):
    with pytest.raises(ValueError, match=r"`x` holds the id 5, which must be from 0 to `vocabulary` − 1 \(=4\)"):
        layer(jnp.array([0, 5]))
    with pytest.raises(ContractError, match=r"Embedding\(p=2, n=3, vocabulary=5\) got x bool\[2\].*its dtype is bool"):
        layer(jnp.array([True, False]))
    with pytest.raises(ContractError, match="axis -1 is 3, vocabulary is 5"):
        layer(jnp.array([0.0, 1.0, 2.0]))
    with pytest.raises(ContractError, match="got x as 3"):
        layer(3)
    with pytest.raises(ContractError, match=r"Embedding\(.*\)\.attend got x .*axis -3 is 3, p is 2"):
        layer.attend(jnp.ones((3, 3, 3)))


def test_an_unknown_id_gives_nan_while_tracing(layer):
    rows = eqx.filter_jit(layer)(jnp.array([0, 5, -1]))
    assert np.isnan(rows[1:]).all()
    assert np.array_equal(rows[0], layer.weight[0])
