import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from matrinox.contract import ContractError
from matrinox.nn import MultiheadAttention
from matrinox.nn.cache import KVMemory

KEY = jax.random.key(0)
PROJECTIONS = ("query_proj", "key_proj", "value_proj", "output_proj")


def draw(seed, *shape, dtype=np.float32):
    return np.random.default_rng(seed).normal(size=shape).astype(dtype)


def drawn(key, shape, dtype=jnp.float32):
    """An initializer that compiles nothing."""
    return jnp.asarray(draw(int(jax.random.key_data(key)[-1]), *shape) / 2, dtype)


def layer_of(p=4, n=2, **options):
    """With biases that are not zero, where mistakes in them would not show."""
    layer = MultiheadAttention(p, n, initializer=drawn, key=KEY, **options)
    for name in PROJECTIONS:
        shift = jnp.asarray(draw(3, *getattr(layer, name).bias.shape), getattr(layer, name).bias.dtype)
        layer = eqx.tree_at(lambda layer, name=name: getattr(layer, name).bias, layer, shift)
    return layer


def twin(layer, **sizes):
    """`eqx.nn.MultiheadAttention` with the weights of a layer at n = 1."""
    theirs = eqx.nn.MultiheadAttention(
        layer.heads,
        layer.p,
        output_size=layer.q,
        use_query_bias=True,
        use_key_bias=True,
        use_value_bias=True,
        use_output_bias=True,
        key=KEY,
        **sizes,
    )
    for name in PROJECTIONS:
        ours = getattr(layer, name)
        theirs = eqx.tree_at(
            lambda model, name=name: (getattr(model, name).weight, getattr(model, name).bias),
            theirs,
            (ours.weight[..., 0, 0], ours.bias[..., 0, 0]),
        )
    return theirs


def test_a_head_by_hand():
    layer = MultiheadAttention(1, 1, heads=1, initializer=lambda key, shape, dtype: jnp.ones(shape), key=KEY)
    x = jnp.array([np.log(3.0), 0.0]).reshape(2, 1, 1, 1)
    a = np.log(3.0)
    # The first token's scores are a² and 0, the second's are equal.
    np.testing.assert_allclose(layer(x).ravel(), [a * np.exp(a * a) / (np.exp(a * a) + 1), a / 2], rtol=1e-5)
    mask = jnp.array([[False, True], [True, False]])
    np.testing.assert_allclose(layer(x, mask=mask).ravel(), [0, a], rtol=1e-5)


def test_attention_equals_that_of_equinox_when_n_is_1():
    layer = layer_of(4, 1, heads=2, q=3)
    theirs, x = twin(layer), draw(9, 5, 4)
    mask = np.random.default_rng(1).random((2, 5, 5)) < 0.5
    mask[..., 0] = True

    @jax.jit
    def run(x):
        ours = [layer(x[..., None, None], mask=given)[..., 0, 0] for given in (None, mask[0], mask)]
        return ours, [theirs(x, x, x, mask=given) for given in (None, mask[0], mask)]

    np.testing.assert_allclose(*run(x), rtol=1e-5, atol=1e-6)


def test_cross_attention_equals_that_of_equinox_when_n_is_1():
    layer = layer_of(4, 1, heads=2, head_size=3, memory=3)
    theirs = twin(layer, key_size=3, value_size=3, qk_size=3, vo_size=3)
    x, memory = draw(9, 5, 4), draw(10, 6, 3)
    y = eqx.filter_jit(layer)(x[..., None, None], memory[..., None, None])
    np.testing.assert_allclose(y[..., 0, 0], theirs(x, memory, memory), rtol=1e-5, atol=1e-6)


def test_rotary_attention_equals_that_of_equinox_when_n_is_1():
    layer = layer_of(8, 1, heads=2, rotary=True)
    theirs, x = twin(layer), jnp.asarray(draw(9, 5, 8))
    turn = jax.vmap(eqx.nn.RotaryPositionalEmbedding(4), in_axes=1, out_axes=1)
    expected = jax.jit(lambda x: theirs(x, x, x, process_heads=lambda q, k, v: (turn(q), turn(k), v)))(x)
    np.testing.assert_allclose(eqx.filter_jit(layer)(x[..., None, None])[..., 0, 0], expected, rtol=1e-5, atol=1e-6)


def test_attention_equals_its_formula_in_numpy(x64):
    layer = layer_of(4, 2, heads=2, kv_heads=1, q=3, memory=3, dtype=jnp.float64)
    x, memory = draw(9, 5, 4, 2, 2, dtype=np.float64), draw(10, 6, 3, 2, 2, dtype=np.float64)

    def project(name, x):
        dense = getattr(layer, name)
        return np.einsum("qpak,tpkc->tqac", dense.weight, x) + dense.bias

    Q, K, V = project("query_proj", x), project("key_proj", memory), project("value_proj", memory)
    Y = np.zeros_like(Q)
    for head in (slice(0, 2), slice(2, 4)):
        weights = np.exp(np.einsum("tpij,spij->ts", Q[:, head], K) / np.sqrt(8))
        Y[:, head] = np.einsum("ts,spij->tpij", weights / weights.sum(1, keepdims=True), V)
    np.testing.assert_allclose(eqx.filter_jit(layer)(x, memory), project("output_proj", Y), rtol=1e-11, atol=1e-13)


def test_sizes_are_those_of_the_projections():
    assert layer_of(heads=2).head_size == 2
    layer = layer_of(8, 3, heads=4, q=5, memory=6, kv_heads=2, head_size=2)
    assert [getattr(layer, name).weight.shape[:2] for name in PROJECTIONS] == [(8, 8), (4, 6), (4, 6), (5, 8)]
    assert (layer.p, layer.q, layer.memory, layer.n, layer.heads, layer.kv_heads) == (8, 5, 6, 3, 4, 2)
    assert MultiheadAttention(2, 2, heads=1, use_bias=False, initializer=drawn, key=KEY).key_proj.bias is None


def test_a_causal_token_sees_no_later_one():
    layer, x = layer_of(heads=2, causal=True), draw(9, 5, 4, 2, 2)
    run = eqx.filter_jit(layer)
    np.testing.assert_allclose(run(x)[:3], run(np.concatenate([x[:3], -x[3:]]))[:3], rtol=1e-6)


STEPPED = {
    "rotary, shared keys, mask and bias": {"kv_heads": 1, "rotary": True, "head_size": 3},
    "a base, in chunks": {"rotary": 100.0, "chunk": 2},
    "half precision": {"kv_heads": 1, "rotary": True, "dtype": jnp.bfloat16},
}


@pytest.mark.parametrize("options", STEPPED.values(), ids=STEPPED)
def test_steps_of_one_or_several_tokens_equal_the_full_pass(options):
    layer = layer_of(heads=2, causal=True, **options)
    dtype = layer.query_proj.weight.dtype
    x = jnp.asarray(draw(9, 2, 6, 4, 2, 2), dtype)
    length = 8
    mask = np.random.default_rng(1).random((2, 1, 6, length)) < 0.7
    bias = jnp.asarray(draw(10, 2, 6, length))

    @eqx.filter_jit
    def run(layer, x):
        full = layer(x, mask=mask[..., :6], bias=bias[..., :6])

        def advance(cache, token):
            # The place is traced, and picks the row of the mask.
            rows = [jax.lax.dynamic_slice_in_dim(jnp.asarray(x), cache.index, 1, -2) for x in (mask, bias)]
            return layer.step(cache, token[:, None], mask=rows[0], bias=rows[1])

        start = layer.initial_cache(length, (2,))
        one_by_one = jax.lax.scan(advance, start, jnp.swapaxes(x, 0, 1))[1][:, :, 0]
        cache, first = layer.step(start, x[:, :3], mask=mask[..., :3, :], bias=bias[..., :3, :])
        cache, one = advance(cache, x[:, 3])
        cache, last = layer.step(cache, x[:, 4:], mask=mask[..., 4:, :], bias=bias[..., 4:, :])
        return full, jnp.swapaxes(one_by_one, 0, 1), jnp.concatenate([first, one, last], 1), cache.index

    full, one_by_one, portions, index = run(layer, x)
    assert (full.dtype, one_by_one.dtype, int(index)) == (dtype, dtype, 6)
    full, one_by_one, portions = (np.asarray(y, np.float32) for y in (full, one_by_one, portions))
    tolerance = {"rtol": 0.02, "atol": 0.02} if dtype == jnp.bfloat16 else {"rtol": 1e-5, "atol": 1e-5}
    np.testing.assert_allclose(one_by_one, full, **tolerance)
    np.testing.assert_allclose(portions, full, **tolerance)


def test_a_step_beyond_the_cache_is_refused_or_while_tracing_gives_nan():
    layer, x = layer_of(heads=2, causal=True), draw(9, 3, 4, 2, 2)
    cache, _ = eqx.filter_jit(layer.step)(layer.initial_cache(4), x)
    with pytest.raises(ValueError, match=r"`index` \+ t \(=3 \+ 2\) must be at most `length` \(=4\)"):
        layer.step(cache, x[:2])

    @jax.jit
    def run(cache):
        cache, inside = layer.step(cache, x[:1])
        cache, outside = layer.step(cache, x[:1])
        return inside, outside, layer.step(cache, x[:1])[1]

    inside, *outside = run(cache)
    assert np.isfinite(inside).all()
    assert np.isnan(outside).all()


def test_a_cache_of_another_dtype_leaves_that_of_the_output():
    layer, x = layer_of(heads=2, causal=True, dtype=jnp.bfloat16), jnp.asarray(draw(9, 3, 4, 2, 2), jnp.bfloat16)
    cache = layer.initial_cache(4, dtype=jnp.float32)
    cache, y = eqx.filter_eval_shape(layer.step, cache, x)
    assert (cache.keys.dtype, y.dtype) == (jnp.float32, jnp.bfloat16)
    assert layer.initial_cache(4).keys.dtype == jnp.bfloat16


def test_the_keys_and_values_of_a_memory_are_computed_once():
    layer = layer_of(heads=2, memory=3, kv_heads=1)
    x, memory = draw(9, 2, 5, 4, 2, 2), draw(10, 2, 6, 3, 2, 2)
    mask = np.random.default_rng(1).random((2, 1, 5, 6)) < 0.7
    kept = layer.memory_cache(memory)
    assert isinstance(kept, KVMemory)
    assert (kept.length, kept.batch_shape) == (6, (2,))
    run = jax.jit(lambda memory: layer(x, memory, mask=mask))
    np.testing.assert_allclose(run(kept), run(memory), rtol=1e-5)
    products = str(jax.make_jaxpr(lambda x, kept: layer(x, kept))(x, kept)).count("dot_general")
    assert products == str(jax.make_jaxpr(lambda x, memory: layer(x, memory))(x, memory)).count("dot_general") - 2


def test_dropout_is_of_the_weights_and_only_in_training():
    layer = layer_of(heads=2, dropout=0.5, chunk=3)
    x = draw(9, 2, 5, 4, 2, 2)
    same = eqx.tree_at(lambda layer: layer.dropout, layer, 0.0)
    run = eqx.filter_jit(lambda layer, x, key: layer(x, key=key))
    np.testing.assert_array_equal(run(eqx.nn.inference_mode(layer), x, None), run(same, x, None))
    first, other = run(layer, x, jax.random.key(1)), run(layer, x, jax.random.key(2))
    np.testing.assert_array_equal(first, run(layer, x, jax.random.key(1)))
    assert not np.allclose(first, other)
    assert layer_of(heads=2, dropout=0.5, inference=True).inference
    with pytest.raises(
        ValueError,
        match=r"`key` \(=None\) is needed by MultiheadAttention\(dropout=0.5\) in training: .*inference_mode\(model\)",
    ):
        layer(x)


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ({"heads": 0}, r"`heads` \(=0\) must be at least 1"),
        ({"heads": 3}, r"`p` \(=4\) must be divisible by `heads` \(=3\)"),
        ({"heads": 4, "kv_heads": 3}, r"`heads` \(=4\) must be divisible by `kv_heads` \(=3\)"),
        ({"heads": 2, "kv_heads": 0}, r"`kv_heads` \(=0\) must be at least 1"),
        ({"heads": 2, "memory": 0}, r"`memory` \(=0\) must be at least 1"),
        ({"heads": 2, "q": 0}, r"`q` \(=0\) must be at least 1"),
        ({"heads": 3, "head_size": 0}, r"`head_size` \(=0\) must be at least 1"),
        ({"heads": 2, "dropout": 1.0}, r"`dropout` \(=1.0\) must be from 0 up to, but not including, 1"),
        ({"heads": 2, "chunk": 0}, r"`chunk` \(=0\) must be at least 1"),
        ({"heads": 2, "rotary": 1}, r"`rotary` \(=1.0\) must be above 1, and finite"),
        ({"heads": 4, "n": 1, "rotary": True}, r"`p`·n·n / `heads` \(=1\) must be even"),
        ({"heads": 2, "rotary": True, "memory": 4}, r"`rotary` \(=10000.0\) must be False where there is a `memory`"),
    ],
    ids=str,
)
def test_construction_refuses(options, why):
    with pytest.raises(ValueError, match=why):
        MultiheadAttention(**{"p": 4, "n": 2, **options}, key=KEY)


def test_calls_refuse_what_does_not_go_together():
    x = draw(9, 3, 4, 2, 2)
    turned, other = layer_of(heads=2, rotary=True), layer_of(heads=2, memory=3, causal=True)
    memory = layer_of(heads=2).memory_cache(x)
    for run in (lambda: turned(x, x), lambda: turned(x, memory), lambda: turned.memory_cache(x)):
        with pytest.raises(ValueError, match=r"`rotary` \(=10000.0\) must be False where there is a `memory`"):
            run()
    with pytest.raises(ValueError, match=r"`causal` \(=False\) must be True for `step`"):
        turned.step(turned.initial_cache(4), x)
    for run in (lambda: other(x), lambda: other.step(other.initial_cache(4), x)):
        with pytest.raises(ValueError, match=r"`memory` \(=None\) must be given, .* of 3 neurons, not of .* \(p=4\)"):
            run()
    with pytest.raises(ValueError, match=r"`length` \(=0\) must be at least 1"):
        other.initial_cache(0)


def test_wrong_shapes_are_refused():
    layer, x = layer_of(heads=2, causal=True), draw(9, 2, 3, 4, 2, 2)
    with pytest.raises(ContractError, match=r"MultiheadAttention\(.*\) got memory .*: axis -3 is 3, memory is 4"):
        layer(x, x[:, :, :3])
    with pytest.raises(ContractError, match=r"MultiheadAttention\(.*\) got mask bool\[3, 4\].*: axis 1 is 4, s is 3"):
        layer(x, x, mask=np.ones((3, 4), bool))
    with pytest.raises(ContractError, match=r"got bias .*: axis -3 is 3, heads is 2"):
        layer(x, bias=np.ones((3, 3, 3), np.float32))
    cache = layer.initial_cache(5, (2,))
    with pytest.raises(ContractError, match=r"step got x .*; it takes \(2, t, p=4, n=2, n=2\): axis 0 is 3, not 2"):
        layer.step(cache, draw(9, 3, 1, 4, 2, 2))
    with pytest.raises(ContractError, match=r"step got mask bool\[3, 3\]; .*: axis 1 is 3, length is 5"):
        layer.step(cache, x, mask=np.ones((3, 3), bool))
