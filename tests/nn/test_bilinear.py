import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.functional import bilinear_dense
from matrinox.initializers import identity_plus_noise, orthogonal
from matrinox.nn import BilinearDense


def drawn(key, shape, dtype):
    """An initializer that compiles nothing; all matrices on the right are the same."""
    return jnp.asarray(np.random.default_rng(0).normal(size=shape), dtype)


def build(**options):
    weights = {"initializer": drawn, "right_initializer": drawn}
    return BilinearDense(**{"p": 2, "q": 3, "n": 2, "key": jax.random.key(0), **weights, **options})


@pytest.fixture
def layer():
    right, bias = (np.random.default_rng(1).normal(size=shape) for shape in ((3, 2, 3, 2, 2), (3, 2, 2)))
    new = (jnp.asarray(right, jnp.float32), jnp.asarray(bias, jnp.float32))
    return eqx.tree_at(lambda layer: (layer.right, layer.bias), build(rank=3), new)


def test_bilinear_dense_multiplies_from_both_sides():
    layer = build(p=1, q=1)
    new = (jnp.array([[[[[1.0, 2.0], [3.0, 4.0]]]]]), jnp.array([[[[[0.0, 1.0], [1.0, 0.0]]]]]), jnp.ones((1, 2, 2)))
    layer = eqx.tree_at(lambda layer: (layer.left, layer.right, layer.bias), layer, new)
    # [[1, 2], [3, 4]] @ [[1, 0], [1, 1]] = [[3, 2], [7, 4]], its columns exchanged, and 1 everywhere
    assert np.array_equal(layer(jnp.array([[[1.0, 0.0], [1.0, 1.0]]])), [[[3.0, 4.0], [5.0, 8.0]]])


def test_bilinear_dense_equals_float64_numpy(layer, x64):
    wide = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), layer)
    x = np.random.default_rng(0).normal(size=(5, 2, 2, 2))
    left, right = np.asarray(wide.left), np.asarray(wide.right)
    expected = np.einsum("qpkai,bpij,qpkjc->bqac", left, x, right) + wide.bias
    np.testing.assert_allclose(wide(x), expected, rtol=1e-12, atol=1e-12)


def test_bilinear_dense_equals_eqx_linear_when_n_is_1():
    theirs = eqx.nn.Linear(5, 3, key=jax.random.key(0))
    ours = build(p=5, n=1)
    factor = jnp.full((3, 5, 1, 1, 1), 2.0)
    new = (theirs.weight[..., None, None, None] / factor, factor, theirs.bias[..., None, None])
    ours = eqx.tree_at(lambda layer: (layer.left, layer.right, layer.bias), ours, new)
    x = jax.random.normal(jax.random.key(2), (7, 5))
    np.testing.assert_allclose(ours(x[..., None, None])[..., 0, 0], jax.vmap(theirs)(x), rtol=1e-6, atol=1e-6)


def test_bilinear_dense_is_its_functional_twin(layer):
    x = jax.random.normal(jax.random.key(2), (5, 2, 2, 2))
    assert np.array_equal(layer(x), bilinear_dense(layer.left, layer.right, x, layer.bias))


def test_bilinear_dense_knows_its_sizes(layer):
    assert (layer.p, layer.q, layer.n, layer.rank) == (2, 3, 2, 3)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), layer)
    assert (stacked.p, stacked.q, stacked.n, stacked.rank) == (2, 3, 2, 3)


def test_the_default_weights_keep_the_variance_of_the_entries():
    layer = BilinearDense(p=64, q=32, n=4, rank=3, key=jax.random.key(0))
    y = layer(jax.random.normal(jax.random.key(1), (64, 64, 4, 4)))
    assert float(jnp.var(y)) == pytest.approx(1.0, rel=0.05)


def test_the_right_initializer_makes_each_matrix_by_itself():
    layer = BilinearDense(
        p=2,
        q=2,
        n=3,
        initializer=identity_plus_noise(0.0),
        right_initializer=orthogonal(),
        use_bias=False,
        key=jax.random.key(0),
    )
    gram = np.einsum("qpkij,qpkmj->qpkim", layer.right, layer.right)
    np.testing.assert_allclose(gram, np.broadcast_to(np.eye(3), gram.shape), atol=1e-6)
    assert len(np.unique(np.asarray(layer.right)[..., 0, 0])) == 4
    x = jax.random.normal(jax.random.key(1), (2, 3, 3))
    np.testing.assert_allclose(layer(x), jnp.stack([x[i] @ layer.right[i, i, 0] for i in range(2)]), rtol=1e-5)


def test_the_dtype_is_that_of_weights_and_bias():
    layer = build(dtype=jnp.bfloat16)
    assert layer.left.dtype == layer.right.dtype == layer.bias.dtype == jnp.bfloat16
    assert build(use_bias=False).bias is None


def test_precision_and_accumulation_dtype_are_kept_and_used():
    options = {"precision": "highest", "accumulation_dtype": "float32"}
    layer = build(**options)
    assert (layer.precision, layer.accumulation_dtype) == ("highest", np.dtype("float32"))
    text = jax.jit(lambda x: layer(x)).lower(jnp.ones((2, 2, 2))).as_text()
    assert "HIGHEST, HIGHEST" in text


@pytest.mark.parametrize("size", ["p", "q", "n", "rank"])
def test_a_size_below_1_is_refused(size):
    with pytest.raises(ValueError, match=rf"`{size}` \(=0\) must be at least 1"):
        build(**{size: 0})


def test_a_rank_that_adds_nothing_is_refused():
    with pytest.raises(ValueError, match=r"`rank` \(=5\) must be at most n² \(=4\), which gives every linear map"):
        build(rank=5)
    assert build(rank=4).rank == 4


def test_an_unknown_precision_and_sums_of_integers_are_refused():
    with pytest.raises(ValueError, match="did you mean 'high'"):
        build(precision="hihg")
    with pytest.raises(ValueError, match="must be a float dtype"):
        build(accumulation_dtype=int)


def test_bilinear_dense_refuses_swapped_p_and_q(layer):
    with pytest.raises(ContractError, match=r"BilinearDense\(p=2, q=3, n=2\) got x .*axis -3 is 3, p is 2"):
        layer(jnp.ones((3, 2, 2)))
