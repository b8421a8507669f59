import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.extend.core import jaxprs_in_params
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import (
    apply_attention_weights,
    dense,
    dot_product_attention_logits,
    frobenius_score,
    matrix_attention,
    scaled_frobenius_score,
)
from matrinox.params import MatrixParams

SCORES = pytest.mark.parametrize("score_fn", [frobenius_score, scaled_frobenius_score])


def draw(seed, *shape):
    return np.random.default_rng(seed).normal(size=shape)


def tokens(*batch, t=3, s=4, p=2, n=2):
    """Q, K and V."""
    return draw(0, *batch, t, p, n, n), draw(1, *batch, s, p, n, n), draw(2, *batch, s, p, n, n)


def plain(score_fn):
    """The same score, not known by name."""
    return lambda q, k: score_fn(q, k)


def distance(q, k):
    return -jnp.sum((q - k) ** 2)


def by_loops(Q, K, V, score):
    context = np.zeros_like(Q)
    for i, query in enumerate(Q):
        weights = np.exp([score(query, key) for key in K])
        context[i] = np.einsum("s,spij->pij", weights / weights.sum(), V)
    return context


def test_scores_by_hand():
    Q, K = jnp.array([[[1.0, 2.0], [3.0, 4.0]]]), jnp.array([[[1.0, 0.0], [0.5, -1.0]]])
    assert frobenius_score(Q, K) == 1 + 1.5 - 4
    assert scaled_frobenius_score(Q, K) == (1 + 1.5 - 4) / 2
    assert frobenius_score(jnp.stack([Q, K]), jnp.stack([K, K])).tolist() == [-1.5, 2.25]


def test_scores_of_half_precision_are_summed_in_float32():
    ones = jnp.ones((64, 8, 8), jnp.bfloat16)
    assert frobenius_score(ones, ones).dtype == jnp.bfloat16
    assert frobenius_score(ones, ones) == 4096
    # The sum itself is beyond float16, its scaled value is not.
    assert scaled_frobenius_score(8 * ones.astype(jnp.float16), 8 * ones.astype(jnp.float16)) == 4096


def test_attention_by_hand():
    Q = jnp.array([[[[1.0]]], [[[0.0]]]])
    K = jnp.array([[[[np.log(3.0)]]], [[[0.0]]]])
    V = jnp.array([[[[4.0]]], [[[8.0]]]])
    # Weights 3/4 and 1/4 for the first query, equal ones for the second.
    np.testing.assert_allclose(matrix_attention(None, Q, K, V).ravel(), [5, 6], rtol=1e-6)
    np.testing.assert_allclose(
        matrix_attention(MatrixParams(jnp.full((1, 1, 1, 1), 2.0), jnp.ones((1, 1, 1))), Q, K, V).ravel(), [11, 13]
    )


@pytest.mark.parametrize(
    ("score_fn", "formula"),
    [
        (frobenius_score, lambda q, k: np.sum(q * k)),
        (scaled_frobenius_score, lambda q, k: np.sum(q * k) / np.sqrt(q.size)),
        (distance, lambda q, k: -np.sum((q - k) ** 2)),
        (lambda q, k: jnp.trace(q[0] @ k[1]), lambda q, k: np.trace(q[0] @ k[1])),
    ],
    ids=["frobenius", "scaled", "distance", "trace"],
)
def test_attention_equals_its_formula_in_numpy(x64, score_fn, formula):
    Q, K, V = tokens()
    np.testing.assert_allclose(
        matrix_attention(None, Q, K, V, score_fn), by_loops(Q, K, V, formula), rtol=1e-12, atol=1e-14
    )


def test_attention_equals_that_of_jax_when_n_is_1():
    Q, K, V = (jnp.asarray(x, jnp.float32) for x in tokens(2, p=4, n=1))
    heads = [x[..., 0, 0][..., None, :] for x in (Q, K, V)]
    theirs = jax.nn.dot_product_attention(*heads)
    np.testing.assert_allclose(matrix_attention(None, Q, K, V)[..., 0, 0], theirs[..., 0, :], rtol=1e-5, atol=1e-6)


@SCORES
def test_one_product_gives_the_values_and_gradients_of_the_score_pair_by_pair(x64, score_fn):
    operands = tokens(2)
    weights = draw(3, 2, 3, 2, 2, 2)

    @jax.jit
    def run(operands):
        def loss(score_fn):
            return lambda operands: jnp.sum(weights * matrix_attention(None, *operands, score_fn=score_fn))

        return [jax.value_and_grad(loss(score))(operands) for score in (score_fn, plain(score_fn))]

    fast, slow = run(operands)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-11, atol=1e-13), fast, slow)


@SCORES
def test_the_frobenius_scores_take_one_product_for_all_pairs(score_fn):
    Q, K, V = (jnp.asarray(x) for x in tokens(5))
    jaxpr = jax.make_jaxpr(lambda Q, K, V: matrix_attention(None, Q, K, V, score_fn))(Q, K, V)
    products = [eqn.outvars[0].aval.shape for eqn in equations(jaxpr.jaxpr) if eqn.primitive.name == "dot_general"]
    assert products == [(5, 3, 4), (5, 3, 8)]


def equations(jaxpr):
    for eqn in jaxpr.eqns:
        yield eqn
        for inner in jaxprs_in_params(eqn.params):
            yield from equations(inner)


def test_params_project_each_token_of_the_context(x64):
    Q, K, V = tokens(2)
    params = MatrixParams(draw(3, 5, 2, 2, 2), draw(4, 5, 2, 2))
    expected = dense(params, matrix_attention(None, Q, K, V))
    assert expected.shape == (2, 3, 5, 2, 2)
    np.testing.assert_allclose(matrix_attention(params, Q, K, V), expected, rtol=1e-12)


def test_gradients_match_finite_differences(x64):
    params = MatrixParams(draw(3, 3, 2, 2, 2), draw(4, 3, 2, 2))
    check_grads(jax.jit(lambda params, *x: matrix_attention(params, *x)), (params, *tokens()), order=1)


@pytest.mark.parametrize("score_fn", [scaled_frobenius_score, distance])
@pytest.mark.parametrize("batch", [(), (2,), (2, 2), (0,)])
def test_attention_takes_any_leading_axes(x64, batch, score_fn):
    Q, K, V = tokens(*batch)
    y = matrix_attention(None, Q, K, V, score_fn)
    assert y.shape == Q.shape
    one_by_one = [matrix_attention(None, Q[i], K[i], V[i], score_fn) for i in np.ndindex(batch)]
    np.testing.assert_allclose(
        y.reshape(-1, *Q.shape[-4:]), np.array(one_by_one).reshape(-1, *Q.shape[-4:]), rtol=1e-12
    )
    if len(batch) == 1:
        mapped = jax.vmap(lambda *x: matrix_attention(None, *x, score_fn=score_fn))(Q, K, V)
        np.testing.assert_allclose(mapped, y, rtol=1e-12)


@pytest.mark.parametrize("score_fn", [frobenius_score, plain(frobenius_score)], ids=["product", "pairs"])
def test_half_precision_is_kept_and_weighed_in_float32(score_fn):
    Q, K, V = (jnp.asarray(x, jnp.bfloat16) for x in tokens(s=300))
    y = matrix_attention(None, Q, 0 * K, V, score_fn)
    assert y.dtype == jnp.bfloat16
    # 300 equal weights sum to 1 in float32; in half precision they would stall on the way.
    np.testing.assert_allclose(y.astype(jnp.float32)[0], V.astype(jnp.float32).mean(0), rtol=0.02, atol=0.002)


def test_narrower_values_do_not_round_the_weights(x64):
    Q, K, V = tokens()
    narrow = V.astype(np.float32)
    y = matrix_attention(None, Q, K, narrow)
    assert y.dtype == jnp.float64
    np.testing.assert_allclose(y, matrix_attention(None, Q, K, narrow.astype(float)), rtol=1e-12)


def test_weights_far_apart_stay_finite():
    Q, K, V = (1e4 * jnp.asarray(x, jnp.float32) for x in tokens())
    assert np.isfinite(matrix_attention(None, Q, K, V)).all()
    assert np.isfinite(jax.grad(lambda Q: matrix_attention(None, Q, K, V).sum())(Q)).all()


def test_the_order_of_the_keys_does_not_matter(x64):
    Q, K, V = tokens()
    order = np.array([2, 0, 3, 1])
    np.testing.assert_allclose(
        matrix_attention(None, Q, K[order], V[order]), matrix_attention(None, Q, K, V), rtol=1e-12
    )


def test_logits_and_weights_by_hand():
    Q = jnp.array([[[[1.0, 2.0], [3.0, 4.0]]]])
    K = jnp.array([[[[1.0, 0.0], [0.5, -1.0]]], [[[0.0, 0.0], [0.0, 2.0]]]])
    logits = dot_product_attention_logits(Q, K)
    assert logits.tolist() == [[-0.75, 4.0]]
    np.testing.assert_array_equal(apply_attention_weights(logits, K), -0.75 * K[:1] + 4 * K[1:])


def test_logits_softmax_and_weights_make_attention(x64):
    Q, K, V = tokens(2, 2)
    logits = dot_product_attention_logits(Q, K)
    np.testing.assert_allclose(logits, np.einsum("...tpij,...spij->...ts", Q, K) / np.sqrt(8), rtol=1e-12)
    np.testing.assert_allclose(
        apply_attention_weights(jax.nn.softmax(logits), V), matrix_attention(None, Q, K, V), rtol=1e-12
    )


def test_logits_and_weights_of_half_precision_are_summed_in_float32():
    ones = jnp.ones((300, 2, 2, 2), jnp.bfloat16)
    # 300 terms of 1/512 stall at 1/2 in half precision.
    y = apply_attention_weights(jnp.full((1, 300), 1 / 512, jnp.bfloat16), ones)
    assert y.dtype == dot_product_attention_logits(ones, ones).dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32), 300 / 512, rtol=0.005)


def test_wrong_shapes_are_refused():
    Q, K, V = (jnp.asarray(x) for x in tokens())
    with pytest.raises(ContractError, match=r"matrix_attention got V .*: axis -4 is 3, s is 4"):
        matrix_attention(None, Q, K, V[:3])
    with pytest.raises(ContractError, match=r"matrix_attention got K .*: axis -3 is 1, p is 2"):
        matrix_attention(None, Q, K[:, :1], V)
    with pytest.raises(ContractError, match="not square"):
        matrix_attention(None, Q[..., :1], K, V)
    with pytest.raises(ContractError, match=r"dense got x .*: axis -3 is 2, p is 3"):
        matrix_attention(MatrixParams(jnp.ones((2, 3, 2, 2))), Q, K, V)
    with pytest.raises(ContractError, match=r"frobenius_score got K .*: axis -3 is 1, p is 2"):
        frobenius_score(Q[0], K[0, :1])
    with pytest.raises(ContractError, match="axis -3 is 1, p is 2"):
        scaled_frobenius_score(Q[0], K[0, :1])


def test_wrong_shapes_of_logits_and_weights_are_refused():
    Q, K, V = (jnp.asarray(x) for x in tokens())
    with pytest.raises(ContractError, match=r"dot_product_attention_logits got key .*: axis -3 is 1, p is 2"):
        dot_product_attention_logits(Q, K[:, :1])
    with pytest.raises(ContractError, match=r"apply_attention_weights got value .*: axis -4 is 3, s is 4"):
        apply_attention_weights(jnp.ones((3, 4)), V[:3])


def test_attention_to_nothing_is_refused():
    Q, K, V = tokens(s=0)
    with pytest.raises(ValueError, match=r"`K` \(of length s=0\) must hold at least one token"):
        matrix_attention(None, Q, K, V)


def test_a_score_that_is_no_number_is_refused():
    with pytest.raises(ContractError, match=r"`score_fn` must return one number for two tokens, .*shape \(2,\)"):
        matrix_attention(None, *tokens(), lambda q, k: jnp.sum(q * k, axis=(-2, -1)))
