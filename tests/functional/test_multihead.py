import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from matrinox.contract import ContractError
from matrinox.functional import matrix_attention, multihead_attention

T, S = 5, 4
PATHS = {"at once": {}, "in chunks": {"chunk": 3}}
paths = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)


def draw(seed, *shape, dtype=np.float64):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def tokens(*batch, t=T, s=S, p=4, kv=4, n=2, dtype=np.float64):
    """Q, K and V."""
    sizes = (t, p), (s, kv), (s, kv)
    return [draw(seed, *batch, length, neurons, n, n, dtype=dtype) for seed, (length, neurons) in enumerate(sizes)]


def some(seed, *shape):
    """A mask under which every query sees a key."""
    mask = np.random.default_rng(seed).random(shape) < 0.6
    mask[..., 0] = True
    return mask


def by_loops(Q, K, V, heads, mask=True, bias=0.0, causal=False):
    """One query of one head at a time, for one example."""
    t, p, n, _ = Q.shape
    s, size = len(K), p // heads
    kv_heads = K.shape[1] // size
    mask = np.broadcast_to(mask, (heads, t, s)) & (np.tri(t, s, dtype=bool) if causal else True)
    bias = np.broadcast_to(bias, (heads, t, s))
    y = np.zeros_like(Q)
    for head, i in np.ndindex(heads, t):
        own, shared = (slice(h * size, (h + 1) * size) for h in (head, head * kv_heads // heads))
        seen = [j for j in range(s) if mask[head, i, j] and bias[head, i, j] > -np.inf]
        scores = [np.sum(Q[i, own] * K[j, shared]) / np.sqrt(size * n * n) + bias[head, i, j] for j in seen]
        weights = np.exp(scores) / np.sum(np.exp(scores))
        y[i, own] = sum((weight * V[j, shared] for weight, j in zip(weights, seen, strict=True)), y[i, own])
    return y


def test_two_heads_by_hand():
    Q = jnp.array([1.0, 0.0]).reshape(1, 2, 1, 1)
    K = jnp.array([[np.log(3.0), 5.0], [0.0, -5.0]]).reshape(2, 2, 1, 1)
    V = jnp.array([[4.0, 4.0], [8.0, 8.0]]).reshape(2, 2, 1, 1)
    # Weights 3/4 and 1/4 in the first head, equal ones in the second.
    mask = jnp.array([[[False, True]], [[True, True]]])
    cases = ({}, {"mask": mask}, {"causal": True})
    run = jax.jit(lambda *x: [multihead_attention(*x, heads=2, **options).ravel() for options in cases])
    np.testing.assert_allclose(run(Q, K, V), [[5, 6], [8, 6], [4, 4]], rtol=1e-6)


CASES = {
    "plain": {},
    "shared keys, mask and bias of the heads": {"kv": 2, "mask": some(3, 4, T, S), "bias": draw(4, 4, T, S)},
    "one key head, a mask of the keys, causal": {"kv": 1, "mask": some(5, 1, S), "causal": True},
    "a bias that masks": {"bias": np.where(some(6, T, S), draw(7, T, S), -np.inf)},
}


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_every_path_equals_loops_in_numpy(case):
    options = dict(case)
    Q, K, V = tokens(kv=options.pop("kv", 4))
    expected = by_loops(Q, K, V, 4, **options)
    with jax.enable_x64(True):
        wide = jax.jit(lambda *x: multihead_attention(*x, heads=4, **options))(Q, K, V)
        np.testing.assert_allclose(wide, expected, rtol=1e-12, atol=1e-13)
    single = jax.jit(lambda *x: [multihead_attention(*x, heads=4, **options, **path) for path in PATHS.values()])
    for y in single(*(jnp.asarray(x, jnp.float32) for x in (Q, K, V))):
        np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)


def test_one_head_is_matrix_attention():
    Q, K, V = tokens(2, dtype=np.float32)
    run = jax.jit(lambda *x: (multihead_attention(*x, heads=1), matrix_attention(None, *x)))
    np.testing.assert_allclose(*run(Q, K, V), rtol=1e-5, atol=1e-6)


def test_a_query_that_sees_no_key_gets_zero_and_no_gradient_on_every_path():
    # Query 1 by the mask, 2 by the bias, and 3, which the mask and the order leave keys 2 and 3, by both.
    row, column = np.arange(T)[:, None], np.arange(S)
    options = {
        "mask": some(5, T, S) & (row != 1) & ((row != 3) | (column > 1)),
        "bias": np.where((row != 2) & ((row != 3) | (column < 2)), draw(6, T, S), -np.inf),
        "causal": True,
    }
    Q, K, V = (jnp.asarray(x, jnp.float32) for x in tokens())
    bias = jnp.asarray(options["bias"], jnp.float32)
    expected = by_loops(*tokens(), 4, **options)
    assert not expected[1:4].any()
    assert expected[[0, 4]].all()

    def loss(Q, K, V, bias, path):
        y = multihead_attention(Q, K, V, heads=4, **{**options, "bias": bias}, **path)
        return jnp.sum(jnp.sin(y)), y

    @jax.jit
    def run(rate, *x):
        # A rate that is not known while tracing may be 0.
        dropped = {"dropout": rate, "key": jax.random.key(0)}
        return [jax.grad(loss, (0, 1, 2, 3), has_aux=True)(*x, path) for path in (*PATHS.values(), dropped)]

    first, *rest = run(0.0, Q, K, V, bias)
    (dQ, _, _, dbias), y = first
    np.testing.assert_allclose(y, expected, rtol=1e-5, atol=1e-6)
    assert not dQ[1:4].any()
    assert not dbias[1:4].any()
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(first))
    for other in rest:
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=2e-6), first, other)


def test_gradients_match_finite_differences(x64):
    Q, K, V = tokens(t=4, s=5, p=2, kv=1, n=1)
    mask = some(3, 2, 4, 5)

    @jax.jit
    def run(Q, K, V, bias):
        return multihead_attention(Q, K, V, heads=2, bias=bias, mask=mask, causal=True)

    check_grads(run, (Q, K, V, draw(4, 2, 4, 5)), order=1)


@paths
def test_masks_and_biases_broadcast_over_any_leading_axes(path):
    Q, K, V = tokens(2, 3, kv=2, dtype=np.float32)
    masks = [some(i, *shape) for i, shape in enumerate([(1, S), (4, T, S), (3, 4, 1, S), (2, 1, 1, T, S)])]
    biases = [draw(i, *mask.shape, dtype=np.float32) for i, mask in enumerate(masks)]
    whole = (2, 3, 4, T, S)

    @jax.jit
    def run(Q, K, V):
        def each(Q, K, V, mask, bias):
            return multihead_attention(Q, K, V, heads=4, mask=mask, bias=bias, **path)

        broadcast = [each(Q, K, V, mask, bias) for mask, bias in zip(masks, biases, strict=True)]
        stacks = [
            jnp.stack([jnp.broadcast_to(x, whole) for x in scores]).reshape(-1, *whole[2:])
            for scores in (masks, biases)
        ]
        repeated = [jnp.concatenate([x.reshape(6, *x.shape[2:])] * len(masks)) for x in (Q, K, V)]
        return broadcast, jax.vmap(each)(*repeated, *stacks)

    broadcast, one_by_one = run(*map(jnp.asarray, (Q, K, V)))
    np.testing.assert_allclose(np.stack(broadcast).reshape(one_by_one.shape), one_by_one, rtol=1e-5, atol=1e-6)


@paths
def test_half_precision_is_kept_and_weighed_in_float32(path):
    Q, K, V = (jnp.asarray(x, jnp.bfloat16) for x in tokens(s=300, n=1))
    y = multihead_attention(Q, 0 * K, V, heads=4, **(path and {"chunk": 128}))
    assert y.dtype == jnp.bfloat16
    np.testing.assert_allclose(y.astype(jnp.float32)[0], V.astype(jnp.float32).mean(0), rtol=0.02, atol=0.002)


@paths
def test_dropout_sets_weights_to_zero_and_divides_the_rest(path):
    # Each key has an entry of its own in the values, so that the output shows the weights: 1/16, of equal scores.
    Q, K = jnp.zeros((30, 32, 4, 4)), jnp.zeros((16, 32, 4, 4))
    V = jnp.tile(jnp.eye(16).reshape(16, 1, 4, 4), (1, 32, 1, 1))

    @jax.jit
    def run(seed):
        key = jax.random.key(seed)
        return multihead_attention(Q, K, V, heads=32, dropout=0.25, key=key, **(path and {"chunk": 7}))

    first, again, other = 16 * run(0), 16 * run(0), 16 * run(1)
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    kept = np.asarray(first) > 0
    np.testing.assert_allclose(first, np.where(kept, 4 / 3, 0), rtol=1e-5)
    # 15,360 draws: five standard deviations are 0.0175.
    assert abs(kept.mean() - 0.75) < 0.0175
    # Draws of other queries, heads and keys are others: two agree with probability 3/4² + 1/4².
    kept = kept.reshape(30, 32, 16)
    for axis in range(3):
        assert abs((kept == np.roll(kept, 1, axis)).mean() - 0.625) < 0.02


def test_what_is_empty_gives_what_is_empty():
    Q, K, V = tokens(dtype=np.float32)
    assert multihead_attention(Q[:0], K, V, heads=2, chunk=2).shape == (0, 4, 2, 2)
    assert multihead_attention(*(np.stack([x] * 2)[:0] for x in (Q, K, V)), heads=2).shape == (0, T, 4, 2, 2)


def test_wrong_shapes_are_refused():
    Q, K, V = tokens(2, kv=2, dtype=np.float32)

    def refused(why, *x, **options):
        with pytest.raises(ContractError, match=why):
            multihead_attention(*x, heads=4, **options)

    refused("multihead_attention got V .*: axis -4 is 3, s is 4", Q, K, V[:, :3])
    refused("multihead_attention got V .*: axis -3 is 1, kv is 2", Q, K, V[:, :, :1])
    refused("not square", Q[..., :1], K, V)
    refused(r"got mask bool\[5, 3\]; it takes .*: axis 1 is 3, s is 4", Q, K, V, mask=np.ones((5, 3), bool))
    refused(r"got mask bool\[4\]; it takes bool \(\*batch=\(2,\), heads=4, t=5, s=4\)", Q, K, V, mask=np.ones(4, bool))
    refused("got mask .*: axis -3 is 2, heads is 4", Q, K, V, mask=np.ones((2, 2, 5, 4), bool))
    refused(r"got mask .*: the axes of \*batch are \(3,\)", Q, K, V, mask=np.ones((3, 4, 5, 4), bool))
    refused("got mask .* dtype is float32", Q, K, V, mask=np.ones((5, 4), np.float32))
    refused("got bias .*: axis -2 is 4, t is 5", Q, K, V, bias=np.ones((4, 4, 4), np.float32))
    refused("got implementation", Q, K, V, implementation="flash")
    with pytest.raises(ContractError, match=r"`K` \(of kv=3 neurons\) must hold whole heads, of p / heads \(=2\)"):
        multihead_attention(*tokens(kv=3), heads=2)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"heads": 0}, r"`heads` \(=0\) must be at least 1"),
        ({"heads": 3}, r"`p` \(=4\) must be divisible by `heads` \(=3\): choose `p` as a multiple of 3"),
        ({"heads": 4, "kv": 3}, r"`heads` \(=4\) must be divisible by `kv_heads` \(=3\).*: choose a divisor of 4"),
        ({"heads": 2, "s": 0}, r"`K` \(of length s=0\) must hold at least one token"),
        ({"heads": 2, "chunk": 0}, r"`chunk` \(=0\) must be at least 1: 128 to 512"),
        ({"heads": 2, "dropout": 1.0}, r"`dropout` \(=1.0\) must be from 0 up to, but not including, 1"),
        ({"heads": 2, "dropout": 0.5}, r"`key` \(=None\) is needed for `dropout` \(=0.5\): pass a key"),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)
def test_values_out_of_range_are_refused(options, why):
    sizes = {name: options.pop(name) for name in ("kv", "s") if name in options}
    with pytest.raises(ValueError, match=why):
        multihead_attention(*tokens(**sizes), **options)
